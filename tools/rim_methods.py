"""The methods that are compared with the network, each at its best.

A method gives ln flux of every observation. The penalised fit and Richardson-Lucy have a setting
that has to be chosen: they are run with their own rule and with each of several fixed settings, of
which the best is taken knowing the truth, which an observer cannot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.poisson import fold
from ..kernels.refold import refold_cash
from ..kernels.unfold import (
    Problem,
    Unfolded,
    isis,
    pseudo_inverse,
    richardson_lucy,
    tikhonov,
)
from ..kernels.unfold_map import penalised_map
from ..models.rim import Rim
from .rim_trials import Trials
from .spectrum_errors import coverage, errors

Array = NDArray[np.float64]

STRENGTHS = (10.0, 100.0, 300.0, 1e3, 3e3)
EM_STEPS = (2, 4, 7, 12, 20, 40, 80)


class Fluxes(NamedTuple):
    """Flux, shape (observation, energy), and freedom of the fit, shape (observation,)."""

    flux: Array
    freedom: Array


@dataclass(frozen=True, slots=True)
class Score:
    """How a method did.

    Parameters
    ----------
    method : str
    setting : str
        "" where there is none to choose.
    l1, smoothed : float
        Means of `spectrum_errors.errors`.
    scatter : float
        Standard error of `smoothed`.
    within_68, within_95 : float or None
        Coverage; None without bands.
    refold_z : float or None
        Mean standard deviations of the Cash statistic over what is expected of a fit with the
        method's freedom (none where it does not tell); None for fluxes that may be negative.
    not_rejected : float or None
        Part no more than two of them above.
    within_two : float or None
        Part no more than two of them above or below.
    """

    method: str
    setting: str
    l1: float
    smoothed: float
    scatter: float
    within_68: float | None
    within_95: float | None
    refold_z: float | None
    not_rejected: float | None
    within_two: float | None


def score_rim(rim: Rim, trials: Trials) -> Score:
    """Measure the network."""
    found = [
        rim.deconvolve(
            trials.counts[row, None], trials.response(row)[None], trials.background[row, None]
        )
        for row in range(len(trials))
    ]
    log_flux = np.concatenate([one.log_flux for one in found])
    sigma = np.concatenate([one.log_flux_sigma for one in found])
    covered = coverage(trials.log_flux, log_flux, sigma)
    freedom = np.concatenate([one.freedom for one in found])
    return _score("RIM", "", trials, Fluxes(np.exp(log_flux), freedom), covered)


def score_map(trials: Trials, *, tuned: bool = True) -> list[Score]:
    """Measure the penalised fit: the strength of greatest evidence, and the best fixed one."""
    fits = [penalised_map(one) for one in problems(trials)]
    sigma = np.array([one.sigma for one in fits])
    fluxes = _fluxes(fits)
    covered = coverage(trials.log_flux, np.log(fluxes.flux), sigma)
    own = _score("MAP", "evidence", trials, fluxes, covered)
    fixed = [
        _score("MAP", f"{strength:g}", trials, _run(trials, _mapped(strength)))
        for strength in (STRENGTHS if tuned else ())
    ]
    return [own, min(fixed, key=_smoothed)] if tuned else [own]


def score_richardson_lucy(trials: Trials) -> list[Score]:
    """Measure Richardson-Lucy: stopped by its rule, and after the best number of steps."""
    fixed = [
        _score("Richardson-Lucy", f"{steps} steps", trials, _run(trials, _iterated(steps)))
        for steps in EM_STEPS
    ]
    own = _score("Richardson-Lucy", "Cash", trials, _run(trials, richardson_lucy))
    return [own, min(fixed, key=_smoothed)]


def score_simple(trials: Trials) -> list[Score]:
    """Measure the ISIS estimate, the plain inverse and Tikhonov's."""
    methods = {"ISIS": isis, "plain inverse": pseudo_inverse, "Tikhonov": tikhonov}
    return [_score(name, "", trials, _run(trials, one)) for name, one in methods.items()]


def problems(trials: Trials) -> list[Problem]:
    """Give the observations as the classical methods take them."""
    return [
        Problem(trials.counts[row], trials.response(row), trials.background[row])
        for row in range(len(trials))
    ]


def _run(trials: Trials, method: Callable[[Problem], Unfolded]) -> Fluxes:
    """Give what a method finds in every observation."""
    return _fluxes([method(one) for one in problems(trials)])


def _fluxes(found: Sequence[Unfolded]) -> Fluxes:
    """Put what was found together."""
    return Fluxes(np.array([one.flux for one in found]), np.array([one.freedom for one in found]))


def _mapped(strength: float) -> Callable[[Problem], Unfolded]:
    """Give a penalised fit of fixed strength."""
    return lambda problem: penalised_map(problem, strength=strength)


def _iterated(steps: int) -> Callable[[Problem], Unfolded]:
    """Give Richardson-Lucy with a fixed number of steps."""
    return lambda problem: richardson_lucy(problem, steps=steps)


def _score(
    method: str,
    setting: str,
    trials: Trials,
    fluxes: Fluxes,
    covered: dict[float, float] | None = None,
) -> Score:
    """Measure what a method found."""
    found = errors(np.exp(trials.log_flux), fluxes.flux)
    z = _refolded(trials, fluxes)
    return Score(
        method,
        setting,
        float(found.l1.mean()),
        float(found.smoothed.mean()),
        float(found.smoothed.std() / np.sqrt(len(trials))),
        None if covered is None else covered[0.68],
        None if covered is None else covered[0.95],
        None if z is None else float(np.mean(z)),
        None if z is None else float((z <= 2.0).mean()),
        None if z is None else float((np.abs(z) <= 2.0).mean()),
    )


def _refolded(trials: Trials, fluxes: Fluxes) -> Array | None:
    """Give how far each spectrum, folded again, is from its counts; None where it is negative."""
    flux, freedom = fluxes
    if flux.min() < 0:
        return None
    rows = range(len(trials))
    models = (fold(trials.response(row), flux[row], trials.background[row]) for row in rows)
    given = zip(trials.counts, models, freedom, strict=True)
    return np.array([replace(refold_cash(n, m), freedom=free).z for n, m, free in given])


def _smoothed(score: Score) -> float:
    """Give what settings are ranked by."""
    return score.smoothed
