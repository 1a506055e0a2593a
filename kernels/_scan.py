"""The compiled loops of `scan.py`: from projections at the nodes to the best starts."""

from typing import Final

import numpy as np
from numba import njit

from .cholesky import backward, factor, forward

# How far below the first a second peak is still looked for: in chi2, and as a part of the gain, of
# which a peak between two nodes loses some.
MARGIN: Final = 30.0
COARSE: Final = 0.2
_SWEEPS = 60  # of coordinate descent; columns hardly overlap, so a few are enough


@njit(cache=True, nogil=True)
def _gain(z, lower):  # pragma: no cover - compiled
    """Gain |z|^2 of a node under non-negative amplitudes."""
    n = z.size
    amplitude = z.copy()
    backward(lower, n, amplitude)
    if amplitude.min() >= 0.0:
        return (z * z).sum()
    gram, right = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        for k in range(i + 1):
            right[i] += lower[i, k] * z[k]
            for j in range(n):
                if j >= k:
                    gram[i, j] += lower[i, k] * lower[j, k]
    amplitude = np.maximum(amplitude, 0.0)
    for _ in range(_SWEEPS):  # coordinate descent, exact for a positive matrix
        change = 0.0
        for i in range(n):
            slope = right[i]
            for j in range(n):
                slope -= gram[i, j] * amplitude[j]
            value = max(0.0, amplitude[i] + slope / gram[i, i])
            change = max(change, abs(value - amplitude[i]) * np.sqrt(gram[i, i]))
            amplitude[i] = value
        if change < 1e-3:
            break
    gain = 0.0
    for i in range(n):
        gain += 2.0 * amplitude[i] * right[i]
        for j in range(n):
            gain -= amplitude[i] * gram[i, j] * amplitude[j]
    return gain


@njit(cache=True, nogil=True)
def _best(z, lower, bound, exact, allowed, floor):  # pragma: no cover - compiled
    """Find the allowed node of largest gain, -1 if none is above `floor`.

    Bounds become gains only as needed.
    """
    while True:
        best = -1
        for k in range(bound.size):
            if allowed[k] and (best < 0 or bound[k] > bound[best]):
                best = k
        if best < 0 or not bound[best] > floor:
            return -1
        if exact[best]:
            return best
        bound[best] = min(bound[best], _gain(z[best], lower[best]))
        exact[best] = True


@njit(cache=True, nogil=True)
def _refine(k, z, lower, bound, exact, grid):  # pragma: no cover - compiled
    """Velocity of the parabola through node k and its neighbours of the same broadening."""
    velocity, broadening, step, _ = grid
    if not 0 < k < velocity.size - 1:
        return velocity[k]
    if broadening[k - 1] != broadening[k] or broadening[k + 1] != broadening[k]:
        return velocity[k]
    for i in (k - 1, k + 1):
        if not exact[i]:
            bound[i] = min(bound[i], _gain(z[i], lower[i]))
            exact[i] = True
    bend = bound[k - 1] - 2.0 * bound[k] + bound[k + 1]
    if bend >= 0.0:
        return velocity[k]
    return velocity[k] + 0.5 * step[k] * (bound[k - 1] - bound[k + 1]) / bend


@njit(cache=True, nogil=True)
def _pick(z, lower, grid, out):  # pragma: no cover - compiled
    """Fill the six numbers of `Seeds` for one spectrum."""
    velocity, broadening, _, reach = grid
    nodes = velocity.size
    bound, exact = np.empty(nodes), np.zeros(nodes, np.bool_)
    for k in range(nodes):
        bound[k] = 0.0
        for j in range(z.shape[1]):
            bound[k] += z[k, j] * z[k, j]
    allowed = np.ones(nodes, np.bool_)
    floor = 0.0
    for peak in range(2):
        k = _best(z, lower, bound, exact, allowed, floor)
        if k < 0:
            return
        out[3 * peak] = _refine(k, z, lower, bound, exact, grid)
        out[3 * peak + 1] = broadening[k]
        out[3 * peak + 2] = bound[k]
        floor = bound[k] - max(MARGIN, COARSE * bound[k])
        for i in range(nodes):
            allowed[i] = abs(velocity[i] - velocity[k]) > min(reach[i], reach[k])


@njit(cache=True, nogil=True)
def pick_shared(projected, lower, grid, out):  # pragma: no cover - compiled
    """Fill `out`, shape (spaxel, 6), from z of shape (spaxel, node * column)."""
    nodes, columns = lower.shape[0], lower.shape[1]
    seed, z = np.empty(6), np.empty((nodes, columns))
    for s in range(projected.shape[0]):
        total = 0.0
        for k in range(nodes):
            for j in range(columns):
                z[k, j] = projected[s, k * columns + j]
                total += z[k, j]
        if np.isfinite(total):
            seed[:] = np.nan
            _pick(z, lower, grid, seed)
            out[s] = seed


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
def pick_weighted(products, sizes, grid, out):  # pragma: no cover - compiled
    """Fill `out`, shape (spaxel, 6), from the weighted sums of `WeightedScan`."""
    right, sums, squares = products
    columns, terms = sizes
    nodes = grid[0].size
    entry = sums.shape[1] // nodes
    seed, z = np.empty(6), np.empty((nodes, columns))
    lower, own = np.zeros((nodes, columns, columns)), np.zeros((terms, terms))
    turned = np.empty((columns, terms))
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
        seed[:] = np.nan
        _pick(z, lower, grid, seed)
        out[s] = seed
