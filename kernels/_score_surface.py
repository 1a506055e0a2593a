"""The compiled heart of `score_map.py`: gain of a spectrum on the grid about a node.

Tables of a class are packed as (lower, neighbour, combine, gram, inverse, lattice, mirrored,
profile, support, meet, terms, neighbours). `combine` = (start, source, weight) turns the
correlations at the neighbours of a node into those at its points, columns of norm one; `gram` is
the overlap of columns there, `inverse` the inverse of its Cholesky factor. Where a spectrum has
weights of its own both are made anew from `profile`, (node, column, channel), whose channels
`support` tells as the first and the number of runs of `RUN`, for the columns that `meet`; through
the `terms` of the continuum all are coupled. What is summed in fours is padded with zeros; there
are `neighbours` without the padding.

A spectrum is (z, right, squared, pairs, continuum): whitened correlations at the nodes, and for
weights of its own the squares of the weights, padded as the profiles, and the `Sums` of `scan.py`,
else all empty. Points run along velocity first and are padded to `POINTS`.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .cholesky import factor, forward
from .profile import BORROWING, FAST_MATH

ROWS: Final = 9  # of broadening
ACROSS: Final = 7  # of velocity
POINTS: Final = 64
RUN: Final = 16  # channels: those of a profile, and all of them, are a multiple
FOUR: Final = 4  # rows that are summed together: those of every table are a multiple
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
    first_gain: NDArray[np.float32]
    first_ridge: NDArray[np.float64]
    work: NDArray[np.float32]
    near: NDArray[np.float32]
    gram: NDArray[np.float32]
    inverse: NDArray[np.float32]
    overlap: NDArray[np.float32]
    mixed: NDArray[np.float64]
    own: NDArray[np.float64]
    turned: NDArray[np.float32]
    level: NDArray[np.float32]
    weighed: NDArray[np.float32]


def make_space(tables: tuple) -> Space:
    """Allocate work arrays for a class' tables."""
    columns, neighbours = tables[0].shape[1], tables[1].shape[1]
    channels, terms = tables[7].shape[2], tables[10]
    entries = columns * neighbours
    return Space(
        c=np.empty((columns, POINTS), np.float32),
        a=np.empty((columns, POINTS), np.float32),
        gain=np.empty(POINTS, np.float32),
        rows=np.empty(ROWS + 3),
        ridge=np.empty((ROWS, 3)),
        first_gain=np.empty(POINTS, np.float32),
        first_ridge=np.empty((ROWS, 3)),
        work=np.empty(POINTS, np.float32),
        near=np.empty(entries, np.float32),
        gram=np.empty((1, columns, columns, POINTS), np.float32),
        inverse=np.empty((1, columns, columns, POINTS), np.float32),
        overlap=np.zeros((entries, entries), np.float32),
        mixed=np.empty((entries, terms)),
        own=np.empty((terms, terms)),
        turned=np.empty((entries, POINTS), np.float32),
        level=np.empty((columns, terms, POINTS), np.float32),
        weighed=np.empty(channels, np.float32),
    )


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def surface(k, spectrum, tables, space):  # pragma: no cover - compiled
    """Fill gain, amplitudes `a` and correlations `c` at the points about node k."""
    z, right = spectrum[:2]
    lower, neighbour = tables[0], tables[1]
    start, source, weight = tables[2]
    c, near, columns = space.c, space.near, z.shape[1]
    even = right.size == 0
    for m in range(neighbour.shape[1]):
        node = neighbour[k, m]
        for j in range(columns):
            own = right[node, j] if not even else z[node, j] / lower[node, j, j]
            if even:
                for i in range(j):
                    own += lower[node, j, i] * z[node, i]
            near[m * columns + j] = own
    for j in range(columns):
        for p in range(POINTS):
            c[j, p] = np.float32(0.0)
        for e in range(start[k * columns + j], start[k * columns + j + 1], FOUR):
            _add(_four(near, source, e), weight, e, c[j])
    if even:
        if not _free(k, tables[4], space) and columns > 1:
            _confine(k, tables[3], space)
    else:
        _weigh(k, spectrum, tables, space)
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


@njit(**BORROWING, fastmath=FAST_MATH)
def _dots(a, rows, low, runs):  # pragma: no cover - compiled
    """Products of `a` with four rows: whole vectors, whose sums are taken side by side."""
    low = max(low, 0)  # told so, the compiler need not think of counting from the end
    b, c, d, e = rows
    first = second = third = fourth = np.float32(0.0)
    for i in range(RUN * runs):
        own = a[low + i]
        first += own * b[low + i]
        second += own * c[low + i]
        third += own * d[low + i]
        fourth += own * e[low + i]
    return first, second, third, fourth


