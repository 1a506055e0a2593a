"""Damped Fisher scoring of X-ray spectra from many starts at once.

What is sought is the least of

    f(x) = statistic(u(x)) / 2 + sum p (x - mean)^2 / 2,

over points x whose coordinates are u(x). With J = d source / d u by central differences and D = du
/ dx, each step solves

    [F + diag(p) + lambda diag(F + p)] d = -g,
    F = D^T J^T I J D,   g = -D^T J^T score + p (x - mean),

score and information I as of `xray_fold`. The damping lambda falls tenfold with a step that lowers
f and rises tenfold with one that does not (Marquardt 1963, J. SIAM 11, 431). Coordinates that lie
at a bound with f falling outwards are held. A start is done when f is expected to fall, or has
fallen in a step, by less than `_ENOUGH`, which is a hundredth of a standard deviation.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .xray_fold import Folding
from .xray_model import SourceModel

Array = NDArray[np.float64]

_ENOUGH = 1e-4  # of f
_MOST = 60  # iterations
_FARTHEST = 1.0  # in a coordinate, in one step
_LEAST_DAMPING, _FIRST_DAMPING, _GIVEN_UP = 1e-9, 1e-3, 1e4
# Of central differences. As wide as the step between temperatures of the table (0.043), where the
# slope of its interpolation jumps.
_STEPS = {"kT": 0.03, "kT2": 0.03, "abundance": 0.02, "index": 0.01}
_STEP = 0.01  # of the logarithms of column and norms


class Space(Protocol):
    """Where the points x lie, and what is known of them beforehand."""

    @property
    def mean(self) -> Array:
        """Of the penalty, shape (parameter,)."""
        ...

    @property
    def precision(self) -> Array:
        """Of the penalty, shape (parameter,)."""
        ...

    def coordinates(self, points: Array) -> Array:
        """Give u(x), shape (point, parameter)."""
        ...

    def slope(self, points: Array) -> Array:
        """Give du / dx, shape (point, coordinate, parameter)."""
        ...

    def bounds(self, points: Array) -> tuple[Array, Array]:
        """Give least and greatest x, each of shape (point, parameter)."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the starts ended.

    Parameters
    ----------
    points : ndarray, shape (start, parameter)
    objective : ndarray, shape (start,)
        f.
    information : ndarray, shape (start, parameter, parameter)
        F + diag(p) at the points.
    held : ndarray of bool, shape (start, parameter)
        At a bound.
    converged : ndarray of bool, shape (start,)
    """

    points: Array
    objective: Array
    information: Array
    held: NDArray[np.bool_]
    converged: NDArray[np.bool_]


def climb(folding: Folding, starts: Array, space: Space, *, enough: float = _ENOUGH) -> Ends:
    """Improve every start until it does not get better.

    Parameters
    ----------
    folding : Folding
    starts : ndarray, shape (start, parameter)
    space : Space
    enough : float
        Of f, by which a start that is done may yet fall.

    Returns
    -------
    Ends
    """
    low, high = space.bounds(starts)
    points = np.clip(starts, low, high)
    number, size = points.shape
    damping = np.full(number, _FIRST_DAMPING)
    height = objective(folding, points, space)
    information, gradient = np.zeros((number, size, size)), np.zeros((number, size))
    held = np.zeros((number, size), dtype=bool)
    done, stale = np.zeros(number, dtype=bool), np.ones(number, dtype=bool)
    for _ in range(_MOST):
        fresh = np.flatnonzero(stale & ~done)
        if fresh.size:
            information[fresh], gradient[fresh] = curvature(folding, points[fresh], space)
        active = np.flatnonzero(~done)
        held[active] = _held(points[active], gradient[active], space)
        step, promised = _step(information[active], gradient[active], held[active], damping[active])
        settled = promised < enough
        done[active[settled]] = True
        active, step = active[~settled], step[~settled]
        if not active.size:
            break
        tried = points[active] + step
        tried = np.clip(tried, *space.bounds(tried))
        found = objective(folding, tried, space)
        better = found < height[active]
        gained = height[active] - found
        points[active[better]], height[active[better]] = tried[better], found[better]
        stale[:] = False
        stale[active[better]] = True
        done[active[better & (gained < enough) & (damping[active] < 1.0)]] = True
        damping[active] = np.where(
            better, np.maximum(0.1 * damping[active], _LEAST_DAMPING), 10.0 * damping[active]
        )
        # No step worth taking lowers f any more: a corner of the table's interpolation.
        done[active] |= damping[active] > _GIVEN_UP
    return Ends(points, height, information, held, done)


def jacobian(folding: Folding, coordinates: Array) -> Array:
    """Give d source / d coordinate by central differences, shape (point, parameter, channel)."""
    number, size = coordinates.shape
    step = steps(folding.model)
    moved = coordinates[:, None, None, :] + np.stack([-np.diag(step), np.diag(step)], axis=1)
    low, high = _physical(folding.model)
    moved = np.clip(moved, low, high)
    width = np.einsum("npsp->nps", moved)
    source = folding.source(moved.reshape(-1, size)).reshape(number, size, 2, -1)
    return (source[:, :, 1] - source[:, :, 0]) / (width[:, :, 1] - width[:, :, 0])[..., None]


def steps(model: SourceModel) -> Array:
    """Give the steps of differences, shape (parameter,)."""
    return np.array([_STEPS.get(name, _STEP) for name in model.names])


def _physical(model: SourceModel) -> tuple[Array, Array]:
    """Give what a coordinate may be in a difference: abundances are not negative."""
    low = [0.0 if name == "abundance" else -np.inf for name in model.names]
    return np.array(low), np.full(len(low), np.inf)


def objective(folding: Folding, points: Array, space: Space) -> Array:
    """Give f of points, shape (point,)."""
    penalty = 0.5 * (space.precision * np.square(points - space.mean)).sum(axis=1)
    return penalty - folding.log_likelihood(space.coordinates(points))


def curvature(folding: Folding, points: Array, space: Space) -> tuple[Array, Array]:
    """Give F + diag(p) and g of points, shapes (point, parameter, parameter) and one less."""
    coordinates = space.coordinates(points)
    slope = np.einsum("nuc,nux->nxc", jacobian(folding, coordinates), space.slope(points))
    information, rise = folding.curvature(folding.source(coordinates), slope)
    information += np.diag(space.precision)
    gradient = space.precision * (points - space.mean) - rise
    return information, gradient


def _held(points: Array, gradient: Array, space: Space) -> NDArray[np.bool_]:
    """Tell which parameters lie at a bound that f falls towards."""
    low, high = space.bounds(points)
    return ((points <= low) & (gradient > 0)) | ((points >= high) & (gradient < 0))


def _step(
    information: Array, gradient: Array, held: NDArray[np.bool_], damping: Array
) -> tuple[Array, Array]:
    """Give the damped step and the fall of f an undamped one promises."""
    size = gradient.shape[1]
    diagonal = np.maximum(np.einsum("nii->ni", information), 1e-12)
    free = ~held
    both = free[:, :, None] & free[:, None, :]
    scale = 1.0 / np.sqrt(diagonal)
    matrix = np.where(both, information * scale[:, :, None] * scale[:, None, :], 0.0)
    matrix[:, range(size), range(size)] = 1.0
    down = np.where(free, -gradient * scale, 0.0)
    ridge = np.eye(size)
    full = np.linalg.solve(matrix + 1e-10 * ridge, down[..., None])[..., 0]
    promised = 0.5 * (full * down).sum(axis=1)
    step = np.linalg.solve(matrix + damping[:, None, None] * ridge, down[..., None])[..., 0] * scale
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, _FARTHEST / np.maximum(longest, 1e-300)), promised


def information(folding: Folding, coordinates: Array) -> Array:
    """Give the Fisher information of the counts in the coordinates of one point.

    Its inverse is the Cramer-Rao bound of their covariance if the point is the truth.

    Parameters
    ----------
    folding : Folding
    coordinates : ndarray, shape (parameter,)

    Returns
    -------
    ndarray, shape (parameter, parameter)
    """
    point = coordinates[None]
    return folding.curvature(folding.source(point), jacobian(folding, point))[0][0]
