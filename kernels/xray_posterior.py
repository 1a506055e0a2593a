"""Posteriors of X-ray sources by importance sampling, with nested sampling to hold them against.

Draws are made in the normal numbers x of `xray_prior`, where the posterior is L(x) N(x; 0, 1) and
has no bounds. The first round's proposal is a mixture: Laplace's approximation at the posterior's
maxima (the fit's minimum and its rivals, climbed on with the prior), the same twice as wide, the
network's density where there is one, and a little of the prior itself. Later rounds draw from a
mixture fitted to all draws so far. Every draw is weighed by the mixture of all rounds,

    w_i = L(x_i) N(x_i) / sum_r (n_r / n) q_r(x_i)

(Owen & Zhou 2000, JASA 95, 135; Cornuet et al. 2012, Scand. J. Stat. 39, 798), and the largest
weights are smoothed as in `psis`, whose k-hat tells whether they can be trusted. Rounds go on until
it does and half as many draws count as were asked for.

The evidence is that of the likelihood exp(-statistic / 2) under a normalised prior: the constant of
the data that Cash's and the W statistic leave out is the same for all models, so that differences
of `log_evidence` are logarithms of Bayes factors. A probability given as `prior` replaces the broad
one within the broad one's ranges, where it is normalised.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import nested_sampling
from .psis import TRUSTED, effective_draws, smooth
from .xray_fit import Task, XrayFit
from .xray_fold import Folding
from .xray_model import to_values
from .xray_prior import Prior, log_normal
from .xray_proposal import Mixture, Proposal, refit, shrunk, to_normal
from .xray_scoring import climb

__all__ = ["Proposal", "XrayPosterior", "nested", "sample"]

Array = NDArray[np.float64]

_ROUNDS = 1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1.0, 1.0, 1.0  # of `draws`, at most
_FEWEST = 100  # draws of a round
_COMPONENTS = 4  # of a refitted proposal
_BROAD = 0.04  # of every proposal is the prior
_WIDE = 2.0  # factor of the second Laplace approximation
_SHOWN = 400  # draws that are given back
_FEW = 4  # parameters up to which nested sampling draws evenly
_FARTHEST = 4.0  # normal numbers at which the climb stops; the prior beyond is 6e-5


@dataclass(frozen=True, slots=True)
class XrayPosterior:
    """A posterior, in values of the parameters.

    Parameters
    ----------
    mean, sigma : ndarray, shape (parameter,)
    q16, q50, q84 : ndarray, shape (parameter,)
        Quantiles; 0.16 and 0.84 are those of one standard deviation, 0.1587 and 0.8413.
    log_evidence, log_evidence_error : float
    k_hat : float
        Of Pareto-smoothed importance sampling; above 0.7 nothing here is to be trusted. NaN of
        nested sampling.
    effective : float
        Draws that count.
    evaluations : int
        Of the likelihood, those of the climb included.
    draws : ndarray, shape (draw, parameter)
        Equally weighted.
    """

    mean: Array
    sigma: Array
    q16: Array
    q50: Array
    q84: Array
    log_evidence: float
    log_evidence_error: float
    k_hat: float
    effective: float
    evaluations: int
    draws: Array


@dataclass(frozen=True, slots=True)
class _Target:
    """The posterior in normal numbers."""

    folding: Folding
    prior: Prior
    given: Proposal | None
    inside: float

    @classmethod
    def of(cls, task: Task, given: Proposal | None) -> "_Target":
        prior = task.prior()
        inside = 0.0 if given is None else given.log_inside(prior)
        return cls(task.folding(), prior, given, inside)

    def beyond_broad(self, coordinates: Array) -> Array:
        """Give ln of the prior's density over the broad one's, shape (point,)."""
        if self.given is None:
            return np.zeros(len(coordinates))
        broad = self.prior.log_density(coordinates)
        own = self.given.log_density(coordinates) - self.inside
        return np.where(np.isfinite(broad), own - broad, -np.inf)

    def log_density(self, normal: Array) -> Array:
        coordinates = self.prior.from_normal(normal)
        found = self.folding.log_likelihood(coordinates) + log_normal(normal)
        return found + self.beyond_broad(coordinates)


class _Normal:
    """Normal numbers as the space of a climb: the prior is the penalty."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.mean, self.precision = np.zeros(prior.size), np.ones(prior.size)

    def coordinates(self, points: Array) -> Array:
        return self.prior.from_normal(points)

    def slope(self, points: Array) -> Array:
        return self.prior.slope(points)

    def bounds(self, points: Array) -> tuple[Array, Array]:
        far = np.full(points.shape, _FARTHEST)
        return -far, far


