"""Where the posterior of a source of two components lies: a survey of what the second one may be.

Counts often allow several ways to part the emission of two plasmas: a second one of any temperature
that is too faint to be seen, one as hot as the first that shares its norm in any proportion, a hot
one that is faint beside the cooler. A steep power law may stand for a column that is not there, and
the other way round, in any proportion to a plasma. The posterior then is no ellipsoid but a sheet
with folds, and an expansion about its maxima misses most of it. So two of the parameters are pinned
to the nodes of a lattice, in the normal numbers of `xray_prior`, and the others brought to their
best. At each such point x, with gradient g and information F of -ln p (prior included) and the
lattice's steps h, the part of the posterior about it is taken as

    p(x + d) ~ exp(-f - g d - d F d / 2) exp(-d_w^2 / 2 h^2),

a Gaussian of precision P = F + diag(1 / h^2) in the pinned ones and of mean x - P^-1 g, or x where
p in the window is not larger there, with the mass of Laplace's method, p(mean) / sqrt(det P).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .xray_fit import scaled
from .xray_fold import Folding
from .xray_prior import Prior
from .xray_proposal import Part
from .xray_scoring import Ends, climb, curvature, objective

__all__ = ["Normal", "Planes", "Survey", "about", "distinct", "survey"]

Array = NDArray[np.float64]
FARTHEST = 4.0
"""Normal numbers at which a climb stops; the prior beyond is 6e-5."""

_INSIDE = 3.0  # normal numbers within which climbs begin
_ENOUGH = 0.03  # of ln p: nodes need not be exact, their slope is known
_NODES = -2.0, -1.2, -0.4, 0.4, 1.2, 2.0  # of a temperature, or of the column
_SHARES = -1.8, -0.9, 0.0, 0.9, 1.8  # of the second norm over the first
_LARGE = 0.5, 1.2, 1.9  # the same, where the second plasma is the brighter one
_RATIOS = -4.0, -2.4, -0.8, 0.8, 2.4, 4.0  # ln of the counts of a plasma over a power law's
_TRIED = -2.0, -1.0, -0.3, 0.3, 1.0, 2.0  # of the other shape, before the climb
_FAINT = 8.0  # ln of mass below the largest at which a node is left out
_DEEP = 10.0  # of ln p below the best, up to which a node may lead to another maximum


@dataclass(frozen=True, slots=True)
class Planes:
    """What is pinned, and what is tried at each node before the climb.

    Parameters
    ----------
    pinned : tuple of int
        Two parameters.
    nodes : tuple of tuple of float
        Normal numbers of each.
    tried : int
        A parameter whose best value is looked for among a few.
    """

    pinned: tuple[int, int]
    nodes: tuple[tuple[float, ...], tuple[float, ...]]
    tried: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Parameters
    ----------
    parts : list of Part
        Weights are masses over the largest.
    summits : ndarray, shape (summit, parameter)
        Nodes better than those about them, from which to climb freely.
    window : ndarray, shape (parameter,)
        Steps of the lattice; inf where it has none.
    """

    parts: list[Part]
    summits: Array
    window: Array


class Normal:
    """Normal numbers as the space of a climb: the prior is the penalty.

    Parameters
    ----------
    prior : Prior
    pinned : tuple of int
        Parameters that stay where they are.
    """

    def __init__(self, prior: Prior, pinned: tuple[int, ...] = ()) -> None:
        self.prior, self.pinned = prior, list(pinned)
        self.mean, self.precision = np.zeros(prior.size), np.ones(prior.size)

    def coordinates(self, points: Array) -> Array:
        """Give the coordinates, shape (point, parameter)."""
        return self.prior.from_normal(points)

    def slope(self, points: Array) -> Array:
        """Give d coordinate / d normal, shape (point, coordinate, parameter)."""
        return self.prior.slope(points)

    def bounds(self, points: Array) -> tuple[Array, Array]:
        """Give least and greatest, each of shape (point, parameter)."""
        high = np.full(points.shape, FARTHEST)
        low = -high
        low[:, self.pinned] = high[:, self.pinned] = points[:, self.pinned]
        return low, high


def planes_of(prior: Prior) -> list[Planes]:
    """Give the lattices of a model; none where it has one component or draws no counts."""
    names = prior.model.names
    if prior.reach is not None:
        ratios = tuple(ndtri(prior.ratio_to_unit(np.array(_RATIOS))).tolist())
        ratio, index = names.index("index_norm"), names.index("index")
        pinned = prior.nH, names.index("kT")
        return [Planes((one, ratio), (_NODES, ratios), index) for one in pinned]
    if prior.temperatures is None:
        return []
    (hot, cool), second = prior.temperatures, names.index("second")
    return [
        Planes((cool, second), (_NODES, _SHARES), hot),
        Planes((hot, second), (_NODES, _LARGE), cool),
    ]


