"""How far an intrinsic X-ray spectrum is from the true one.

Errors are taken over 0.6-6.5 keV on photons of the working bins: L1 is sum |y - x| / sum x, and the
smoothed L1 the same after both were smoothed by what a CCD resolves, a Gaussian of 2.5 working
bins. Coverage is the part of truths within so many standard deviations of ln flux.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..kernels.response import ENERGY_EDGES

Array = NDArray[np.float64]

WIDTHS: Array = np.diff(ENERGY_EDGES)  # keV
CENTRES: Array = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])
BAND: NDArray[np.bool_] = (CENTRES > 0.6) & (CENTRES < 6.5)
RESOLUTION = 2.5  # working bins, standard deviation
SIGMAS = {0.68: 1.0, 0.95: 1.96}  # of a Gaussian


class Errors(NamedTuple):
    """L1 of each spectrum, shape (observation,)."""

    l1: Array
    smoothed: Array


def errors(truth: Array, found: Array) -> Errors:
    """Measure flux densities against true ones.

    Parameters
    ----------
    truth, found : ndarray, shape (observation, energy)
        [photons/cm2/s/keV].

    Returns
    -------
    Errors
    """
    true, got = truth * WIDTHS, found * WIDTHS
    return Errors(_relative(true, got), _relative(_smooth(true), _smooth(got)))


def coverage(truth: Array, log_flux: Array, sigma: Array) -> dict[float, float]:
    """Give the part of true values within the bands of 68 % and 95 %.

    Parameters
    ----------
    truth : ndarray, shape (observation, energy)
        True ln flux.
    log_flux, sigma : ndarray, shape (observation, energy)
        Found, and its standard deviation.

    Returns
    -------
    dict
        By the part that should be.
    """
    pulls = (np.abs(log_flux - truth) / sigma)[:, BAND]
    return {part: float((pulls <= sigmas).mean()) for part, sigmas in SIGMAS.items()}


def _relative(true: Array, got: Array) -> Array:
    """Sum the differences over the band, in units of the truth."""
    return np.abs(got - true)[:, BAND].sum(axis=1) / true[:, BAND].sum(axis=1)


def _smooth(photons: Array) -> Array:
    """Smooth by the resolution."""
    return gaussian_filter1d(photons, RESOLUTION, axis=-1, mode="nearest")
