"""Classical ways to undo a response: what a learned one has to beat.

All take a `Problem`, m = A x + b on the working grid of `response`, and give the photon flux
density x [photons/cm2/s/keV]:

- `pseudo_inverse`: the least-squares solution of the whitened problem by its singular values. The
  matrix is close to singular, so noise comes out magnified: it is here to show that.
- `tikhonov`: non-negative least squares with a penalty on the second difference of x over a flat
  start (Tikhonov 1963), as strong as the data allow (Morozov's discrepancy principle).
- `richardson_lucy`: x <- x A^T(n / m) / S (Richardson 1972, Lucy 1974), stopped where the Cash
  statistic comes down to what a true model is expected to have: later steps fit the noise.
- `isis`: (n - b) / (A 1), counts over the response summed over energy (Houck & Denicola 2000);
  nothing is undone, the resolution stays that of the instrument.

The penalised Poisson fit, the best of the classical ones, is in `unfold_map`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from .likelihood import cash, cash_moments
from .poisson import em_ratio, flat_start, fold
from .response import DETECTOR_EDGES, ENERGY_EDGES

Array = NDArray[np.float64]

_RANGE = (-8.0, 8.0)  # powers of ten between which the strength of Tikhonov's penalty is sought
_BISECTIONS = 14


@dataclass(frozen=True, slots=True)
class Problem:
    """Counts to be unfolded.

    Parameters
    ----------
    counts : ndarray, shape (detector,)
    matrix : ndarray, shape (detector, energy)
        From `response.working_matrix`.
    background : ndarray, shape (detector,)
        Expected counts that are not of the source.
    """

    counts: Array
    matrix: Array
    background: Array

    def __post_init__(self) -> None:
        """Refuse shapes that disagree."""
        detector = self.matrix.shape[0]
        for name in ("counts", "background"):
            found = getattr(self, name).shape
            if found != (detector,):
                raise ValueError(f"{name} has shape {found}, the matrix {self.matrix.shape}")

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Whether the matrix reaches a detector bin, shape (detector,)."""
        return np.asarray(self.matrix.any(axis=1))


@dataclass(frozen=True, slots=True)
class Unfolded:
    """An estimate of the intrinsic spectrum.

    Parameters
    ----------
    flux : ndarray, shape (energy,)
        [photons/cm2/s/keV].
    model : ndarray, shape (detector,)
        Expected counts, the background in them.
    steps : int
        Iterations taken.
    converged : bool
        Whether it stopped by its rule, not at the greatest number of steps.
    strength : float
        Of the penalty; zero where there is none.
    sigma : ndarray, shape (energy,), or None
        Standard deviation of ln flux, where the method has one.
    freedom : float
        Parameters the fit follows, as of `refold.Refold`; zero where the method does not tell.
    """

    flux: Array
    model: Array
    steps: int = 1
    converged: bool = True
    strength: float = 0.0
    sigma: Array | None = None
    freedom: float = 0.0


