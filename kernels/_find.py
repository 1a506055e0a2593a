"""The compiled loop of `reduced.py` over a batch: spectra are flattened, searched, recorded."""

# numba's types do not know `_nrt` and `forceinline`.
# pyright: reportCallIssue=false, reportArgumentType=false

import numpy as np
from numba import njit

from ._reduced import FOUND, OUTSIDE, search
from ._reduction import aligned
from ._step import element
from .basis import RANK
from .cholesky import forward
from .profile import FAST_MATH


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def _flatten(data, s, noise, continuum, y, flat):  # pragma: no cover - compiled
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
        flat[i] = y[i]
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


@njit(cache=True, nogil=True, error_model="numpy")
def find_all(spectra, model, frame, tables, continuum, t, limits, out):  # pragma: no cover
    """Find the minimum of the spectra `order`, of one frame; theta and scalars are theirs.

    `bent` receives N - H. Scalars are chi2, what negative amplitudes would cost, evaluations and a
    code.
    """
    data, noise, scale, width, node, order = spectra
    theta, scalars, bent = out
    lines, m, n = model[2].size, model[5].size, theta.shape[1]
    work = (
        aligned(3 * RANK * lines),
        aligned(RANK * (2 * lines + 3)),
        aligned(RANK * lines * lines),
        aligned(RANK * n * lines),
        aligned(RANK * n * lines),
        np.zeros((lines, 9)),
        np.zeros(n // 2, np.int64),
        np.ones(lines),
        np.zeros((n, m)),
    )
    space = (
        (np.zeros((m, m)), np.zeros((m, m))),
        (np.zeros((n, m)), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))),
        (np.zeros(n), np.zeros(n), np.zeros(n)),
        (np.zeros(m), np.zeros(m)),
        (np.zeros(m, np.bool_), np.zeros(n, np.bool_)),
    )
    y, flat = np.zeros(t.size), aligned((t.size + 7) & ~7)
    own, unit = np.zeros(n), np.zeros(m)
    for s in order:
        square = _flatten(data, s, noise[s], continuum, y, flat)
        scalars[s, 0], scalars[s, 1], scalars[s, 2], scalars[s, 3] = np.nan, 0.0, 0.0, OUTSIDE
        own[:] = theta[s]
        if not np.isfinite(square + own.sum()):
            continue
        work[6][:] = -1
        own_axis = scale[s], width[s]
        spaxel = own_axis, node[s], element(model, own_axis, t)
        code, chi2, evaluations = search(
            model, own, spaxel, frame, tables, work, flat, square, limits, space
        )
        debt = _debt(space[3][0], space[0][0], space[4][0], unit) if code == FOUND else 0.0
        scalars[s, 0], scalars[s, 1], scalars[s, 2], scalars[s, 3] = chi2, debt, evaluations, code
        if code != OUTSIDE:
            theta[s] = own
        if code == FOUND:
            for p in range(n):
                for q in range(n):
                    bent[s, p, q] = space[1][3][p, q] - space[1][1][p, q]