@njit(**BORROWING, fastmath=FAST_MATH)
def _continuum(spectrum, space):  # pragma: no cover - compiled
    """Fill the factor of the weighted overlaps of the continuum; false without any."""
    squares, own, at, trace = spectrum[4], space.own, 0, 0.0
    for d in range(own.shape[0]):
        for e in range(d + 1):
            own[d, e] = squares[at]
            at += 1
        trace += own[d, d]
    for d in range(own.shape[0]):
        own[d, d] += 1e-6 * trace + 1e-30
    return factor(own, own.shape[0])


@njit(**BORROWING, fastmath=FAST_MATH)
def _overlaps(k, spectrum, tables, space):  # pragma: no cover - compiled
    """Fill the weighted overlaps of the profiles about node k and with the continuum."""
    neighbour, profile, support, meet = tables[1], tables[7], tables[8], tables[9]
    squared, sums = spectrum[2], spectrum[3]
    overlap, mixed, own, weighed = space.overlap, space.mixed, space.own, space.weighed
    columns, terms, solved = profile.shape[1], own.shape[0], _continuum(spectrum, space)
    entry, pairs = sums.size // profile.shape[0], columns * (columns + 1) // 2
    for m in range(tables[11]):
        node = neighbour[k, m]
        for j in range(columns):
            e, at = m * columns + j, node * entry + pairs + j * terms
            for d in range(terms):
                mixed[e, d] = sums[at + d] if solved else 0.0
            if solved:
                forward(own, terms, mixed[e])
            low, runs = max(support[node, j, 0], 0), support[node, j, 1]
            for i in range(RUN * runs):
                weighed[low + i] = squared[low + i] * profile[node, j, low + i]
            for i in range(columns):
                if not meet[k, j, i]:
                    continue
                for n in range(0, m + 1, FOUR):
                    rows = (
                        profile[neighbour[k, n], i],
                        profile[neighbour[k, n + 1], i],
                        profile[neighbour[k, n + 2], i],
                        profile[neighbour[k, n + 3], i],
                    )
                    found = _dots(weighed, rows, low, runs)
                    for q in range(FOUR):
                        f = (n + q) * columns + i
                        overlap[e, f] = overlap[f, e] = found[q]


@njit(**BORROWING, fastmath=FAST_MATH)
def _four(values, source, e):  # pragma: no cover - compiled
    """Values of four sources from `e` on."""
    return (
        np.float32(values[source[e]]),
        np.float32(values[source[e + 1]]),
        np.float32(values[source[e + 2]]),
        np.float32(values[source[e + 3]]),
    )


@njit(**BORROWING, fastmath=FAST_MATH)
def _add(factors, rows, first, out):  # pragma: no cover - compiled
    """Add four rows from `first` on, each times its factor."""
    a, b, c, d = factors
    for p in range(POINTS):
        out[p] += (
            a * rows[first, p]
            + b * rows[first + 1, p]
            + c * rows[first + 2, p]
            + d * rows[first + 3, p]
        )


@njit(**BORROWING, fastmath=FAST_MATH)
def _add_products(turned, source, weight, first, out):  # pragma: no cover - compiled
    """Add the products of four rows of weights from `first` on with what their sources became."""
    a, b = turned[source[first]], turned[source[first + 1]]
    c, d = turned[source[first + 2]], turned[source[first + 3]]
    for p in range(POINTS):
        out[p] += (
            a[p] * weight[first, p]
            + b[p] * weight[first + 1, p]
            + c[p] * weight[first + 2, p]
            + d[p] * weight[first + 3, p]
        )


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _weigh(k, spectrum, tables, space):  # pragma: no cover - compiled
    """Make `gram` and `inverse` for weights of a spectrum's own; `c` to columns of norm one."""
    start, source, weight = tables[2]
    meet, terms = tables[9], space.own.shape[0]
    c, gram, turned, overlap = space.c, space.gram, space.turned, space.overlap
    work, level, mixed, columns = space.work, space.level, space.mixed, c.shape[0]
    _overlaps(k, spectrum, tables, space)
    for j in range(columns):
        first, last = start[k * columns + j], start[k * columns + j + 1]
        for d in range(terms):
            level[j, d] = np.float32(0.0)
            for e in range(first, last, FOUR):
                _add(_four(mixed[:, d], source, e), weight, e, level[j, d])
        for e in range(tables[11] * columns):
            turned[e] = np.float32(0.0)
            if meet[k, j, e % columns]:
                for f in range(first, last, FOUR):
                    _add(_four(overlap[e], source, f), weight, f, turned[e])
        for i in range(j + 1):
            gram[0, j, i] = np.float32(0.0)
            if meet[k, j, i]:
                for e in range(start[k * columns + i], start[k * columns + i + 1], FOUR):
                    _add_products(turned, source, weight, e, gram[0, j, i])
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
