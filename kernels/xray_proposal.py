"""Mixtures to draw parameters from, and how they are fitted to weighted draws.

A `Proposal` is a mixture of Gaussians over coordinates, as a network gives it. Draws are made in
the normal numbers of `xray_prior`, where the prior is a unit Gaussian, from a `Mixture` of
Student's t distributions: their tails are heavier than those of any posterior there, so that
importance weights stay bounded. `refit` finds the mixture that weighted draws come from by
expectation maximisation (Cappe et al. 2008, Stat. Comput. 18, 447); where a few draws carry all the
weight, weights are flattened to a power at which enough count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from .xray_prior import Prior, log_normal

Array = NDArray[np.float64]
Part = tuple[float, Array, Array]
"""Weight, mean and covariance of a component."""

_FREEDOM = 8.0  # degrees of freedom of the t distributions
_ITERATIONS = 20  # of expectation maximisation
_FEWEST = 60.0  # draws that have to count, or weights are flattened
_INSIDE = 2.5  # normal numbers to which a network's means are drawn in
_WIDEST = 1.0  # variance in normal numbers: that of the prior


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mixture of Gaussians over the coordinates of one source.

    Parameters
    ----------
    weights : ndarray, shape (component,)
        Of sum one.
    mean : ndarray, shape (component, parameter)
    covariance : ndarray, shape (component, parameter, parameter)
    """

    weights: Array
    mean: Array
    covariance: Array

    def log_density(self, coordinates: Array) -> Array:
        """Give the logarithm of the density, shape (point,)."""
        return _gaussians(self.weights, self.mean, self.covariance, coordinates)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Draw independent points, shape (count, parameter)."""
        chosen = generator.choice(self.weights.size, size=count, p=self.weights)
        factor = np.linalg.cholesky(self.covariance)[chosen]
        normal = generator.standard_normal((count, self.mean.shape[1], 1))
        return self.mean[chosen] + np.matmul(factor, normal)[..., 0]

    def widened(self, factor: float) -> "Proposal":
        """Multiply every component's standard deviations by `factor`."""
        return Proposal(self.weights, self.mean, self.covariance * factor**2)

    def extended(self, mean: Array, covariance: Array) -> "Proposal":
        """Add the last coordinates of a Gaussian, independent of those that are here."""
        here, size = self.mean.shape[1], mean.size
        added = np.zeros((self.weights.size, size, size))
        added[:, :here, :here] = self.covariance
        added[:, here:, here:] = covariance[here:, here:]
        rest = np.broadcast_to(mean[here:], (self.weights.size, size - here))
        return Proposal(self.weights, np.column_stack([self.mean, rest]), added)

    def log_inside(self, prior: Prior, *, count: int = 20_000) -> float:
        """Give the logarithm of the part of it within the prior's ranges, by fixed draws."""
        drawn = self.draw(count, np.random.default_rng(0))
        inside = np.count_nonzero(np.isfinite(prior.log_density(drawn)))
        return float(np.log(inside / count)) if inside else -np.inf


@dataclass(frozen=True, slots=True)
class Mixture:
    """Student's t distributions in normal numbers, and the prior itself.

    Parameters
    ----------
    weights : ndarray, shape (component,)
        Their sum and `broad` make one.
    mean : ndarray, shape (component, parameter)
    covariance : ndarray, shape (component, parameter, parameter)
        The matrix of scales squared.
    broad : float
        Part of the unit Gaussian.
    """

    weights: Array
    mean: Array
    covariance: Array
    broad: float

    @classmethod
    def joined(cls, parts: Sequence[Part], broad: float) -> "Mixture":
        """Put components (weight, mean, covariance) together; weights need no norm."""
        weights = np.array([one[0] for one in parts])
        weights *= (1.0 - broad) / weights.sum()
        return cls(
            weights, np.array([one[1] for one in parts]), np.array([one[2] for one in parts]), broad
        )

    def log_density(self, normal: Array) -> Array:
        """Give the logarithm of the density, shape (point,)."""
        each = _log_students(self.mean, self.covariance, normal)
        found = np.asarray(logsumexp(each + np.log(self.weights), axis=1))
        return np.logaddexp(found, np.log(self.broad) + log_normal(normal))

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Draw points; each component gets its share of them, shape (count, parameter)."""
        shares = np.cumsum(np.append(self.weights, self.broad))
        place = (np.arange(count) + generator.uniform()) / count
        chosen = np.minimum(np.searchsorted(shares, place * shares[-1]), self.weights.size)
        size = self.mean.shape[1]
        factor = np.concatenate([np.linalg.cholesky(self.covariance), np.eye(size)[None]])
        mean = np.concatenate([self.mean, np.zeros((1, size))])
        stretch = np.sqrt(_FREEDOM / generator.chisquare(_FREEDOM, count))
        stretch[chosen == self.weights.size] = 1.0
        normal = generator.standard_normal((count, size, 1))
        return mean[chosen] + stretch[:, None] * np.matmul(factor[chosen], normal)[..., 0]


def to_normal(proposal: Proposal, prior: Prior) -> list[Part]:
    """Give the components of a proposal in normal numbers, bent straight at their means."""
    mean = np.clip(prior.to_normal(proposal.mean), -_INSIDE, _INSIDE)
    turn = np.linalg.inv(prior.slope(mean))
    covariance = np.matmul(np.matmul(turn, proposal.covariance), turn.transpose(0, 2, 1))
    tight = [shrunk(one) for one in covariance]
    return list(zip(proposal.weights.tolist(), mean, tight, strict=True))


def shrunk(covariance: Array) -> Array:
    """Give a covariance no wider than the prior in any direction, and no thinner than nothing."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    return (vectors * np.clip(values, 1e-10, _WIDEST)) @ vectors.T


