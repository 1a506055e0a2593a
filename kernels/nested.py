"""The posterior of `importance.py` by nested sampling, for the few spectra it does not settle.

It needs no first guess and finds all modes, at half a minute or more a spectrum. Draws are given
the order of components in which they are nearest to the fit, as those of `importance.py`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from . import nested_sampling
from .importance import Sampled, summarised
from .target import Spectra, Target

Array = NDArray[np.float64]

_LIVE = 200
_WALKS = 100  # steps from one live point to the next: 50 make the evidence e^1 too high
_ACCURATE = 0.05  # of ln evidence: what may remain
_BLOCK = 256  # draws whose fluxes are in memory at once


def nested(target: Target, spectra: Spectra, centre: Array, key: NDArray[np.uint64]) -> Sampled:
    """Sample the posterior of one spectrum.

    Parameters
    ----------
    target : Target
    spectra : Spectra
        One.
    centre : ndarray, shape (parameter,)
        Velocities and broadenings of the fit.
    key : ndarray of uint64, shape (2,)
        Of the stream of random numbers.

    Returns
    -------
    Sampled
        Of one spectrum; it has no k-hat.

    Raises
    ------
    ImportError
        Without dynesty.
    """
    free, box = target.free, target.box
    low, high = (box[free % 2, side] for side in (0, 1))
    theta = np.where(np.isfinite(centre), centre, 1.0)
    found = nested_sampling.run(
        target.likelihood(spectra, theta),
        lambda unit: low + unit * (high - low),
        free.size,
        Generator(Philox(key=key)),
        live=_LIVE,
        remain=_ACCURATE,
        sample="rwalk",
        walks=_WALKS,
    )
    kept = found.weight > 1e-9 * found.weight.max()
    points, weight = found.points[kept], found.weight[kept] / found.weight[kept].sum()
    scale = np.sqrt(weight @ np.square(points - weight @ points))
    orders = target.orders()
    away = [np.square((points[:, order] - centre[free]) / scale).sum(axis=1) for order in orders]
    best = np.argmin(away, axis=0)
    points = np.take_along_axis(points, orders[best], axis=1)
    whole = np.tile(theta, (len(points), 1))
    whole[:, free] = points
    flux, variance = (
        np.concatenate(parts) for parts in zip(*_fluxes(target, spectra, whole), strict=True)
    )
    mean = weight @ flux
    return Sampled(
        summarised(whole[None], weight[None]),
        mean[None],
        np.sqrt(weight @ (variance + np.square(flux - mean)))[None],
        np.array([found.log_evidence]),
        np.array([np.nan]),
        np.array([1.0 / np.square(weight).sum()]),
    )


def _fluxes(target: Target, spectra: Spectra, points: Array) -> Iterator[tuple[Array, Array]]:
    """Give means and variances of the fluxes at draws, block by block."""
    for first in range(0, len(points), _BLOCK):
        _, flux, variance = target.evaluate(spectra, points[None, first : first + _BLOCK])
        yield flux[0], variance[0]
