"""The compiled loop of `score_map.py` that turns peaks and scores into the numbers a network reads.

Everything is a distance in standard deviations or a ratio of widths, so that the instrument drops
out. `COUNT` numbers a spectrum: see `describe` for their order.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._score_map import (
    BROADENING,
    COARSE,
    FIELDS,
    GAIN,
    NODE,
    PEAKS,
    REFINED,
    ROW,
    SIGMA_B,
    SIGMA_V,
    SLOPE,
    VELOCITY,
    find_peaks,
    scores,
)
from ._score_surface import ACROSS, ROWS
from .cholesky import factor, forward
from .profile import FAST_MATH

SLOTS: Final = 7  # kinds of lines
LEVELS: Final = 3  # of broadening on either side of the peak's
NEAR: Final = 12  # half elements on either side of the peak
FAR: Final = 8  # eighths of the velocity range on either side
GLOBAL: Final = 24
COUNT: Final = (
    GLOBAL + 3 * ROWS + ACROSS + 2 * LEVELS + 1 + 2 * NEAR + 1 + 2 * FAR + 8 * (PEAKS - 1)
    + SLOTS * (PEAKS + 1)
)  # fmt: skip
_FARTHEST = 1e3  # standard deviations
_ELSEWHERE = 40.0  # chi2 below which a node holds no probability
_BROADEST = 300.0  # km/s, of the spectra a network is trained on


@njit(inline="always")
def _far(top, value):  # pragma: no cover - compiled
    """Distance below the peak on a logarithmic scale."""
    return math.log1p(min(math.sqrt(max(top - value, 0.0)), _FARTHEST))


@njit(inline="always")
def _log(value):  # pragma: no cover - compiled
    return math.log(max(value, 1e-6))


@njit(cache=True, nogil=True)
def _elsewhere(s, k, grid, level, widths):  # pragma: no cover - compiled
    """Logarithm of the probability away from the peak about node k over that near it."""
    velocity, _, step, reach = grid
    near, away = 1e-30, 1e-30
    for i in range(s.size):
        below = s[k] - s[i]
        if below < _ELSEWHERE:
            mass = math.exp(-0.5 * below) * step[i] * widths[level[i]]
            if abs(velocity[i] - velocity[k]) <= min(reach[i], reach[k]):
                near += mass
            else:
                away += mass
    return math.log(away / near)


@njit(cache=True, nogil=True)
def describe(s, peaks, shares, count, space, grid, level, facts, quality, out):  # pragma: no cover
    """Fill the features of one spectrum, in this order.

    The first peak and the class; the ridge of the first peak's grid; its middle row; the gains of
    the broadenings beside it; those of the velocities near and far; the other peaks; the shares of
    the gain by kind of line and peak, and the kinds there are.
    """
    velocity, _, step, reach = grid
    element, low, high, shape, slots, widths = facts
    gain, ridge = space.first_gain, space.first_ridge
    top = peaks[0]
    v, b, sv, sb = top[VELOCITY], top[BROADENING], top[SIGMA_V], top[SIGMA_B]
    k, own = int(top[NODE]), element / 2.3548200450309493
    peak = max(top[GAIN], 1e-3)
    share = 0.0
    for j in range(shares.shape[1]):
        share += shares[0, j] * shares[0, j]
    half = 0.5 * (high - low)
    out[0] = 0.5 * math.log(peak)
    out[1] = 1.0 / (1.0 + 0.2 * math.sqrt(peak))
    out[2] = _log(sv / own)
    out[3] = _log(sb / own)
    out[4] = math.asinh(b / own)
    out[5] = math.asinh(b / sb)
    out[6] = math.asinh((_BROADEST - b) / sb)
    out[7] = top[SLOPE] * sb / sv
    out[8] = math.log(own / 40.0)
    out[9] = (v - low - half) / half
    out[10] = math.asinh((v - low) / sv)
    out[11] = math.asinh((high - v) / sv)
    out[12] = math.log(half / element)
    out[13] = max(-2.0, min(4.0, math.log(max(quality[0], 1e-3))))
    out[14] = 0.3 * math.log(max(quality[1], 1.0))
    out[15] = max(-6.0, min(6.0, math.sqrt(max(quality[1], 1.0) / 2.0) * (quality[0] - 1.0)))
    out[16] = min(1.0, peak * peak / max(share, 1e-12) / max(shares.shape[1], 1))
    out[17] = 0.2 * shares.shape[1]
    out[18] = top[ROW] / ROWS
    out[19] = shape
    out[20] = 0.2 * max(-30.0, min(30.0, _elsewhere(s, k, grid, level, widths)))
    out[21] = 0.2 * max(-30.0, min(30.0, math.log(widths[level[k]] / own)))
    out[22] = _far(peak, top[COARSE])
    out[23] = (v - velocity[k]) / step[k]
    at = GLOBAL
    for r in range(ROWS):
        out[at + r] = _far(peak, ridge[r, 0])
        out[at + ROWS + r] = math.asinh((ridge[r, 1] - v) / sv)
        out[at + 2 * ROWS + r] = _log(ridge[r, 2] / sv)
    at += 3 * ROWS
    row = int(top[ROW] + 0.5)
    for i in range(ACROSS):
        out[at + i] = _far(peak, gain[row * ACROSS + i])
    at += ACROSS
    nowhere = math.log1p(_FARTHEST)
    spread = out[at:]
    bins = 2 * LEVELS + 1 + 2 * NEAR + 1 + 2 * FAR
    for i in range(bins):
        spread[i] = -np.inf
    near, far = spread[2 * LEVELS + 1 :], spread[2 * LEVELS + 2 + 2 * NEAR :]
    for i in range(s.size):
        away = velocity[i] - v
        beside = level[i] - level[k] + LEVELS
        if abs(away) <= reach[k] and 0 <= beside <= 2 * LEVELS:
            spread[beside] = max(spread[beside], s[i])
        n = math.floor(2.0 * away / element + 0.5) + NEAR
        if 0 <= n <= 2 * NEAR:
            near[n] = max(near[n], s[i])
        n = math.floor(away / half * FAR / 2.0) + FAR
        if 0 <= n < 2 * FAR:
            far[n] = max(far[n], s[i])
    for i in range(bins):
        spread[i] = _far(peak, spread[i])
    at += bins
    for n in range(1, PEAKS):
        other = peaks[n]
        if n >= count:
            for i in range(8):
                out[at + i] = 0.0
            out[at + 2] = nowhere
        else:
            away = other[VELOCITY] - v
            out[at] = away / half
            out[at + 1] = math.log(max(abs(away) / element, 0.1))
            out[at + 2] = _far(peak, other[GAIN])
            out[at + 3] = _log(other[SIGMA_V] / own)
            out[at + 4] = _log(other[SIGMA_B] / own)
            out[at + 5] = math.asinh(other[BROADENING] / own)
            out[at + 6] = other[REFINED]
            out[at + 7] = math.asinh(away / sv)
        at += 8
    for n in range(PEAKS):
        for i in range(SLOTS):
            out[at + i] = 0.0
        if n < count:
            for j in range(shares.shape[1]):
                out[at + slots[j]] += shares[n, j] / max(peaks[n, GAIN], 1e-3)
        at += SLOTS
    for i in range(SLOTS):
        out[at + i] = 0.0
    for j in range(slots.size):
        out[at + slots[j]] = 1.0


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def flat_squares(scaled, basis, out):  # pragma: no cover - compiled
    """Fill chi2 of the continuum alone, given its orthonormal basis (term, channel)."""
    for s in range(scaled.shape[0]):
        total = 0.0
        for i in range(scaled.shape[1]):
            value = float(scaled[s, i])
            total += value * value
        for d in range(basis.shape[0]):
            overlap = 0.0
            for i in range(scaled.shape[1]):
                overlap += float(scaled[s, i]) * basis[d, i]
            total -= overlap * overlap
        out[s] = total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def weighted_squares(data, weight, basis, out, used, squared):  # pragma: no cover - compiled
    """Fill chi2 of the continuum alone, (term, channel) in `basis`, and the channels in use.

    `squared` receives the squares of the weights over the largest of each spectrum.
    """
    terms = basis.shape[0]
    gram, right, rows = np.empty((terms, terms)), np.empty(terms), np.empty(basis.shape)
    y = np.empty(basis.shape[1])
    for s in range(data.shape[0]):
        total, trace, count, unit = 0.0, 0.0, 0, 0.0
        for i in range(y.size):
            unit = max(unit, float(weight[s, i]))
        unit = 1.0 / unit if unit > 0.0 else 1.0
        for i in range(y.size):
            squared[s, i] = (weight[s, i] * unit) ** 2
            good = weight[s, i] > 0.0
            y[i] = data[s, i] * weight[s, i] if good else 0.0
            count += good
            total += y[i] * y[i]
        for d in range(terms):
            right[d] = 0.0
            for i in range(y.size):
                rows[d, i] = basis[d, i] * weight[s, i]
                right[d] += rows[d, i] * y[i]
            for e in range(d + 1):
                gram[d, e] = 0.0
                for i in range(y.size):
                    gram[d, e] += rows[d, i] * rows[e, i]
            trace += gram[d, d]
        for d in range(terms):
            gram[d, d] += 1e-12 * trace + 1e-300
        if count > 0 and factor(gram, terms):
            forward(gram, terms, right)
            for d in range(terms):
                total -= right[d] * right[d]
        out[s], used[s] = total, count


@njit(cache=True, nogil=True)
def read(spectra, quality, tables, grid, level, facts, space, out):  # pragma: no cover - compiled
    """Fill features and peaks of a batch.

    `spectra` holds z, (spaxel, node * column), and for weights of their own the correlations, the
    squares of the weights, and their sums with the profiles and the continuum, else rows without
    entries; `quality`, (spaxel, 2), chi2 of the continuum alone and the degrees of freedom.
    """
    projected, right, squared, sums, squares = spectra
    features, anchors = out
    nodes, columns = tables[0].shape[0], tables[0].shape[1]
    spaxels = projected.shape[0]
    z = projected.reshape(spaxels, nodes, columns)
    c = right.reshape(spaxels, right.shape[1] // columns, columns)
    s, best = np.empty((spaxels, nodes), np.float32), np.zeros(spaxels, np.int64)
    for i in range(spaxels):
        best[i] = scores(z[i], s[i]) if np.isfinite(z[i].sum()) else -1
    peaks, shares, left = np.empty((PEAKS, FIELDS)), np.empty((PEAKS, columns)), np.empty(2)
    for i in np.argsort(best):  # spectra that share a node's tables, one after another
        features[i] = np.nan
        anchors[i] = np.nan
        if best[i] < 0 or not quality[i, 1] > 0.0:
            continue
        peaks[:] = 0.0
        shares[:] = 0.0
        spectrum = z[i], c[i], squared[i], sums[i], squares[i]
        count = find_peaks(spectrum, s[i], best[i], tables, grid, level, space, peaks, shares)
        left[0] = (quality[i, 0] - peaks[0, GAIN]) / quality[i, 1]
        left[1] = quality[i, 1]
        describe(s[i], peaks, shares, count, space, grid, level, facts, left, features[i])
        for n in range(PEAKS):
            own = n if n < count else 0
            for q in range(6):
                anchors[i, n, q] = peaks[own, q]
