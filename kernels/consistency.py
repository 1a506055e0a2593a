"""Brings an estimate of a bright spectrum to agree with its counts, and no further than it must.

An estimate eta = ln x with standard deviation sigma serves as a Gaussian prior, each energy for
itself, and the likeliest spectrum under it is found by Fisher scoring,

    B = A diag(x),  g = B^T (n / m - 1) - (e - eta) / (w sigma)^2,
    H = B^T diag(1 / m) B + diag(1 / (w sigma)^2),   e <- e + H^-1 g,

at first with w = 1. Where the refolded Cash statistic is still above what is expected by more than
`LIMIT` of its scatter, w is doubled. A spectrum that agrees from the start is left as it is. An
estimate that has to be left by several of its sigma was a wrong one, so sigma has to grow with w.
"""

import numpy as np
from numpy.typing import NDArray

from .poisson import fold
from .refold import refold_cash

Array = NDArray[np.float64]

LIMIT = 1.0  # standard deviations of the statistic above its expectation
_WIDENINGS = (1.0, 2.0, 4.0, 8.0)
_STEPS = 2  # of Fisher scoring for each
_STEEPEST = 1.0  # ln flux changes by no more in one step
_LEAST = 1e-9  # counts expected in a bin, under which it is not divided by


def consistent(
    matrix: Array, counts: Array, background: Array, log_flux: Array, sigma: Array
) -> tuple[Array, float]:
    """Give ln flux that agrees with the counts, if it can within some of its sigma.

    Parameters
    ----------
    matrix : ndarray, shape (detector, energy)
    counts, background : ndarray, shape (detector,)
    log_flux, sigma : ndarray, shape (energy,)
        The estimate and its standard deviation.

    Returns
    -------
    ndarray, shape (energy,)
        `log_flux` itself where it agrees.
    float
        The w that was needed, one where sigma was wide enough.
    """
    found, needed = log_flux, 1.0
    for widening in _WIDENINGS:
        model = fold(matrix, np.exp(found), background)
        if not refold_cash(counts, model).z > LIMIT:
            break
        needed = widening
        precision = 1.0 / np.square(widening * sigma)
        for _ in range(_STEPS):
            flux = np.exp(found)
            model = np.maximum(fold(matrix, flux, background), _LEAST)
            slope = matrix * flux
            gradient = slope.T @ (counts / model - 1.0) - precision * (found - log_flux)
            curvature = (slope.T / model) @ slope
            curvature[np.diag_indices_from(curvature)] += precision
            change = np.linalg.solve(curvature, gradient)
            found = found + change * min(1.0, _STEEPEST / float(np.max(np.abs(change))))
    return found, needed
