"""Penalised Poisson fit of ln flux: smooth where the data do not ask for more.

With eta = ln x, A the matrix, b the background and D the second difference, it finds the minimum of

    F(eta) = sum(m - n ln m) + lambda / 2 |D eta|^2,   m = A exp(eta) + b,

by Fisher scoring: the curvature X A^T diag(1 / m) A X + lambda D^T D is positive, and a step is
halved until F falls. The penalty is the prior density of a spectrum whose bends are drawn with
variance 1 / lambda, so that lambda can be chosen by the evidence (MacKay 1992, Neural Computation
4, 415), in Laplace's approximation with r the rank of D and H the curvature at the minimum,

    ln Z(lambda) = -F + r/2 ln lambda - 1/2 ln det H + const,

and the diagonal of the inverse of H is the variance of ln flux, if the prior is true. Of the n
parameters the data determine n - lambda tr(H^-1 D^T D), MacKay's gamma but for the two that the
penalty leaves free.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from .likelihood import cash
from .poisson import flat_start, fold, poisson_score
from .unfold import Problem, Unfolded

Array = NDArray[np.float64]

_STRENGTHS = 10.0 ** np.arange(-1.0, 6.01, 0.5)
_FALLEN = 10.0  # in ln Z under the greatest: weaker penalties are not tried
_STEEPEST = 3.0  # ln flux changes by no more in one step
_HALVINGS = 30
_ETA_FLOOR = -30.0  # ln of flux over the flat start
# Part of the penalty's own curvature added where neither data nor penalty curve F, as along a
# spectrum's slope without any counts.
_RIDGE = 1e-11


class Fit(NamedTuple):
    """A minimum for one strength."""

    eta: Array
    objective: float
    curvature: Array
    steps: int
    converged: bool


def penalised_map(
    problem: Problem, *, strength: float | None = None, most: int = 100, tolerance: float = 1e-6
) -> Unfolded:
    """Fit ln flux with a penalty on its second difference.

    Parameters
    ----------
    problem : Problem
    strength : float
        lambda; where None, that of greatest evidence among steps of half a power of ten.
    most : int
        Steps for each strength.
    tolerance : float
        Converged when a step promises to lower F by less.

    Returns
    -------
    Unfolded
        With the standard deviation of ln flux.
    """
    scoring = _Scoring(problem, most, tolerance)
    eta = np.zeros(problem.matrix.shape[1])
    if strength is not None:
        return scoring.unfolded(scoring.minimum(eta, strength), strength)
    tried: list[tuple[float, float, Fit]] = []
    for trial in _STRENGTHS[::-1]:
        fit = scoring.minimum(eta, float(trial))
        tried.append((_evidence(fit, float(trial)), float(trial), fit))
        if tried[-1][0] < max(tried, key=_first)[0] - _FALLEN:
            break
        eta = fit.eta
    _, chosen, best = max(tried, key=_first)
    return scoring.unfolded(best, chosen)


class _Scoring:
    """Fisher scoring of one problem, for any strength of the penalty."""

    def __init__(self, problem: Problem, most: int, tolerance: float) -> None:
        self.problem, self.most, self.tolerance = problem, most, tolerance
        self.start = flat_start(problem.matrix, problem.counts, problem.background)
        difference = np.diff(np.eye(self.start.size), n=2, axis=0)
        self.bend = difference.T @ difference

    def minimum(self, eta: Array, strength: float) -> Fit:
        """Go down to the minimum from `eta`."""
        value = self.objective(eta, strength)
        for step in range(self.most):
            gradient, curvature = self.slope(eta, strength)
            change = -cho_solve(cho_factor(curvature), gradient)
            promised = -0.5 * float(gradient @ change)
            if promised < self.tolerance:
                return Fit(eta, value, curvature, step, True)
            change *= min(1.0, _STEEPEST / float(np.max(np.abs(change))))
            lower = self.lower(eta, change, value, strength)
            if lower is None:
                return Fit(eta, value, curvature, step, False)
            eta, value = lower
        return Fit(eta, value, self.slope(eta, strength)[1], self.most, False)

    def lower(
        self, eta: Array, change: Array, value: float, strength: float
    ) -> tuple[Array, float] | None:
        """Halve a step until it goes down; None where it never does."""
        for halving in range(_HALVINGS):
            trial = np.maximum(eta + change * 0.5**halving, _ETA_FLOOR)
            found = self.objective(trial, strength)
            if found < value:
                return trial, found
        return None

    def objective(self, eta: Array, strength: float) -> float:
        """Give F, with n ln n - n taken off so that it stays small."""
        model = self.model(eta)
        misfit = cash(self.problem.counts, np.maximum(model, np.finfo(np.float64).tiny))
        return float(0.5 * misfit.sum() + 0.5 * strength * (eta @ self.bend @ eta))

    def slope(self, eta: Array, strength: float) -> tuple[Array, Array]:
        """Give gradient and curvature of F."""
        problem, flux, model = self.problem, self.start * np.exp(eta), self.model(eta)
        score = poisson_score(problem.matrix, problem.counts, flux, problem.background)
        root = np.sqrt(np.divide(1.0, model, out=np.zeros(model.shape), where=model > 0))
        half = problem.matrix * flux * root[:, None]
        curvature = half.T @ half + strength * self.bend
        curvature[np.diag_indices_from(curvature)] += _RIDGE * (1.0 + 6.0 * strength)
        return strength * (self.bend @ eta) - score, curvature

    def model(self, eta: Array) -> Array:
        """Give the expected counts."""
        return fold(self.problem.matrix, self.start * np.exp(eta), self.problem.background)

    def unfolded(self, fit: Fit, strength: float) -> Unfolded:
        """Give the flux with its standard deviation."""
        inverse = cho_solve(cho_factor(fit.curvature), np.eye(fit.eta.size))
        return Unfolded(
            self.start * np.exp(fit.eta),
            self.model(fit.eta),
            fit.steps,
            fit.converged,
            strength,
            np.sqrt(np.diag(inverse)),
            fit.eta.size - strength * float(np.vdot(inverse, self.bend)),
        )


def _evidence(fit: Fit, strength: float) -> float:
    """Give ln Z but for a constant."""
    factor = cho_factor(fit.curvature)[0]
    determinant = 2.0 * np.log(np.diag(factor)).sum()
    return -fit.objective + 0.5 * (fit.eta.size - 2) * np.log(strength) - 0.5 * determinant


def _first(one: tuple[float, float, Fit]) -> float:
    """Give what the strengths are ranked by."""
    return one[0]
