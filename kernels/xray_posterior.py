"""Posteriors of X-ray sources by importance sampling, with nested sampling to hold them against.

Draws are made in the normal numbers x of `xray_prior`, where the posterior is L(x) N(x; 0, 1) and
has no bounds. The first round's proposal is a mixture: Laplace's approximation at the posterior's
maxima (the fit's minimum, its rivals and what the survey of `xray_survey` leads to, climbed on with
the prior), the same twice as wide, the survey itself, the network's density where there is one, and
a little of the prior. Later rounds follow from the draws so far (`xray_rounds`), until weights can
be trusted and half as many draws of the last round count as were asked for. It alone is what is
told: draws that a proposal was fitted to weigh too little beneath it, which made evidences 0.03 to
0.06 too low in ln. Proposals are fitted to the posterior p times

    sqrt(1 + max_k ((theta_k - mean_k) / sigma_k)^2),

half way to p (theta - mean)^2, from which a variance is estimated best (Kahn & Marshall 1953, J.
Oper. Res. Soc. Am. 1, 263): parameters such as the ratio of two norms have long tails.

The evidence is that of the likelihood exp(-statistic / 2) under a normalised prior: the constant of
the data that Cash's and the W statistic leave out is the same for all models, so that differences
of `log_evidence` are logarithms of Bayes factors. A probability given as `prior` replaces the broad
one within the broad one's ranges, where it is normalised.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from . import nested_sampling
from .lockstep import Lockstep
from .psis import TRUSTED, smooth
from .xray_brightness import Brightness
from .xray_fit import Task, XrayFit
from .xray_fold import BLOCK, Folding
from .xray_model import to_values
from .xray_prior import Prior, log_normal
from .xray_proposal import Mixture, Part, Proposal, refit, reweighed, shrunk, to_normal
from .xray_rounds import Quality, Rounds, evidence
from .xray_scoring import climb
from .xray_survey import Normal, about, distinct, survey

__all__ = ["Proposal", "XrayPosterior", "nested", "sample"]

Array = NDArray[np.float64]

_ROUNDS = 1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1.0, 1.0, 1.0  # of `draws`, at most
_COUNT = 0.5  # of `draws`, which have to count
_LONG = 3.0  # times the error squared of a normal density's sigma, which any sigma's may be
_MARGIN = 1.3  # over the draws that it seems to take
_DEAR = 1.5  # of `draws`: where it takes more, the proposal is made better first
_EARLY = 5  # rounds before which it is
_MOST = 3.0  # of `draws` in a round
_FEWEST = 100  # draws of a round
_EACH = 15  # draws for each component, at least
_COMPONENTS = 8  # fitted to draws, at most
_FITTED = 0.6  # of a proposal are the components fitted to draws
_HEAVY = 6  # draws of largest weight that get a component each
_BROAD = 0.04  # of every proposal is the prior
_WIDE = 2.0  # factor of the second Laplace approximation
_SHOWN = 400  # draws that are given back
_NOWHERE = -1e10  # ln likelihood of what the prior excludes
_EDGE = 1e-12  # of the unit cube, in which nested sampling draws
_TINY = 1e-300
_FEW = 6  # parameters up to which nested sampling draws evenly from ellipsoids
_WALKS = 100  # steps of a walk from one live point to the next where it does not


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
        Of Pareto-smoothed importance sampling, of all draws or of the last round by itself, the
        larger; above 0.7 nothing here is to be trusted. NaN of nested sampling.
    effective : float
        Draws that count.
    evaluations : int
        Of the likelihood, those of the climb included.
    settled : bool
        Whether the last round finds the evidence of all.
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
    settled: bool
    draws: Array

    @property
    def trusted(self) -> bool:
        """Whether importance sampling has come to its end: weights are sound and rounds agree."""
        return self.k_hat < TRUSTED and self.settled


@dataclass(frozen=True, slots=True)
class _Target:
    """The posterior in normal numbers."""

    folding: Folding
    prior: Prior
    given: Proposal | None
    inside: float

    @classmethod
    def of(cls, task: Task, given: Proposal | None) -> "_Target":
        folding, prior = task.folding(), task.prior()
        inside = 0.0 if given is None else given.log_inside(prior)
        if "kT" in task.model.names:
            counts = Brightness(folding)
            prior = task.prior(log_counts=counts.log_counts, counts_range=counts.range)
        return cls(folding, prior, given, inside)

    def beyond_broad(self, coordinates: Array) -> Array:
        """Give ln of the prior's density over the broad one's, shape (point,)."""
        if self.given is None:
            return np.zeros(len(coordinates))
        broad = self.prior.log_density(coordinates)
        own = self.given.log_density(coordinates) - self.inside
        return np.where(np.isfinite(broad), own - broad, -np.inf)

    def values(self, normal: Array) -> Array:
        return to_values(self.prior.model, self.prior.from_normal(normal))

    def log_density(self, normal: Array) -> Array:
        coordinates, density = self.prior.at(normal)
        found = self.folding.log_likelihood(coordinates) + density
        return found + self.beyond_broad(coordinates)


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
    parts, window = _first(target, fit, [one for one in (proposal, prior) if one is not None])
    rounds, quality = _drawn(target, parts, window, draws, generator)
    if quality.effective == 0.0:
        return _nothing(target.prior.size)
    # Where rounds disagree, all draws have met more than those of the last.
    normal, log_weight = rounds.alone() if quality.trusted else (rounds.normal, rounds.log_weight)
    counting = quality.last if quality.trusted else quality.effective
    return _summary(
        target.values(normal),
        np.exp(smooth(log_weight[None])[0][0]),
        evidence=evidence(log_weight),
        quality=(quality.k_hat, counting, target.folding.evaluations, quality.settled),
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
        If dynesty or greenlet is not installed; they come with the extra ``bayes``.
    """
    target, generator = _Target.of(task, prior), np.random.default_rng(seed)

    def log_likelihood(unit: Array) -> Array:
        normal = ndtri(np.clip(unit, _EDGE, 1.0 - _EDGE))
        found = target.log_density(normal) - log_normal(normal)
        # Where there is no prior, values that differ: live points on a plateau cannot be ranked.
        nowhere = _NOWHERE * (1.0 + np.abs(normal).max(axis=1))
        return np.where(np.isfinite(found), found, nowhere)

    # Even draws from ellipsoids are the cheapest way while these fill most of their shell, and do
    # not depend on how long a walk has to be.
    even = target.prior.size <= _FEW
    how = {"sample": "unif"} if even else {"sample": "rwalk", "walks": _WALKS}
    found = nested_sampling.run(
        Lockstep(log_likelihood, BLOCK),
        lambda unit: unit,
        target.prior.size,
        generator,
        live=live,
        remain=0.01,
        **how,
    )
    normal = ndtri(np.clip(found.points, _EDGE, 1.0 - _EDGE))
    return _summary(
        target.values(normal),
        found.weight,
        evidence=(found.log_evidence, found.log_evidence_error),
        quality=(float("nan"), found.effective, target.folding.evaluations, True),
        generator=generator,
    )


