"""Brings an estimate of a bright spectrum to agree with its counts, and no further than it must.

An estimate eta = ln x with standard deviation sigma serves as a Gaussian prior, each energy for
itself, and the likeliest spectrum under it is found by Fisher scoring,

    B = A diag(x),  g = B^T (n / m - 1) - (e - eta) / (w sigma)^2,
    H = B^T diag(1 / m) B + diag(1 / (w sigma)^2),   e <- e + H^-1 g,

at first with w = 1. Where the refolded Cash statistic is still above what is expected by more than
`LIMIT` of its scatter, w is doubled. A spectrum that agrees from the start is left as it is. An
estimate that has to be left by several of its sigma was a wrong one, so sigma has to grow with w.

H is factorised in single precision, in units of w sigma, where none of its eigenvalues is under
one; after a small step it is taken to be the same. The mean of the statistic is found once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg.blas import ssyrk  # pyright: ignore[reportAttributeAccessIssue]
from scipy.linalg.lapack import spotrf  # pyright: ignore[reportAttributeAccessIssue]

from .likelihood import cash
from .poisson import fold
from .refold import refold_cash

Array = NDArray[np.float64]

LIMIT = 1.0  # standard deviations of the statistic above its expectation
_WIDENINGS = (1.0, 2.0, 4.0, 8.0)
_STEPS = 2  # of Fisher scoring for each
_STEEPEST = 1.0  # ln flux changes by no more in one step
_SMALL = 0.1  # change of ln flux after which H is not found again
_LEAST_VARIANCE = 1.36  # of the statistic of a bin that expects a count or more; its mean is over 1
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
    model = fold(matrix, np.exp(log_flux), background)
    # What the moments could not be less than spares most spectra their sums.
    many = np.count_nonzero(model >= 1.0)
    if cash(counts, model).sum() <= many + LIMIT * np.sqrt(_LEAST_VARIANCE * many):
        return log_flux, 1.0
    begun = refold_cash(counts, model)
    if not begun.z > LIMIT:
        return log_flux, 1.0
    most = begun.expected + LIMIT * begun.scatter
    found, needed = log_flux, 1.0
    for widening in _WIDENINGS:
        needed = widening
        wide = widening * sigma
        factor, moved = np.empty(0, np.float32), np.inf
        for _ in range(_STEPS):
            model = np.maximum(model, _LEAST)
            slope = matrix * (np.exp(found) * wide)
            if moved > _SMALL:
                factor = _factor(slope / np.sqrt(model)[:, None])
            gradient = (counts / model - 1.0) @ slope - (found - log_flux) / wide
            change = wide * cho_solve((factor, True), gradient, check_finite=False)
            moved = float(np.max(np.abs(change)))
            found = found + change * min(1.0, _STEEPEST / moved)
            model = fold(matrix, np.exp(found), background)
        if not cash(counts, model).sum() > most:
            break
    return found, needed


def _factor(half: Array) -> NDArray[np.float32]:
    """Give the lower Cholesky factor of 1 + half^T half."""
    curvature = ssyrk(1.0, half.astype(np.float32).T, lower=1)
    curvature.flat[:: curvature.shape[0] + 1] += 1.0
    return np.asarray(spotrf(curvature, lower=1, overwrite_a=1)[0])