def sample(
    task: Task,
    fit: XrayFit,
    *,
    proposal: Proposal | None = None,
    prior: Proposal | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> XrayPosterior:
    """Sample the posterior by importance sampling.

    Parameters
    ----------
    task : Task
    fit : XrayFit
        Of the task.
    proposal : Proposal or None
        A network's density, drawn from beside the fit's.
    prior : Proposal or None
        Replaces the broad prior, within its ranges.
    draws : int
        Of each round, at least 100.
    seed : int

    Returns
    -------
    XrayPosterior
        NaN, with k-hat infinite, where the fit has no data.
    """
    if not np.all(np.isfinite(fit.coordinates)):
        return _nothing(len(task.model.parameters))
    target, generator = _Target.of(task, prior), np.random.default_rng(seed)
    rounds = [_first(target, fit, [one for one in (proposal, prior) if one is not None])]
    sizes = [max(int(part * draws), _FEWEST) for part in _ROUNDS]
    normal, log_target = np.empty((0, target.prior.size)), np.empty(0)
    while True:
        drawn = rounds[-1].draw(sizes[len(rounds) - 1], generator)
        normal = np.concatenate([normal, drawn])
        log_target = np.concatenate([log_target, target.log_density(drawn)])
        shares = np.log(np.array(sizes[: len(rounds)]) / len(normal))
        log_proposal = np.logaddexp.reduce(
            [one.log_density(normal) + share for one, share in zip(rounds, shares, strict=True)]
        )
        log_weight = log_target - log_proposal
        smoothed, k_hat = smooth(log_weight[None])
        if not np.isfinite(smoothed).any():
            return _nothing(target.prior.size)
        effective = float(effective_draws(smoothed)[0])
        if (k_hat[0] < TRUSTED and effective > 0.5 * draws) or len(rounds) == len(sizes):
            break
        parts = refit(normal, smoothed[0], components=_COMPONENTS, generator=generator)
        rounds.append(_next(parts))
    largest = log_weight.max()
    weight = np.exp(log_weight - largest)
    evidence = largest + np.log(weight.mean())
    error = weight.std() / weight.mean() / np.sqrt(weight.size)
    return _summary(
        to_values(task.model, target.prior.from_normal(normal)),
        np.exp(smoothed[0]),
        evidence=(float(evidence), float(error)),
        quality=(float(k_hat[0]), effective, target.folding.evaluations),
        generator=generator,
    )


def nested(
    task: Task, *, prior: Proposal | None = None, live: int = 500, seed: int = 0
) -> XrayPosterior:
    """Sample the posterior by nested sampling with dynesty.

    Parameters
    ----------
    task : Task
    prior : Proposal or None
        As of `sample`.
    live : int
        Live points.
    seed : int

    Returns
    -------
    XrayPosterior

    Raises
    ------
    ImportError
        If dynesty is not installed; it comes with the extra ``bayes``.
    """
    target, generator = _Target.of(task, prior), np.random.default_rng(seed)

    def log_likelihood(unit: Array) -> float:
        coordinates = target.prior.from_unit(unit[None])
        found = target.folding.log_likelihood(coordinates) + target.beyond_broad(coordinates)
        return max(float(found[0]), -1e300)

    found = nested_sampling.run(
        log_likelihood,
        lambda unit: unit,
        target.prior.size,
        generator,
        live=live,
        remain=0.01,
        # Even draws from ellipsoids are the cheapest way while these fill most of their shell.
        sample="unif" if target.prior.size <= _FEW else "rwalk",
    )
    return _summary(
        to_values(task.model, target.prior.from_unit(found.points)),
        found.weight,
        evidence=(found.log_evidence, found.log_evidence_error),
        quality=(float("nan"), found.effective, target.folding.evaluations),
        generator=generator,
    )


def _first(target: _Target, fit: XrayFit, networks: list[Proposal]) -> Mixture:
    """Give the proposal of the first round."""
    prior = target.prior
    starts = np.clip(prior.to_normal(np.vstack([fit.coordinates, fit.rivals])), -3.0, 3.0)
    ends = climb(target.folding, starts, _Normal(prior))
    covariance = np.linalg.inv(ends.information)
    mass = np.exp(ends.objective.min() - ends.objective) * np.sqrt(np.linalg.det(covariance))
    mass = np.maximum(mass / mass.sum(), 0.02)
    parts = []
    for share, mean, cov in zip(mass, ends.points, covariance, strict=True):
        parts += [(0.7 * share, mean, shrunk(cov)), (0.3 * share, mean, shrunk(cov * _WIDE**2))]
    for network in networks:
        total = sum(one[0] for one in parts)
        parts += [(0.5 * total * share, *rest) for share, *rest in to_normal(network, prior)]
    return Mixture.joined(parts, _BROAD)


def _next(parts: list[tuple[float, Array, Array]]) -> Mixture:
    """Give the proposal of a later round, made of components fitted to draws."""
    wider = [(0.15 * share, mean, shrunk(4.0 * cov)) for share, mean, cov in parts]
    return Mixture.joined(
        [*((0.85 * share, mean, cov) for share, mean, cov in parts), *wider], _BROAD
    )


def _summary(
    values: Array,
    weight: Array,
    *,
    evidence: tuple[float, float],
    quality: tuple[float, float, int],
    generator: np.random.Generator,
) -> XrayPosterior:
    """Give moments, quantiles and draws of weighted values."""
    mean = weight @ values
    sigma = np.sqrt(weight @ np.square(values - mean))
    order = np.argsort(values, axis=0)
    sums = np.cumsum(weight[order], axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    columns = range(values.shape[1])
    middle = sums - 0.5 * weight[order]
    q16, q50, q84 = (
        np.array([np.interp(part, middle[:, one], ordered[:, one]) for one in columns])
        for part in (0.158655254, 0.5, 0.841344746)
    )
    place = (np.arange(_SHOWN) + generator.uniform()) / _SHOWN
    total = np.cumsum(weight)
    chosen = np.minimum(np.searchsorted(total, place * total[-1]), weight.size - 1)
    return XrayPosterior(
        mean, sigma, q16, q50, q84, *evidence, *quality, generator.permutation(values[chosen])
    )


def _nothing(size: int) -> XrayPosterior:
    """Give the posterior of no data."""
    none, nan = np.full(size, np.nan), float("nan")
    shown = np.full((_SHOWN, size), np.nan)
    return XrayPosterior(none, none, none, none, none, nan, nan, float("inf"), 0.0, 0, shown)