def refit(
    normal: Array, log_weight: Array, *, components: int, generator: np.random.Generator
) -> list[Part]:
    """Fit Gaussians to weighted draws.

    Parameters
    ----------
    normal : ndarray, shape (draw, parameter)
    log_weight : ndarray, shape (draw,)
        Normalised or not; -inf for none.
    components : int
        At most.
    generator : numpy.random.Generator
        Chooses where the components begin.

    Returns
    -------
    list of (weight, mean, covariance)
    """
    weight = _flattened(log_weight)
    used = weight > 1e-6 * weight.max()
    points, weight = normal[used], weight[used] / weight[used].sum()
    size, count = points.shape[1], max(1, min(components, int(1.0 / np.square(weight).sum() / 20)))
    overall = np.cov(points.T, aweights=weight, bias=True).reshape(size, size)
    overall += 1e-9 * np.eye(size)
    seeds = generator.choice(len(points), size=count, p=weight)
    mean, shares = points[seeds], np.full(count, 1.0 / count)
    covariance = np.repeat(overall[None] / count, count, axis=0)
    for _ in range(_ITERATIONS if count > 1 else 1):
        each = _log_gaussians(mean, covariance, points) + np.log(shares)
        belongs = np.exp(each - logsumexp(each, axis=1, keepdims=True)) * weight[:, None]
        total = belongs.sum(axis=0) + 1e-12
        shares = total / total.sum()
        mean = (belongs.T @ points) / total[:, None]
        away = points - mean[:, None]
        spread = np.matmul((belongs.T[:, :, None] * away).transpose(0, 2, 1), away)
        spread /= total[:, None, None]
        # A component of few draws leans on the covariance of all.
        lean = 0.02 / (0.02 + shares)
        covariance = (1 - lean[:, None, None]) * spread + lean[:, None, None] * overall
    return [
        (float(share), one, shrunk(cov))
        for share, one, cov in zip(shares, mean, covariance, strict=True)
    ]


def reweighed(parts: Sequence[Part], normal: Array, log_weight: Array) -> list[Part]:
    """Fit the weights of components to weighted draws, and nothing else of them.

    Parameters
    ----------
    parts : sequence of (weight, mean, covariance)
    normal : ndarray, shape (draw, parameter)
    log_weight : ndarray, shape (draw,)
        Normalised or not; -inf for none.

    Returns
    -------
    list of (weight, mean, covariance)
        None lighter than a hundredth of an even share.
    """
    weight = _flattened(log_weight)
    used = weight > 1e-6 * weight.max()
    weight = weight[used] / weight[used].sum()
    mean, covariance = (np.array([one[place] for one in parts]) for place in (1, 2))
    each = _log_students(mean, covariance, normal[used])
    each = np.exp(each - each.max(axis=1, keepdims=True))
    shares = np.array([one[0] for one in parts])
    shares /= shares.sum()
    for _ in range(_ITERATIONS):
        belongs = each * shares
        shares = weight @ (belongs / belongs.sum(axis=1, keepdims=True))
        shares = np.maximum(shares, 0.01 / len(parts))
    return [(float(share), *one[1:]) for share, one in zip(shares, parts, strict=True)]


def _flattened(log_weight: Array) -> Array:
    """Give weights of largest one, to a power at which enough draws count."""
    shifted = log_weight - log_weight.max()
    power = 1.0
    for _ in range(40):
        weight = np.exp(power * shifted)
        if np.square(weight.sum()) / np.square(weight).sum() >= _FEWEST:
            break
        power *= 0.8
    return np.exp(power * shifted)


def _log_students(mean: Array, covariance: Array, points: Array) -> Array:
    """Give the logarithm of each t distribution, shape (point, component)."""
    size = points.shape[1]
    square, log_volume = _distances(mean, np.linalg.cholesky(covariance), points)
    constant = gammaln(0.5 * (_FREEDOM + size)) - gammaln(0.5 * _FREEDOM)
    constant -= 0.5 * size * np.log(_FREEDOM * np.pi)
    return constant - log_volume - 0.5 * (_FREEDOM + size) * np.log1p(square / _FREEDOM)


def _gaussians(weights: Array, mean: Array, covariance: Array, points: Array) -> Array:
    """Give the logarithm of a mixture of Gaussians, shape (point,)."""
    with np.errstate(divide="ignore"):
        each = _log_gaussians(mean, covariance, points) + np.log(weights)
    return np.asarray(logsumexp(each, axis=1), np.float64)


def _log_gaussians(mean: Array, covariance: Array, points: Array) -> Array:
    """Give the logarithm of each Gaussian, shape (point, component)."""
    square, log_volume = _distances(mean, np.linalg.cholesky(covariance), points)
    return -0.5 * square - log_volume - 0.5 * mean.shape[1] * np.log(2.0 * np.pi)


def _distances(mean: Array, factor: NDArray, points: Array) -> tuple[Array, Array]:
    """Give squared distances in scales, shape (point, component), and ln of each volume."""
    inverse = np.linalg.inv(factor)
    square = np.empty((len(points), len(mean)))
    for place, (centre, turn) in enumerate(zip(mean, inverse, strict=True)):
        square[:, place] = np.square((points - centre) @ turn.T).sum(axis=1)
    return square, np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
