"""The compiled heart of `score_map.py`: gain of a spectrum on the grid about a node.

Tables of a class are packed as (lower, neighbour, combine, gram, inverse, lattice, mirrored,
profile, support, polynomial, meet). `combine` = (start, source, weight) turns the correlations at
the neighbours of a node into those at its points, columns of norm one; `gram` is the overlap of
columns there, `inverse` the inverse of its Cholesky factor. Where a spectrum has weights of its own
both are made anew from `profile`, (node, column, channel), whose channels `support` bounds, for the
columns that `meet`; through the continuum all are coupled.

A spectrum is (z, right, squared): whitened correlations at the nodes, and for weights of its own
the correlations as they are and the squares of the weights, else both empty. Points run along
velocity first and are padded to `POINTS`.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .cholesky import factor, forward
from .profile import FAST_MATH

ROWS: Final = 9  # of broadening
ACROSS: Final = 7  # of velocity
POINTS: Final = 64
_SWEEPS: Final = 10  # of coordinate descent
_FAINT: Final = 1e-5  # of a column's norm squared: what the weights leave of one without channels
SINGULAR: Final = 1e-5  # of a column's norm: a pair that is not told apart


class Space(NamedTuple):
    """Work arrays of one spectrum."""

    c: NDArray[np.float32]
    a: NDArray[np.float32]
    gain: NDArray[np.float32]
    rows: NDArray[np.float64]
    ridge: NDArray[np.float64]
    work: NDArray[np.float32]
    near: NDArray[np.float32]
    gram: NDArray[np.float32]
    inverse: NDArray[np.float32]
    overlap: NDArray[np.float64]
    mixed: NDArray[np.float64]
    own: NDArray[np.float64]
    turned: NDArray[np.float32]
    level: NDArray[np.float32]
    weighed: NDArray[np.float32]


def make_space(tables: tuple) -> Space:
    """Allocate work arrays for a class' tables."""
    columns, neighbours = tables[0].shape[1], tables[1].shape[1]
    terms, channels = tables[9].shape
    entries = columns * neighbours
    return Space(
        c=np.empty((columns, POINTS), np.float32),
        a=np.empty((columns, POINTS), np.float32),
        gain=np.empty(POINTS, np.float32),
        rows=np.empty(ROWS + 3),
        ridge=np.empty((ROWS, 3)),
        work=np.empty(POINTS, np.float32),
        near=np.empty(entries, np.float32),
        gram=np.empty((1, columns, columns, POINTS), np.float32),
        inverse=np.empty((1, columns, columns, POINTS), np.float32),
        overlap=np.zeros((entries, entries)),
        mixed=np.empty((entries, terms)),
        own=np.empty((terms, terms)),
        turned=np.empty((entries, POINTS), np.float32),
        level=np.empty((columns, terms, POINTS), np.float32),
        weighed=np.empty(channels, np.float32),
    )


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def surface(k, spectrum, tables, space):  # pragma: no cover - compiled
    """Fill gain, amplitudes `a` and correlations `c` at the points about node k."""
    z, right, squared = spectrum
    lower, neighbour = tables[0], tables[1]
    start, source, weight = tables[2]
    c, near, columns = space.c, space.near, z.shape[1]
    even = squared.size == 0
    for m in range(neighbour.shape[1]):
        node = neighbour[k, m]
        for j in range(columns):
            own = np.float32(0.0)
            if even:
                for i in range(j + 1):
                    own += lower[node, j, i] * z[node, i]
            else:
                own = right[node, j]
            near[m * columns + j] = own
    for j in range(columns):
        for p in range(POINTS):
            c[j, p] = np.float32(0.0)
        for e in range(start[k * columns + j], start[k * columns + j + 1]):
            own = near[source[e]]
            for p in range(POINTS):
                c[j, p] += own * weight[e, p]
    if even:
        if not _free(k, tables[4], space) and columns > 1:
            _confine(k, tables[3], space)
    else:
        _weigh(k, squared, tables, space)
        if not _free(0, space.inverse, space) and columns > 1:
            _confine(0, space.gram, space)


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _free(k, inverse, space):  # pragma: no cover - compiled
    """Solve for amplitudes of any sign; false if some are negative, whose gain is marked."""
    c, a, gain, work = space.c, space.a, space.gain, space.work
    columns = c.shape[0]
    for p in range(POINTS):
        gain[p] = np.float32(0.0)
    for j in range(columns):
        for p in range(POINTS):
            a[j, p] = np.float32(0.0)
    for j in range(columns):
        for p in range(POINTS):
            work[p] = np.float32(0.0)
        for i in range(j + 1):
            for p in range(POINTS):
                work[p] += inverse[k, j, i, p] * c[i, p]
        for p in range(POINTS):
            gain[p] += work[p] * work[p]
        for i in range(j + 1):
            for p in range(POINTS):
                a[i, p] += inverse[k, j, i, p] * work[p]
    negative = False
    for p in range(POINTS):
        for j in range(columns):
            if a[j, p] < 0.0:
                gain[p] = np.float32(-1.0)
                negative = True
    return not negative


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _confine(k, gram, space):  # pragma: no cover - compiled
    """Hold amplitudes at zero or above by coordinate descent where the gain is marked."""
    c, a, gain, work = space.c, space.a, space.gain, space.work
    columns = c.shape[0]
    for j in range(columns):
        for p in range(POINTS):
            a[j, p] = max(a[j, p], np.float32(0.0))
    for _ in range(_SWEEPS):
        for j in range(columns):
            for p in range(POINTS):
                work[p] = c[j, p]
            for i in range(columns):
                if i != j:
                    for p in range(POINTS):
                        work[p] -= gram[k, j, i, p] * a[i, p]
            for p in range(POINTS):
                if gain[p] < 0.0:
                    a[j, p] = max(work[p], np.float32(0.0))
    for p in range(POINTS):
        work[p] = np.float32(0.0)
    for j in range(columns):
        for p in range(POINTS):
            work[p] += np.float32(2.0) * a[j, p] * c[j, p]
        for i in range(columns):
            for p in range(POINTS):
                work[p] -= a[j, p] * gram[k, j, i, p] * a[i, p]
    for p in range(POINTS):
        if gain[p] < 0.0:
            gain[p] = work[p]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _dot(a, b, low, high):  # pragma: no cover - compiled
    total = np.float32(0.0)
    for i in range(low, high):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _overlaps(k, squared, tables, space):  # pragma: no cover - compiled
    """Fill the weighted overlaps of the profiles about node k and with the continuum."""
    neighbour, profile, support, polynomial, meet = (
        tables[1],
        tables[7],
        tables[8],
        tables[9],
        tables[10],
    )
    overlap, mixed, own, weighed = space.overlap, space.mixed, space.own, space.weighed
    columns, terms = profile.shape[1], polynomial.shape[0]
    trace = 0.0
    for d in range(terms):
        for i in range(squared.size):
            weighed[i] = squared[i] * polynomial[d, i]
        for e in range(d + 1):
            own[d, e] = _dot(weighed, polynomial[e], 0, squared.size)
        trace += own[d, d]
    for d in range(terms):
        own[d, d] += 1e-6 * trace + 1e-30
    solved = factor(own, terms)
    for e in range(mixed.shape[0]):
        node, j = neighbour[k, e // columns], e % columns
        low, high = support[node, j, 0], support[node, j, 1]
        for i in range(low, high):
            weighed[i] = squared[i] * profile[node, j, i]
        for d in range(terms):
            mixed[e, d] = _dot(weighed, polynomial[d], low, high)
        if solved:
            forward(own, terms, mixed[e])
        else:
            mixed[e] = 0.0
        for f in range(e + 1):
            overlap[e, f] = 0.0
            if meet[k, j, f % columns]:
                other = profile[neighbour[k, f // columns], f % columns]
                overlap[e, f] = _dot(weighed, other, low, high)
            overlap[f, e] = overlap[e, f]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _weigh(k, squared, tables, space):  # pragma: no cover - compiled
    """Make `gram` and `inverse` for weights of a spectrum's own; `c` to columns of norm one."""
    start, source, weight = tables[2]
    meet, terms = tables[10], space.own.shape[0]
    c, gram, turned, overlap = space.c, space.gram, space.turned, space.overlap
    work, level, columns = space.work, space.level, c.shape[0]
    _overlaps(k, squared, tables, space)
    for j in range(columns):
        first, last = start[k * columns + j], start[k * columns + j + 1]
        for d in range(terms):
            for p in range(POINTS):
                level[j, d, p] = np.float32(0.0)
            for e in range(first, last):
                product = np.float32(space.mixed[source[e], d])
                for p in range(POINTS):
                    level[j, d, p] += product * weight[e, p]
        for e in range(turned.shape[0]):
            if meet[k, j, e % columns]:
                for p in range(POINTS):
                    turned[e, p] = np.float32(0.0)
                for f in range(first, last):
                    product = np.float32(overlap[e, source[f]])
                    for p in range(POINTS):
                        turned[e, p] += product * weight[f, p]
        for i in range(j + 1):
            for p in range(POINTS):
                gram[0, j, i, p] = np.float32(0.0)
            if meet[k, j, i]:
                for e in range(start[k * columns + i], start[k * columns + i + 1]):
                    if meet[k, j, source[e] % columns]:
                        for p in range(POINTS):
                            gram[0, j, i, p] += turned[source[e], p] * weight[e, p]
            for d in range(terms):
                for p in range(POINTS):
                    gram[0, j, i, p] -= level[j, d, p] * level[i, d, p]
    for j in range(columns):
        for p in range(POINTS):
            norm = gram[0, j, j, p]
            work[p] = 1.0 / np.sqrt(norm) if norm > _FAINT else 0.0
            c[j, p] *= work[p]
            gram[0, j, j, p] = np.float32(1.0)
        for i in range(columns):
            if i != j:
                for p in range(POINTS):
                    gram[0, max(i, j), min(i, j), p] *= work[p]
    for j in range(columns):
        for i in range(j):
            for p in range(POINTS):
                gram[0, i, j, p] = gram[0, j, i, p]
    _invert(space)


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _invert(space):  # pragma: no cover - compiled
    """Fill `inverse` with that of the Cholesky factor of `gram` at every point."""
    gram, inverse, work = space.gram, space.inverse, space.work
    columns = gram.shape[1]
    for j in range(columns):
        for i in range(j + 1):  # row j of the factor, then of its inverse
            for p in range(POINTS):
                work[p] = gram[0, j, i, p] if i < j else np.float32(1.0 + SINGULAR)
            for q in range(i):
                for p in range(POINTS):
                    work[p] -= inverse[0, q, j, p] * (
                        inverse[0, q, i, p] if i < j else inverse[0, q, j, p]
                    )
            for p in range(POINTS):
                if i < j:  # the factor is kept above the diagonal
                    inverse[0, i, j, p] = work[p] * inverse[0, i, i, p]
                else:
                    inverse[0, j, j, p] = 1.0 / np.sqrt(max(work[p], np.float32(SINGULAR)))
    for j in range(columns):
        for i in range(j):
            for p in range(POINTS):
                work[p] = np.float32(0.0)
            for q in range(i, j):
                for p in range(POINTS):
                    work[p] += inverse[0, q, j, p] * inverse[0, q, i, p]
            for p in range(POINTS):
                inverse[0, j, i, p] = -work[p] * inverse[0, j, j, p]
