"""The compiled loops of `scan.py`: from projections at the nodes to the best starts."""

# numba's types do not know `_nrt`.
# pyright: reportCallIssue=false, reportArgumentType=false

import math
from typing import Final

import numpy as np
from numba import njit

from .cholesky import backward, factor, forward, recover
from .profile import BORROWING

# How far below the first a second peak is still looked for: in chi2, and as a part of the gain, of
# which a peak between two nodes loses some.
MARGIN: Final = 30.0
COARSE: Final = 0.2
_SWEEPS = 60  # of coordinate descent; columns hardly overlap, so a few are enough


@njit(**BORROWING)
def _gain(k, z, unit, lower, space):  # pragma: no cover - compiled
    """Gain |unit z|^2 of node k under non-negative amplitudes."""
    own, amplitude, right, gram = space
    n = own.size
    whole, least = 0.0, 0.0
    for j in range(n):
        own[j] = amplitude[j] = unit * z[k, j]
        whole += own[j] * own[j]
    backward(lower[k], n, amplitude)
    for j in range(n):
        least = min(least, amplitude[j])
    if least >= 0.0:
        return whole
    recover(lower[k], n, own, right, gram)
    for i in range(n):
        for j in range(i):
            gram[j, i] = gram[i, j]
        amplitude[i] = max(amplitude[i], 0.0)
    for _ in range(_SWEEPS):  # coordinate descent, exact for a positive matrix
        change = 0.0
        for i in range(n):
            slope = right[i]
            for j in range(n):
                slope -= gram[i, j] * amplitude[j]
            value = max(0.0, amplitude[i] + slope / gram[i, i])
            change = max(change, abs(value - amplitude[i]) * math.sqrt(gram[i, i]))
            amplitude[i] = value
        if change < 1e-3:
            break
    gain = 0.0
    for i in range(n):
        gain += 2.0 * amplitude[i] * right[i]
        for j in range(n):
            gain -= amplitude[i] * gram[i, j] * amplitude[j]
    return gain


@njit(**BORROWING, fastmath={"nnan", "nsz", "reassoc"})
def _largest(values):  # pragma: no cover - compiled
    """Index of the first of the largest; the search for the value alone is one of vectors."""
    largest = values[0]
    for k in range(values.size):
        largest = max(largest, values[k])
    for k in range(values.size):
        if values[k] == largest:
            return k
    return 0


@njit(**BORROWING)
def _settle(k, z, unit, lower, work):  # pragma: no cover - compiled
    """Turn the bound of node k into its gain."""
    bound, left, exact, space = work
    if not exact[k]:
        bound[k] = min(bound[k], _gain(k, z, unit, lower, space))
        exact[k] = True
        if left[k] >= 0.0:
            left[k] = bound[k]


@njit(**BORROWING)
def _best(z, unit, lower, work, floor):  # pragma: no cover - compiled
    """Find the node of largest gain that is left, -1 if none is above `floor`.

    Bounds become gains only as needed.
    """
    left, exact = work[1], work[2]
    while True:
        best = _largest(left)
        if not left[best] > floor:
            return -1
        if exact[best]:
            return best
        _settle(best, z, unit, lower, work)


@njit(**BORROWING)
def _refine(k, z, unit, lower, work, grid):  # pragma: no cover - compiled
    """Velocity of the parabola through node k and its neighbours of the same broadening."""
    velocity, broadening, step, _ = grid
    bound = work[0]
    if not 0 < k < velocity.size - 1:
        return velocity[k]
    if broadening[k - 1] != broadening[k] or broadening[k + 1] != broadening[k]:
        return velocity[k]
    _settle(k - 1, z, unit, lower, work)
    _settle(k + 1, z, unit, lower, work)
    bend = bound[k - 1] - 2.0 * bound[k] + bound[k + 1]
    if bend >= 0.0:
        return velocity[k]
    return velocity[k] + 0.5 * step[k] * (bound[k - 1] - bound[k + 1]) / bend


@njit(**BORROWING, fastmath={"nnan", "nsz", "reassoc"})
def _strike(left, velocity, reach, k):  # pragma: no cover - compiled
    """Leave no node that is nearer to node k than a line is wide."""
    here, own = velocity[k], reach[k]
    for i in range(left.size):
        near = abs(velocity[i] - here) <= min(reach[i], own)
        left[i] = -1.0 if near else left[i]


