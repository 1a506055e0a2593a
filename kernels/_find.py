"""The compiled loop of `reduced.py` over a batch: spectra are flattened, searched, recorded."""

# numba's types do not know `_nrt` and `forceinline`.
# pyright: reportCallIssue=false, reportArgumentType=false

from typing import Final

import numpy as np
from numba import njit

from ._reduced import FOUND, OUTSIDE, bin_of, search, start_of
from ._reduction import aligned
from ._step import element
from ._vector import compress_four
from .basis import RANK
from .cholesky import forward
from .profile import FAST_MATH

_RUN: Final = 64  # spectra that are compressed before they are searched


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def _flatten(data, s, noise, continuum, y, flat, row):  # pragma: no cover - compiled
    """Whitened spectrum less its continuum, and its square."""
    inverse = 1.0 / noise
    for i in range(data.shape[1]):
        y[i] = data[s, i] * inverse
    for d in range(continuum.shape[0]):
        overlap = 0.0
        for i in range(data.shape[1]):
            overlap += continuum[d, i] * y[i]
        for i in range(data.shape[1]):
            y[i] -= overlap * continuum[d, i]
    square = 0.0
    for i in range(data.shape[1]):
        flat[row, i] = y[i]
        square += y[i] * y[i]
    return square


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _debt(amplitude, lower, dropped, unit):  # pragma: no cover - compiled
    """Chi2 that forbidding the negative amplitudes would cost, each by itself."""
    debt = 0.0
    for a in range(amplitude.size):
        if amplitude[a] < 0.0 and not dropped[a]:
            for b in range(unit.size):
                unit[b] = 0.0
            unit[a] = 1.0
            forward(lower, amplitude.size, unit)
            variance = 0.0
            for b in range(amplitude.size):
                variance += unit[b] * unit[b]
            debt += amplitude[a] * amplitude[a] / variance
    return debt


@njit(cache=True, nogil=True, _nrt=False, error_model="numpy")
def _run(model, theta, scale, order, first, frame, ready, bins):  # pragma: no cover - compiled
    """Fill the bins that a spectrum starts from, -1 for none; the end of those that share them."""
    for g in range(bins.size):
        bins[g] = bin_of(model, theta[order[first], 2 * g], scale[order[first]], frame, ready)
    for last in range(first + 1, min(first + _RUN, order.size)):
        s = order[last]
        for g in range(bins.size):
            if bin_of(model, theta[s, 2 * g], scale[s], frame, ready) != bins[g]:
                return last
    return min(first + _RUN, order.size)


@njit(cache=True, nogil=True, _nrt=False, error_model="numpy")
def _compress_run(tables, flat, count, bins, products):  # pragma: no cover - compiled
    """Products of the spectra of a run with the functions of their bins, four at a time.

    Always four, also where they are fewer: a sum must not depend on how many there are.
    """
    places, line_group, half = tables[2], tables[7], tables[8]
    lines, size, spectra = line_group.size, flat.shape[1], flat.reshape(-1)
    for k in range(lines):
        if bins[line_group[k]] < 0:
            return
    for k in range(lines):
        start = start_of(places[bins[line_group[k]], k], half)
        for first in range(0, count, 4):
            at = RANK * (first * lines + 4 * k)
            compress_four(spectra, first * size, size, tables[0], start, products, at)


@njit(cache=True, nogil=True, error_model="numpy")
def find_all(spectra, model, frame, tables, continuum, t, limits, out):  # pragma: no cover
    """Find the minimum of the spectra `order`, of one frame; theta and scalars are theirs.

    `bent` receives N - H. Scalars are chi2, what negative amplitudes would cost, evaluations and a
    code. Spectra that start from the same bins are compressed together.
    """
    data, noise, scale, width, node, order = spectra
    theta, scalars, bent = out
    lines, m, n = model[2].size, model[5].size, theta.shape[1]
    work, space = reduced_work(lines, m, n), _space(m, n)
    padded = (t.size + 7) & ~7
    y, flat = np.zeros(t.size), aligned(_RUN * padded).reshape(_RUN, padded)
    products, squares = aligned(_RUN * RANK * lines), np.zeros(_RUN)
    bins, own, unit = np.zeros(n // 2, np.int64), np.zeros(n), np.zeros(m)
    first = 0
    while first < order.size:
        last = _run(model, theta, scale, order, first, frame, tables[3], bins)
        for i in range(last - first):
            s = order[first + i]
            squares[i] = _flatten(data, s, noise[s], continuum, y, flat, i)
        _compress_run(tables, flat, last - first, bins, products)
        for i in range(last - first):
            s = order[first + i]
            scalars[s, 0], scalars[s, 1], scalars[s, 2], scalars[s, 3] = np.nan, 0.0, 0.0, OUTSIDE
            total = squares[i]
            for p in range(n):
                own[p] = theta[s, p]
                total += own[p]
            if not np.isfinite(total):
                continue
            for g in range(bins.size):
                work[6][g] = bins[g]
            four = RANK * ((i & ~3) * lines + (i & 3))
            for k in range(lines):
                for r in range(RANK):
                    work[1][RANK * k + r] = products[four + 4 * RANK * k + r]
            own_axis = scale[s], width[s]
            spaxel = own_axis, node[s], element(model, own_axis, t)
            code, chi2, evaluations = search(
                model, own, spaxel, frame, tables, work, flat[i], squares[i], limits, space
            )
            debt = _debt(space[3][0], space[0][0], space[4][0], unit) if code == FOUND else 0.0
            scalars[s, 0], scalars[s, 1] = chi2, debt
            scalars[s, 2], scalars[s, 3] = evaluations, code
            if code != OUTSIDE:
                for p in range(n):
                    theta[s, p] = own[p]
            if code == FOUND:
                for p in range(n):
                    for q in range(n):
                        bent[s, p, q] = space[1][3][p, q] - space[1][1][p, q]
        first = last


@njit(cache=True, nogil=True)
def reduced_work(lines, m, n):  # pragma: no cover - compiled
    """Work of one spectrum, as `_reduced.py` describes it."""
    return (
        aligned(3 * RANK * lines),
        aligned(RANK * (2 * lines + 3)),
        aligned(RANK * lines * lines),
        aligned(RANK * n * lines),
        aligned(RANK * n * lines),
        np.zeros((lines, 9)),
        np.zeros(n // 2, np.int64),
        np.ones(lines),
        np.zeros((n, m)),
        np.zeros(lines, np.float32),
    )


@njit(cache=True, nogil=True)
def _space(m, n):  # pragma: no cover - compiled
    """Small matrices, vectors and flags of a search."""
    return (
        (np.zeros((m, m)), np.zeros((m, m))),
        (np.zeros((n, m)), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))),
        (np.zeros(n), np.zeros(n), np.zeros(n)),
        (np.zeros(m), np.zeros(m)),
        (np.zeros(m, np.bool_), np.zeros(n, np.bool_)),
    )
