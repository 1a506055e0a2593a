"""The likeliest parameters of a source, all its observations at once, on their native channels.

Cash's statistic, or one of the kind of W where a background was measured (`xray_background`), is
brought to its least by the Fisher scoring of `xray_scoring` from several starts; parameters stay
within the ranges of the broad prior. A column known beforehand adds ((ln nH - ln nH0) / sigma)^2 to
what is made least, not to the statistic that is told. Errors are those of the expected information
at the fit, with the variance of the even prior, width^2 / 12, where the data say less than that.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .likelihood import cash_moments
from .plasma import PlasmaTable
from .xray_fold import Folding, Member
from .xray_model import SourceModel, to_coordinates, to_values
from .xray_prior import ColumnPrior, Prior
from .xray_scoring import Ends, climb

__all__ = ["ColumnPrior", "Member", "Outcome", "Task", "XrayFit", "default_starts", "fit"]

Array = NDArray[np.float64]

_UNKNOWN = 0.7  # error over that of the even prior, above which the data have not told a parameter
_RIVAL = 12.0  # of the objective above the least, up to which another minimum is kept
_APART = 1.0  # standard deviations between two minima that are told apart
_KEPT = 5  # starts of the grid that are tried


class Outcome(IntFlag):
    """How a fit ended; 0 is good."""

    MAX_ITERATIONS = 1
    AT_BOUND = 2
    SINGULAR = 4
    NO_DATA = 8


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be fitted.

    Parameters
    ----------
    members : tuple of Member
        At least one.
    model : SourceModel
    table : PlasmaTable
    redshift : float
    column : ColumnPrior or None
        Where the Galactic column is known.
    """

    members: tuple[Member, ...]
    model: SourceModel
    table: PlasmaTable
    redshift: float = 0.0
    column: ColumnPrior | None = None

    def folding(self) -> Folding:
        """Make the operators of all members."""
        return Folding(self.members, self.model, self.table, self.redshift)

    def prior(self, **told: Any) -> Prior:
        """Give the broad prior; what is told is handed on to it."""
        return Prior(self.model, self.column, **told)


@dataclass(frozen=True, slots=True)
class XrayFit:
    """A fit.

    Parameters
    ----------
    values, errors : ndarray, shape (parameter,)
        In the units of the parameters.
    coordinates : ndarray, shape (parameter,)
    covariance : ndarray, shape (parameter, parameter)
        Of the coordinates.
    statistic : float
        Cash's or W, summed over the channels of all members.
    expected, scatter : float
        Its mean and standard deviation if the model is true.
    bins : int
        Channels that expect any counts.
    dof : int
        `bins` less the parameters.
    outcome : int
        Bits of `Outcome`. SINGULAR: the data do not tell some parameter from its prior range.
    rivals : ndarray, shape (minimum, parameter)
        Coordinates of other minima that are nearly as deep.
    """

    values: Array
    errors: Array
    coordinates: Array
    covariance: Array
    statistic: float
    expected: float
    scatter: float
    dof: int
    bins: int
    outcome: int
    rivals: Array


