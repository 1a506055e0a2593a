"""The end of a fit that is already at its minimum, or nearly so: as little as it takes.

One evaluation of the exact model and its slopes (`varpro.py`) gives chi2, the covariance and the
step that is left, with its expected gain in chi2. To first order in that step amplitudes and chi2
follow without a further evaluation. What is neglected is the change of curvature along it, and the
curvature that Gauss and Newton leave out, which noise makes. Both are in proportion to a length
over the line's full width w: the step itself and the standard error. So where

    gain (|d_p| + H_pp^(-1/2)) / w < `NEGLIGIBLE`   for every parameter p

the step is taken to first order; else the model is evaluated again at its end. A spectrum that is
not done after a few evaluations, or that has lines outside its window, is searched as a whole.
"""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from . import varpro
from ._polish import polish_all
from .emission import Continuum, Emission
from .varpro import Bounds, Fit, Geometry, boxed, check, packed, unpacked

Array = NDArray[np.float64]


def polish(
    data: NDArray[np.floating],
    noise: Array,
    emission: Emission,
    continuum: Continuum,
    geometry: Geometry,
    *,
    start: tuple[Array, Array],
    bent: Array,
    near: NDArray[np.bool_] | None = None,
    bounds: Bounds,
) -> Fit:
    """Fit every spectrum of a batch from its minimum.

    Parameters
    ----------
    data : ndarray, shape (spaxel, channel)
        Spectra; one that is not finite has no fit.
    noise : ndarray, shape (spaxel,)
        Standard deviation of every channel, positive.
    emission, continuum : Emission, Continuum
        The model.
    geometry : Geometry
        Axis and line width of each spaxel.
    start : (velocity, broadening), each of shape (spaxel, group)
        Where the minimum is [km/s]; clipped to the box.
    bent : ndarray, shape (spaxel, parameter, parameter)
        What the residual adds to the curvature of chi2 / 2 there, as `ReducedEngine.find` gives it.
    near : ndarray of bool, shape (spaxel,), optional
        False where the start is but a guess, which takes a whole search.
    bounds : Bounds
        Box of velocity and broadening.

    Returns
    -------
    Fit
        As that of `varpro.fit` with a weight of one over the noise.

    Raises
    ------
    ValueError
        If shapes disagree, or the axis is not what the line shape needs.
    """
    spaxels = data.shape[0]
    check(data, np.broadcast_to(noise[:, None], data.shape), emission, geometry, start)
    bounds, theta = boxed(start, bounds)
    if near is not None:
        theta[~near] = np.nan
    size = 2 * emission.groups + emission.columns + continuum.terms
    out_theta = np.full(theta.shape, np.nan)
    linear = np.full((spaxels, size - theta.shape[1]), np.nan)
    covariance = np.full((spaxels, size, size), np.nan)
    scalars = np.full((spaxels, 5), np.nan)
    polish_all(
        (
            np.require(data, np.float32, ["C", "W"]),
            *(
                np.require(values, np.float64, ["C", "W"])
                for values in (noise, theta, bent, geometry.scale, geometry.width)
            ),
        ),
        packed(emission),
        np.require(geometry.coordinate, np.float64, ["C", "W"]),
        continuum.rows(geometry.coordinate),
        tuple(map(float, (*bounds.velocity, *bounds.broadening))),
        (out_theta, linear, covariance, scalars),
    )
    fit = unpacked(out_theta, linear, covariance, scalars)
    left = fit.outcome < 0
    if near is not None:
        left |= ~near
    rows = np.flatnonzero(left)
    if rows.size:
        weight = np.repeat(1.0 / noise[rows, None], data.shape[1], axis=1)
        searched = varpro.fit(
            data[rows],
            weight,
            emission,
            continuum,
            geometry.part(rows),
            start=(start[0][rows], start[1][rows]),
            bounds=bounds,
        )
        for field in fields(fit):
            getattr(fit, field.name)[rows] = getattr(searched, field.name)
    return fit
