"""The posterior of `importance.py` by nested sampling, for the few spectra it does not settle.

dynesty (Speagle 2020, MNRAS 493, 3132; the optional extra `bayes`) needs no first guess and finds
all modes, at half a minute or more a spectrum. Draws are given the order of components in which
they are nearest to the fit, as those of `importance.py`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

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
    import dynesty

    free, box = target.free, target.box
    low, high = (box[free % 2, side] for side in (0, 1))
    theta = np.where(np.isfinite(centre), centre, 1.0)
    likelihood = target.likelihood(spectra, theta)
    nested_sampler: Any = dynesty.NestedSampler  # whose arguments depend on the kind
    sampler = nested_sampler(
        likelihood,
        lambda unit: low + unit * (high - low),
        free.size,
        nlive=_LIVE,
        sample="rwalk",
        walks=_WALKS,
        bootstrap=0,
        rstate=Generator(Philox(key=key)),
    )
    sampler.run_nested(print_progress=False, dlogz=_ACCURATE)
    result: Any = sampler.results
    weight = np.exp(result.logwt - result.logz[-1])
    kept = weight > 1e-9 * weight.max()
    points, weight = result.samples[kept], weight[kept] / weight[kept].sum()
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
        np.array([float(result.logz[-1])]),
        np.array([np.nan]),
        np.array([1.0 / np.square(weight).sum()]),
    )


def _fluxes(target: Target, spectra: Spectra, points: Array) -> Iterator[tuple[Array, Array]]:
    """Give means and variances of the fluxes at draws, block by block."""
    for first in range(0, len(points), _BLOCK):
        _, flux, variance = target.evaluate(spectra, points[None, first : first + _BLOCK])
        yield flux[0], variance[0]