def condition_number(problem: Problem) -> float:
    """Give the condition number of the matrix, whitened by the noise of the counts.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    float
        Greatest singular value over the smallest; infinite where that is zero.
    """
    values = np.linalg.svd(_whitened(problem)[0], compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def pseudo_inverse(problem: Problem, *, cutoff: float = 1e-12) -> Unfolded:
    """Invert by singular values; what comes out is noise, and negative half of the time.

    Parameters
    ----------
    problem : Problem
    cutoff : float
        Singular values below this part of the greatest are left out.

    Returns
    -------
    Unfolded
    """
    matrix, target = _whitened(problem)
    flux = np.linalg.pinv(matrix, rcond=cutoff) @ target
    return Unfolded(flux, fold(problem.matrix, flux, problem.background))


def tikhonov(problem: Problem, *, strength: float | None = None) -> Unfolded:
    """Fit non-negative fluxes by least squares with a penalty on their second difference.

    Parameters
    ----------
    problem : Problem
    strength : float
        Weight of the penalty; where None, the greatest at which chi-squared is no more than one
        a bin.

    Returns
    -------
    Unfolded
    """
    matrix, target = _whitened(problem)
    level = flat_start(problem.matrix, problem.counts, problem.background)[0]
    matrix = matrix * level
    trials, low, high = 1, *_RANGE
    chosen = 10.0**low if strength is None else strength
    if strength is None:
        aim = np.count_nonzero(problem.seen)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            fits = _smooth_least_squares(matrix, target, 10.0**middle)[1] <= aim
            low, high = (middle, high) if fits else (low, middle)
        chosen, trials = 10.0**low, 1 + _BISECTIONS
    flux = _smooth_least_squares(matrix, target, chosen)[0] * level
    fitted = strength is not None or low > _RANGE[0]
    return Unfolded(flux, fold(problem.matrix, flux, problem.background), trials, fitted, chosen)


def richardson_lucy(
    problem: Problem,
    *,
    steps: int | None = None,
    most: int = 500,
    start: Array | None = None,
) -> Unfolded:
    """Raise the likelihood step by step, and stop before the noise is fitted.

    Parameters
    ----------
    problem : Problem
    steps : int
        Steps to take; where None, until the Cash statistic is no more than expected of a true
        model.
    most : int
        Steps after which it stops in any case.
    start : ndarray, shape (energy,)
        Positive; flat with the right counts where None.

    Returns
    -------
    Unfolded
    """
    counts, matrix, background = problem.counts, problem.matrix, problem.background
    flux = flat_start(matrix, counts, background) if start is None else start
    model = fold(matrix, flux, background)
    for step in range(most if steps is None else steps):
        if steps is None and cash(counts, model).sum() <= cash_moments(model).mean.sum():
            return Unfolded(flux, model, step)
        flux = flux * em_ratio(matrix, counts, model)
        model = fold(matrix, flux, background)
    return Unfolded(flux, model, most if steps is None else steps, steps is not None)


def isis(
    problem: Problem, *, energy_edges: Array = ENERGY_EDGES, detector_edges: Array = DETECTOR_EDGES
) -> Unfolded:
    """Divide the counts by the response summed over energy.

    Parameters
    ----------
    problem : Problem
    energy_edges, detector_edges : ndarray
        Grids of the matrix [keV].

    Returns
    -------
    Unfolded
        The estimate of each detector bin (`isis_detector`), taken at the energies in between;
        constant beyond the ends.
    """
    seen = problem.seen
    energy = np.sqrt(energy_edges[1:] * energy_edges[:-1])
    centre = 0.5 * (detector_edges[1:] + detector_edges[:-1])
    flux = np.interp(energy, centre[seen], isis_detector(problem)[seen])
    return Unfolded(flux, fold(problem.matrix, flux, problem.background))


def isis_detector(problem: Problem) -> Array:
    """Give the estimate of `isis` in every detector bin.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    ndarray, shape (detector,)
        [photons/cm2/s/keV]; NaN where the matrix does not reach.
    """
    summed = problem.matrix.sum(axis=1)
    return np.divide(
        problem.counts - problem.background,
        summed,
        out=np.full(summed.shape, np.nan),
        where=summed > 0,
    )


def _whitened(problem: Problem) -> tuple[Array, Array]:
    """Divide the rows that are seen by the noise; counts below one are taken as one."""
    seen = problem.seen
    sigma = np.sqrt(np.maximum(problem.counts[seen], 1.0))
    target = (problem.counts - problem.background)[seen] / sigma
    return problem.matrix[seen] / sigma[:, None], target


def _smooth_least_squares(matrix: Array, target: Array, strength: float) -> tuple[Array, float]:
    """Solve for one strength of the penalty; give the solution and its chi-squared."""
    bend = np.diff(np.eye(matrix.shape[1]), n=2, axis=0)
    stacked = np.vstack([matrix, np.sqrt(strength) * bend])
    aim = np.concatenate([target, np.zeros(bend.shape[0])])
    found = nnls(stacked, aim, maxiter=30 * matrix.shape[1])[0]
    return found, float(np.square(matrix @ found - target).sum())