@njit(**BORROWING)
def _pick(z, unit, lower, grid, work, out):  # pragma: no cover - compiled
    """Fill the six numbers of `Seeds` for one spectrum, whose bounds |unit z|^2 are in `work`."""
    velocity, broadening, _, reach = grid
    bound, left, exact, _ = work
    for i in range(out.size):
        out[i] = np.nan
    for i in range(bound.size):
        left[i] = bound[i]
        exact[i] = False
    floor = 0.0
    for peak in range(2):
        k = _best(z, unit, lower, work, floor)
        if k < 0:
            return
        out[3 * peak] = _refine(k, z, unit, lower, work, grid)
        out[3 * peak + 1] = broadening[k]
        out[3 * peak + 2] = bound[k]
        floor = bound[k] - max(MARGIN, COARSE * bound[k])
        _strike(left, velocity, reach, k)


@njit(**BORROWING, fastmath={"reassoc", "contract"})
def _bounds(z, unit, bound):  # pragma: no cover - compiled
    """Fill |unit z|^2 of every node from z of shape (column, node); their sum."""
    for k in range(bound.size):
        bound[k] = 0.0
    for j in range(z.shape[0]):
        for k in range(bound.size):
            value = unit * z[j, k]
            bound[k] += value * value
    total = 0.0
    for k in range(bound.size):
        total += bound[k]
    return total


@njit(cache=True, nogil=True)
def _work(nodes, columns):  # pragma: no cover - compiled
    """Bounds, those that are left, which of them are exact, and the matrices of one node."""
    small = np.empty(columns), np.empty(columns), np.empty(columns), np.empty((columns, columns))
    return np.empty(nodes), np.empty(nodes), np.empty(nodes, np.bool_), small


@njit(cache=True, nogil=True)
def pick_shared(projected, noise, lower, grid, out):  # pragma: no cover - compiled
    """Fill `out`, shape (spaxel, 6), from z times the noise, shape (spaxel, column, node)."""
    nodes, columns = lower.shape[:2]
    work = _work(nodes, columns)
    for s in range(projected.shape[0]):
        unit = 1.0 / noise[s] if noise[s] > 0.0 else np.nan
        if np.isfinite(_bounds(projected[s], unit, work[0])):
            _pick(projected[s].T, unit, lower, grid, work, out[s])


@njit(cache=True, nogil=True)
def _unpack(packed, matrix):  # pragma: no cover - compiled
    """Fill the lower triangle of `matrix` from its rows; the packed length used."""
    n, at = matrix.shape[0], 0
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] = packed[at]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _prepare(packed, right, own, columns, terms, turned, lower, z):  # pragma: no cover - compiled
    """Factor one node with its continuum projected out; z = L^-1 c."""
    at = _unpack(packed, lower)
    heaviest = 0.0
    for i in range(columns):
        for d in range(terms):
            turned[i, d] = packed[at + i * terms + d]
        forward(own, terms, turned[i])
        heaviest = max(heaviest, lower[i, i])
    for i in range(columns):
        for j in range(i + 1):
            for d in range(terms):
                lower[i, j] -= turned[i, d] * turned[j, d]
        lower[i, i] += 1e-5 * heaviest + 1e-30  # a column without channels stays at zero
        z[i] = right[i]
    if factor(lower, columns):
        forward(lower, columns, z)
        return
    lower[:] = 0.0
    for i in range(columns):
        lower[i, i] = 1.0
    z[:] = 0.0


@njit(cache=True, nogil=True)
def pick_weighted(products, sizes, grid, out, kept):  # pragma: no cover - compiled
    """Fill `out`, shape (spaxel, 6), from the weighted sums of `WeightedScan`.

    `kept`, unless it has no rows, receives z, shape (spaxel, node * column).
    """
    right, sums, squares = products
    columns, terms = sizes
    nodes = grid[0].size
    entry = sums.shape[1] // nodes
    z, flipped = np.empty((nodes, columns)), np.empty((columns, nodes))
    lower, own = np.zeros((nodes, columns, columns)), np.zeros((terms, terms))
    turned = np.empty((columns, terms))
    work = _work(nodes, columns)
    for s in range(right.shape[0]):
        _unpack(squares[s], own)
        trace = np.diag(own).sum()
        if not trace > 0.0:
            continue
        for d in range(terms):
            own[d, d] += 1e-6 * trace
        if not factor(own, terms):
            continue
        for k in range(nodes):
            packed, c = (
                sums[s, k * entry : (k + 1) * entry],
                right[s, k * columns : (k + 1) * columns],
            )
            _prepare(packed, c, own, columns, terms, turned, lower[k], z[k])
            if kept.shape[0] > 0:
                kept[s, k * columns : (k + 1) * columns] = z[k]
        flipped[:] = z.T
        if np.isfinite(_bounds(flipped, 1.0, work[0])):
            _pick(flipped.T, 1.0, lower, grid, work, out[s])