class _Box:
    """Coordinates themselves, within the ranges, with the column's prior as penalty."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.mean, self.precision = np.zeros(prior.size), np.zeros(prior.size)
        if prior.column is not None:
            self.mean[prior.nH] = np.log(prior.column.nH)
            self.precision[prior.nH] = prior.column.sigma**-2

    def coordinates(self, points: Array) -> Array:
        return points

    def slope(self, points: Array) -> Array:
        return np.broadcast_to(np.eye(self.prior.size), (len(points), *2 * (self.prior.size,)))

    def bounds(self, points: Array) -> tuple[Array, Array]:
        low, high = (
            np.broadcast_to(end, points.shape) for end in (self.prior.low, self.prior.high)
        )
        if self.prior.temperatures is not None:
            hot, cool = self.prior.temperatures
            high = high.copy()
            high[:, cool] = np.clip(points[:, hot], low[:, cool], high[:, cool])
        return low, high


def fit(task: Task, starts: Array) -> XrayFit:
    """Fit from several starts and give the best.

    Parameters
    ----------
    task : Task
    starts : ndarray, shape (start, parameter)
        Values. From each the norms are first made to expect as many counts as there are; values
        that are not finite or not positive are taken from the middle of the range.

    Returns
    -------
    XrayFit
        NaN, with the bit NO_DATA, where there are no counts or no response.
    """
    return fit_folded(task, task.folding(), starts)


def fit_folded(task: Task, folding: Folding, starts: Array) -> XrayFit:
    """Fit with operators that were made before; otherwise as `fit`."""
    prior = task.prior()
    if not folding.counts.any() or not any(one.matrix.nnz for one in task.members):
        return _nothing(prior.size)
    ends = climb(folding, scaled(folding, prior, _within(prior, starts)), _Box(prior))
    best = int(np.argmin(ends.objective))
    covariance, unknown = _covariance(prior, ends.information[best])
    coordinates = ends.points[best]
    values, sigma = to_values(task.model, coordinates), np.sqrt(np.diag(covariance))
    logarithmic = np.array([one.logarithmic for one in task.model.parameters])
    source = folding.source(coordinates[None])
    mean, variance, bins = expectation(task, folding, source[0])
    outcome = Outcome(0)
    outcome |= Outcome(0) if ends.converged[best] else Outcome.MAX_ITERATIONS
    outcome |= Outcome.AT_BOUND if ends.held[best].any() else Outcome(0)
    outcome |= Outcome.SINGULAR if unknown else Outcome(0)
    return XrayFit(
        values=values,
        errors=np.where(logarithmic, values * sigma, sigma),
        coordinates=coordinates,
        covariance=covariance,
        statistic=float(folding.statistic(source)[0]),
        expected=mean,
        scatter=float(np.sqrt(variance)),
        dof=bins - prior.size,
        bins=bins,
        outcome=int(outcome),
        rivals=_rivals(ends, best, covariance),
    )


def default_starts(task: Task) -> Array:
    """Give starts where no network says anything: the best of a grid, with the norms that fit.

    Parameters
    ----------
    task : Task

    Returns
    -------
    ndarray, shape (start, parameter)
        Values.
    """
    return grid_starts(task, task.folding())


def grid_starts(task: Task, folding: Folding) -> Array:
    """Give the starts of operators that were made before; otherwise as `default_starts`."""
    prior = task.prior()
    axes = []
    for one in task.model.parameters:
        nodes = _NODES.get(one.name, (1.0,))  # one: a factor, which follows from the counts
        if one.name == "nH" and task.column is not None:
            nodes = (task.column.nH,)
        axes.append(np.asarray(nodes, np.float64))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    points = to_coordinates(task.model, grid)
    if prior.temperatures is not None:
        hot, cool = prior.temperatures
        points = points[points[:, cool] < points[:, hot] - 0.1]
    points = scaled(folding, prior, points)
    best = np.argsort(-folding.log_likelihood(points), kind="stable")[:_KEPT]
    return to_values(task.model, points[best])


_NODES = {
    "kT": (0.3, 0.7, 1.3, 2.5, 5.0, 10.0),
    "kT2": (0.2, 0.6, 1.2, 2.5),
    "abundance": (0.3,),
    "nH": (0.02, 0.2, 1.0),
    "index": (0.8, 1.6, 2.4),
    "norm": (1e-3,),
    "second": (0.1, 1.0),
    "index_norm": (1e-5, 1e-3),  # over the plasma's, which is what counts before scaling
}


def expectation(task: Task, folding: Folding, source: Array) -> tuple[float, float, int]:
    """Give mean and variance of the statistic at a model, and the channels that expect counts.

    Where a background was profiled its counts are in the statistic, less one for each of its rates.
    """
    background, rate = folding.background(source[None])
    total = source + (background if background.ndim == 1 else background[0])
    seen = np.concatenate([np.diff(one.matrix.indptr) > 0 for one in task.members])
    bins = int(np.count_nonzero(seen | (total - source > 0)))
    moments = cash_moments(total)
    mean, variance = float(moments.mean.sum()), float(moments.variance.sum())
    if folding.beside is not None and rate is not None:
        beside = cash_moments(folding.beside.width * rate[0])
        mean += float((beside.mean - 1.0).sum())
        variance += float(beside.variance.sum()) - 2.0 * beside.mean.size
    return mean, max(variance, 0.0), bins


def _within(prior: Prior, starts: Array) -> Array:
    """Give the coordinates of starts, those that are none from the middle of the range."""
    values = np.atleast_2d(np.asarray(starts, np.float64))
    logarithmic = np.array([one.logarithmic for one in prior.model.parameters])
    good = np.isfinite(values) & ((values > 0) | ~logarithmic)
    points = to_coordinates(prior.model, np.where(good, values, 1.0))
    return np.clip(np.where(good, points, 0.5 * (prior.low + prior.high)), prior.low, prior.high)


def scaled(folding: Folding, prior: Prior, points: Array) -> Array:
    """Give points whose norms expect as many counts of the source as there are.

    Where members have factors, those of each; else those of all.
    """
    points, own = points.copy(), folding.model.own
    points[:, own:] = 0.0
    source, background = folding.source(points), folding.known.copy()
    if folding.beside is not None:
        beside = folding.beside
        background[folding.measured] += beside.spread(beside.counts / beside.width)
    free = folding.model.factors > 0
    ratio = np.empty((len(points), 0))
    for place in folding.places if free else [slice(None)]:
        total = float(folding.counts[place].sum())
        wanted = max(total - float(background[place].sum()), 0.1 * total, 0.1)
        expects = np.maximum(source[:, place].sum(axis=1), 1e-300)
        ratio = np.column_stack([ratio, np.log(wanted / expects)])
    points[:, prior.norms] += ratio[:, :1]
    points[:, own:] = ratio[:, 1:] - ratio[:, :1]
    return np.clip(points, prior.low, prior.high)


def _covariance(prior: Prior, information: Array) -> tuple[Array, bool]:
    """Give the covariance of coordinates, and whether the data leave one unknown."""
    width = np.square(prior.high - prior.low) / 12.0
    covariance = np.linalg.inv(information + np.diag(1.0 / width))
    return np.asarray(covariance, np.float64), bool(
        np.any(np.diag(covariance) > _UNKNOWN**2 * width)
    )


def _rivals(ends: Ends, best: int, covariance: Array) -> Array:
    """Give other minima that are nearly as deep and lie elsewhere."""
    kept = [ends.points[best]]
    precision = np.linalg.inv(covariance)
    for index in np.argsort(ends.objective, kind="stable"):
        away = np.array([ends.points[index] - one for one in kept])
        if ends.objective[index] - ends.objective[best] > _RIVAL:
            break
        if np.einsum("ki,ij,kj->k", away, precision, away).min() > _APART**2:
            kept.append(ends.points[index])
    return np.array(kept[1:]).reshape(-1, covariance.shape[0])


def _nothing(size: int) -> XrayFit:
    """Give the fit of no data."""
    none, square = np.full(size, np.nan), np.full((size, size), np.nan)
    nan = float("nan")
    empty = np.empty((0, size))
    return XrayFit(none, none, none, square, nan, nan, nan, 0, 0, int(Outcome.NO_DATA), empty)
