"""The reference's lines as the kernels take them, and the fits of `kernels/varpro.py`."""

from dataclasses import fields

import numpy as np
from scipy_reference import Lines
from synthetic_spectra import BOUNDS

from streamfit.kernels.emission import Continuum, Emission, Shape, tie
from streamfit.kernels.varpro import Bounds, Fit, Geometry, fit

BOX = Bounds(*BOUNDS)


def emission_of(lines: Lines) -> Emission:
    names = [f"L{k}" for k in range(len(lines.rest))]
    kinematic = lines.groups
    return tie(
        dict(zip(names, lines.rest, strict=True)),
        shape=Shape[lines.shape.upper()],
        wavenumber=lines.wavenumber,
        groups=[
            [names[k] for k in np.flatnonzero(kinematic == g)] for g in range(kinematic.max() + 1)
        ],
        ratios={(names[to], names[k]): 1 / ratio for k, (to, ratio) in lines.fixed.items()},
    )


def continuum_of(lines: Lines) -> Continuum:
    return Continuum(lines.windows, lines.degree)


def geometry_of(lines: Lines, spaxels: int) -> Geometry:
    return Geometry(
        lines.coordinate, np.ones(spaxels), np.repeat(lines.width[None, :], spaxels, axis=0)
    )


def fitted(lines, data, weight, start, *, box=BOX, **how) -> Fit:
    """Fit with the kernel; `start` has shape (spaxel, 2 group)."""
    return fit(
        data,
        weight,
        emission_of(lines),
        continuum_of(lines),
        geometry_of(lines, len(data)),
        start=(start[:, 0::2], start[:, 1::2]),
        bounds=box,
        **how,
    )


def parameters(found: Fit) -> np.ndarray:
    """All parameters in the order of the covariance, shape (spaxel, parameter)."""
    theta = np.stack([found.velocity, found.broadening], axis=-1)
    return np.concatenate([theta.reshape(len(theta), -1), found.linear], axis=1)


def errors(found: Fit) -> np.ndarray:
    return np.sqrt(np.einsum("spp->sp", found.covariance))


def assert_same(one: Fit, other: Fit, rows=slice(None)) -> None:
    for values in fields(Fit):
        whole = getattr(one, values.name)[rows]
        np.testing.assert_array_equal(whole, getattr(other, values.name), err_msg=values.name)