def survey(folding: Folding, prior: Prior, start: Array) -> Survey:
    """Look at every node of a model's lattices.

    Parameters
    ----------
    folding : Folding
    prior : Prior
    start : ndarray, shape (parameter,)
        Coordinates that fit, for what is neither pinned nor tried.

    Returns
    -------
    Survey
        Empty where the model has no lattice.
    """
    parts: list[Part] = []
    summits, all_ = [np.empty((0, prior.size))], np.full(prior.size, np.inf)
    for one in planes_of(prior):
        nodes = _best(folding, prior, one, start)
        ends = climb(folding, nodes, Normal(prior, one.pinned), enough=_ENOUGH)
        window = np.full(prior.size, np.inf)
        window[list(one.pinned)] = [axis[1] - axis[0] for axis in one.nodes]
        all_ = np.minimum(all_, window)
        parts += about(folding, prior, ends.points, window)
        height = ends.objective.reshape([len(axis) for axis in one.nodes])
        summits.append(ends.points[_summits(height)])
    largest = max((mass for mass, *_ in parts), default=0.0)
    kept = [
        (float(np.exp(mass - largest)), mean, covariance)
        for mass, mean, covariance in parts
        if mass > largest - _FAINT
    ]
    return Survey(kept, np.concatenate(summits), all_)


def about(folding: Folding, prior: Prior, points: Array, window: Array) -> list[Part]:
    """Give the Gaussians that the posterior is about points, in windows.

    Parameters
    ----------
    folding : Folding
    prior : Prior
    points : ndarray, shape (point, parameter)
        Normal numbers.
    window : ndarray, shape (parameter,)
        Standard deviations; inf for none.

    Returns
    -------
    list of (float, ndarray, ndarray)
        ln of the mass, mean, covariance.
    """
    space = Normal(prior)
    height = objective(folding, points, space)
    information, slope = curvature(folding, points, space)
    precision = information + np.diag(window**-2.0)
    covariance = np.linalg.inv(precision)
    step = -np.einsum("kij,kj->ki", covariance, slope)
    # The expansion holds in the window; beyond it only says where to go.
    far = np.abs(step / np.minimum(window, 1.0)).max(axis=1, keepdims=True)
    mean = np.clip(points + step / np.maximum(far, 1.0), -FARTHEST, FARTHEST)
    there = objective(folding, mean, space) + 0.5 * np.square((mean - points) / window).sum(axis=1)
    better = there < height
    mass = -np.minimum(there, height) - 0.5 * np.linalg.slogdet(precision)[1]
    mean = np.where(better[:, None], mean, points)
    return list(zip(mass.tolist(), mean, covariance, strict=True))


def distinct(ends: Ends) -> Ends:
    """Leave out of climbs those that ended where a better one did, or far below the best."""
    kept: list[int] = []
    for place in np.argsort(ends.objective, kind="stable"):
        away = ends.points[place] - ends.points[kept]
        near = np.einsum("ki,kij,kj->k", away, ends.information[kept], away)
        if ends.objective[place] < ends.objective.min() + _DEEP and np.all(near > 1.0):
            kept.append(int(place))
    return Ends(*(getattr(ends, name)[kept] for name in Ends.__slots__))


def _best(folding: Folding, prior: Prior, planes: Planes, start: Array) -> Array:
    """Give normal numbers to climb from at every node: the best of the values tried there."""
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*planes.nodes, indexing="ij")], axis=1)
    pinned, size = list(planes.pinned), len(_TRIED)
    points = np.clip(prior.to_normal(start[None]), -_INSIDE, _INSIDE).repeat(len(grid) * size, 0)
    points[:, pinned] = grid.repeat(size, axis=0)
    points[:, planes.tried] = np.tile(_TRIED, len(grid))
    points = prior.to_normal(scaled(folding, prior, prior.from_normal(points)))
    height = objective(folding, points, Normal(prior)).reshape(len(grid), size)
    found = points.reshape(len(grid), size, -1)[np.arange(len(grid)), height.argmin(axis=1)]
    found = np.clip(found, -FARTHEST, FARTHEST)
    found[:, pinned] = grid
    return found


def _summits(height: Array) -> NDArray[np.int64]:
    """Find the nodes of a lattice below their four neighbours in -ln p."""
    edged = np.pad(height, 1, constant_values=np.inf)
    near = np.min([edged[:-2, 1:-1], edged[2:, 1:-1], edged[1:-1, :-2], edged[1:-1, 2:]], axis=0)
    return np.flatnonzero((height <= near) & (height < height.min() + _DEEP))
