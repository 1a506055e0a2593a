"""The Poisson likelihood of folded spectra: score, EM ratio and steps of expectation maximisation.

An observation expects ``m = A x + b`` counts of a flux density x [photons/cm2/s/keV], with the
matrix A of `response.working_matrix` and the background b. With S the column sums of A, the
likelihood L of counts n has

    r = A^T (n / m) / S,   d ln L / d ln x = x S (r - 1),   Fisher information in ln x <= x S,

so that the EM ratio r and (r - 1) sqrt(x S) are of order one for any response. The ratio is the
step of Richardson-Lucy: x <- x r never lowers L (Shepp & Vardi 1982, IEEE TMI 1, 113).
All functions take leading batch axes.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fold(matrix: Array, flux: Array, background: Array | float = 0.0) -> Array:
    """Give the expected counts A x + b.

    Parameters
    ----------
    matrix : ndarray, shape (..., detector, energy)
    flux : ndarray, shape (..., energy)
    background : ndarray, shape (..., detector)
        Expected counts of the background.

    Returns
    -------
    ndarray, shape (..., detector)
    """
    return np.matmul(matrix, flux[..., None])[..., 0] + background


def em_ratio(matrix: Array, counts: Array, model: Array) -> Array:
    """Give the factor r by which expectation maximisation would change each energy.

    Parameters
    ----------
    matrix : ndarray, shape (..., detector, energy)
    counts, model : ndarray, shape (..., detector)
        Observed counts, and expected ones with the background in them.

    Returns
    -------
    ndarray, shape (..., energy)
        A^T (n / m) / S; one where the observation is blind.
    """
    # A bin that expects nothing has a row of zeros: it says nothing about any energy.
    ratio = np.divide(counts, model, out=np.zeros(model.shape), where=model > 0)
    back = np.matmul(ratio[..., None, :], matrix)[..., 0, :]
    sensitivity = matrix.sum(axis=-2)
    return np.divide(back, sensitivity, out=np.ones(back.shape), where=sensitivity > 0)


def poisson_score(
    matrix: Array, counts: Array, flux: Array, background: Array | float = 0.0
) -> Array:
    """Give the gradient of the Poisson log likelihood in the logarithm of the flux.

    Parameters
    ----------
    matrix : ndarray, shape (..., detector, energy)
    counts : ndarray, shape (..., detector)
    flux : ndarray, shape (..., energy)
    background : ndarray, shape (..., detector)

    Returns
    -------
    ndarray, shape (..., energy)
        x S (r - 1).
    """
    ratio = em_ratio(matrix, counts, fold(matrix, flux, background))
    return flux * matrix.sum(axis=-2) * (ratio - 1.0)


def fisher_score(
    matrix: Array, counts: Array, flux: Array, background: Array | float = 0.0
) -> Array:
    """Give the score in units of its greatest scatter, (r - 1) sqrt(x S).

    Parameters are those of `poisson_score`; so is the shape.
    """
    ratio = em_ratio(matrix, counts, fold(matrix, flux, background))
    return (ratio - 1.0) * np.sqrt(flux * matrix.sum(axis=-2))


def em_steps(
    matrix: Array,
    counts: Array,
    flux: Array,
    background: Array | float = 0.0,
    *,
    steps: int = 1,
    power: float = 1.0,
) -> Array:
    """Take steps x <- x r^power towards the data.

    Parameters
    ----------
    matrix : ndarray, shape (..., detector, energy)
    counts : ndarray, shape (..., detector)
    flux : ndarray, shape (..., energy)
        Where to begin.
    background : ndarray, shape (..., detector)
    steps : int
    power : float
        One for Richardson-Lucy; less damps.

    Returns
    -------
    ndarray, shape (..., energy)
    """
    for _ in range(steps):
        flux = flux * em_ratio(matrix, counts, fold(matrix, flux, background)) ** power
    return flux


def flat_start(matrix: Array, counts: Array, background: Array | float = 0.0) -> Array:
    """Give the flux density that is the same at all energies and expects as many counts.

    Parameters
    ----------
    matrix : ndarray, shape (..., detector, energy)
    counts : ndarray, shape (..., detector)
    background : ndarray, shape (..., detector)

    Returns
    -------
    ndarray, shape (..., energy)
        Ten counts are taken where fewer are left over the background.
    """
    left = np.maximum((counts - background).sum(axis=-1), 10.0)
    level = left / np.maximum(matrix.sum(axis=(-1, -2)), np.finfo(np.float64).tiny)
    return np.repeat(level[..., None], matrix.shape[-1], axis=-1)