def _first(target: _Target, fit: XrayFit, networks: list[Proposal]) -> tuple[list[Part], Array]:
    """Give the components of the first round, and the window of those that are put in later."""
    prior, folding = target.prior, target.folding
    found = survey(folding, prior, fit.coordinates)
    starts = np.clip(prior.to_normal(np.vstack([fit.coordinates, fit.rivals])), -3.0, 3.0)
    ends = climb(folding, np.concatenate([starts, found.summits]), Normal(prior))
    ends = distinct(ends)
    covariance = np.linalg.inv(ends.information)
    mass = np.exp(ends.objective.min() - ends.objective) * np.sqrt(np.linalg.det(covariance))
    mass = np.maximum(mass / mass.sum(), 0.02)
    parts: list[Part] = []
    for share, mean, cov in zip(mass, ends.points, covariance, strict=True):
        parts += [(0.7 * share, mean, shrunk(cov)), (0.3 * share, mean, shrunk(cov * _WIDE**2))]
    parts = _scaled(parts, 1.0)
    for network in networks:
        parts += _scaled(to_normal(network, prior), 0.5)
    parts += _scaled([(share, mean, shrunk(cov)) for share, mean, cov in found.parts], 1.5)
    return parts, found.window


def _drawn(
    target: _Target, parts: list[Part], window: Array, draws: int, generator: np.random.Generator
) -> tuple[Rounds, Quality]:
    """Draw rounds until a proposal is good enough for all draws that sums need."""
    rounds, number = Rounds(target.log_density, target.prior.size), 0
    fitted: list[Part] = []
    while True:
        count = int(max(_ROUNDS[number] * draws, _FEWEST, _EACH * len(parts)))
        rounds.add(_joined(parts, fitted), count, generator)
        number += 1
        # Of a single proposal nothing tells what it misses.
        done = number > 1 and _completed(target, rounds, draws, number >= _EARLY, generator)
        smoothed, quality = rounds.smoothed()
        if done or quality.effective == 0.0 or number == len(_ROUNDS):
            return rounds, quality
        parts = parts + _heaviest(target, rounds.normal, smoothed, window)
        stretched = smoothed + _stretch(target.values(rounds.normal), np.exp(smoothed))
        parts = reweighed(parts, rounds.normal, stretched)
        fitted = refit(rounds.normal, stretched, components=_COMPONENTS, generator=generator)


def _completed(
    target: _Target, rounds: Rounds, draws: int, late: bool, generator: np.random.Generator
) -> bool:
    """Draw what sums need from the last proposal, unless it is cheaper to make it better first."""
    while (quality := rounds.smoothed()[1]).trusted:
        normal, log_weight = rounds.alone()
        smoothed = smooth(log_weight[None])[0][0]
        error = _relative_error(target.values(normal), np.exp(smoothed))
        allowed = _LONG / (2.0 * _COUNT * draws)
        wanting = max(_COUNT * draws / quality.last, float(np.square(error).max()) / allowed)
        wanted = int(min(_MARGIN * wanting * len(normal), _MOST * draws))
        if wanting < 1.0 or (late and wanted <= len(normal)):
            return True
        if not late and wanted > _DEAR * draws:
            return False
        rounds.more(wanted - len(normal), generator)
    return False


def _relative_error(values: Array, weight: Array) -> Array:
    """Give the errors of weighted draws' standard deviations, over these, shape (parameter,)."""
    return 0.5 * np.sqrt(np.square(weight) @ np.square(_distances(values, weight) - 1.0))


def _stretch(values: Array, weight: Array) -> Array:
    """Give ln of what draws are wanted more for their distance, shape (draw,)."""
    return 0.5 * np.log1p(_distances(values, weight).max(axis=1))


def _distances(values: Array, weight: Array) -> Array:
    """Give squared distances of draws from their mean over the variance, of each parameter."""
    away = np.square(values - weight @ values)
    return away / np.maximum(weight @ away, _TINY)


def _heaviest(target: _Target, normal: Array, log_weight: Array, window: Array) -> list[Part]:
    """Give components about the draws of largest weight."""
    order = np.argsort(-log_weight)[:_HEAVY]
    parts = about(target.folding, target.prior, normal[order], window)
    weight = float(np.exp(log_weight[order]).mean())
    return [(weight, mean, shrunk(covariance)) for _, mean, covariance in parts]


def _joined(parts: list[Part], fitted: list[Part]) -> Mixture:
    """Give the proposal of a round: components placed by information, and those fitted to draws."""
    wider = [(share, mean, shrunk(4.0 * cov)) for share, mean, cov in fitted]
    share = _FITTED if fitted else 0.0
    kept = [*_scaled(parts, 1.0 - share), *_scaled(fitted, 0.85 * share)]
    return Mixture.joined([*kept, *_scaled(wider, 0.15 * share)], _BROAD)


def _scaled(parts: list[Part], total: float) -> list[Part]:
    """Give components whose weights have the sum asked for."""
    now = sum(one[0] for one in parts)
    return [(total * share / now, mean, covariance) for share, mean, covariance in parts]


def _summary(
    values: Array,
    weight: Array,
    *,
    evidence: tuple[float, float],
    quality: tuple[float, float, int, bool],
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
    return XrayPosterior(none, none, none, none, none, nan, nan, float("inf"), 0.0, 0, False, shown)
