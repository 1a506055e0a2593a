"""The compiled loops of `score_map.py`: peaks of a scan, refined on a small grid about each.

Spectra, tables and work arrays are packed as `_score_surface.py` says.
"""

from typing import Final

import numpy as np
from numba import njit

from ._score_surface import ACROSS, ROWS, surface
from .profile import FAST_MATH

SPACING: Final = 0.14  # of a line's full width: neighbouring velocities of a row
PEAKS: Final = 4
# Columns of a peak.
(
    VELOCITY,
    BROADENING,
    SIGMA_V,
    SIGMA_B,
    SLOPE,
    GAIN,
    NODE,
    ROW,
    REFINED,
    COARSE,
    FIELDS,
) = range(11)
_MARGIN = (12.0, 0.15)  # chi2, and share of the gain: peaks nearer than this are refined
_MOVES = 3
_STEEPEST = 2.0  # sigma of velocity per sigma of broadening
_WIDEST = 4.0  # rows, or steps: a peak without curvature


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def scores(z, out):  # pragma: no cover - compiled
    """Fill `out` with the gain of every node, negative correlations left out; the best."""
    best = 0
    for k in range(z.shape[0]):
        total = np.float32(0.0)
        for j in range(z.shape[1]):
            positive = max(z[k, j], np.float32(0.0))
            total += positive * positive
        out[k] = total
        if total > out[best]:
            best = k
    return best


@njit(cache=True, nogil=True)
def top(f, low, high):  # pragma: no cover - compiled
    """Peak of f by a polynomial through seven points about its largest: place, value, curvature.

    `low` and `high` bound the middle point. The curvature is that of -f / 2, at least a floor.
    """
    largest = 0
    for i in range(f.size):
        if f[i] > f[largest]:
            largest = i
    i = max(low, min(high, largest))
    p1, p2, p3 = f[i + 1] + f[i - 1], f[i + 2] + f[i - 2], f[i + 3] + f[i - 3]
    m1, m2, m3 = f[i + 1] - f[i - 1], f[i + 2] - f[i - 2], f[i + 3] - f[i - 3]
    d1 = (45.0 * m1 - 9.0 * m2 + m3) / 60.0
    d2 = (270.0 * p1 - 27.0 * p2 + 2.0 * p3 - 490.0 * f[i]) / 180.0
    d3 = (-13.0 * m1 + 8.0 * m2 - m3) / 8.0 / 6.0
    d4 = (-39.0 * p1 + 12.0 * p2 - p3 + 56.0 * f[i]) / 6.0 / 24.0
    d5 = (5.0 * m1 - 4.0 * m2 + m3) / 2.0 / 120.0
    d6 = (15.0 * p1 - 6.0 * p2 + p3 - 20.0 * f[i]) / 720.0
    left = max(-3.0, largest - i - 1.0)
    right = min(3.0, largest - i + 1.0)
    t = float(largest - i)
    for _ in range(4):
        slope = d1 + t * (d2 + t * (3.0 * d3 + t * (4.0 * d4 + t * (5.0 * d5 + t * 6.0 * d6))))
        bend = d2 + t * (6.0 * d3 + t * (12.0 * d4 + t * (20.0 * d5 + t * 30.0 * d6)))
        if bend >= 0.0:
            t = right if slope > 0.0 else left
            break
        t = max(left, min(right, t - slope / bend))
    value = f[i] + t * (d1 + t * (d2 / 2.0 + t * (d3 + t * (d4 + t * (d5 + t * d6)))))
    bend = -0.5 * (d2 + t * (6.0 * d3 + t * (12.0 * d4 + t * (20.0 * d5 + t * 30.0 * d6))))
    return i + t, max(value, f[largest]), max(bend, 1.0 / (_WIDEST * _WIDEST))


@njit(cache=True, nogil=True)
def _between(values, at):  # pragma: no cover - compiled
    """Parabola through the three nearest of evenly spaced values."""
    i = max(1, min(values.size - 2, int(at + 0.5)))
    t = at - i
    a, b, c = values[i - 1], values[i], values[i + 1]
    return b + 0.5 * t * (c - a) + 0.5 * t * t * (a - 2.0 * b + c)


@njit(cache=True, nogil=True)
def _ridge(k, tables, grid, space):  # pragma: no cover - compiled
    """Fill the ridge of each row about node k: gain, velocity and its sigma.

    Gives the row of the peak as a real number, its gain and its curvature by row.
    """
    lattice, mirrored = tables[5], tables[6]
    gain, rows, ridge = space.gain, space.rows, space.ridge
    line = np.empty(ACROSS)
    for r in range(ROWS):
        for i in range(ACROSS):
            line[i] = gain[r * ACROSS + i]
        at, value, bend = top(line, 3, ACROSS - 4)
        step = lattice[k, 1, r]
        ridge[r, 0] = value
        ridge[r, 1] = grid[0][k] + (at - ACROSS // 2) * step
        ridge[r, 2] = step / np.sqrt(bend)
    if mirrored[k]:  # the profile is even in broadening
        for r in range(ROWS):
            rows[r + 3] = ridge[r, 0]
        rows[0], rows[1], rows[2] = ridge[3, 0], ridge[2, 0], ridge[1, 0]
        at, value, bend = top(rows, 3, ROWS - 1)
        return abs(at - 3.0), value, bend
    for r in range(ROWS):
        rows[r] = ridge[r, 0]
    return top(rows[:ROWS], 3, ROWS - 4)


@njit(cache=True, nogil=True)
def _move(k, row, ridge, level, grid):  # pragma: no cover - compiled
    """Node whose grid holds a peak that lies at the edge of the one about node k."""
    velocity, step = grid[0], grid[2]
    r = int(row + 0.5)
    wanted = level[k]
    if row <= 0.5:
        wanted -= 1
    elif row >= ROWS - 1.5:
        wanted += 1
    if wanted == level[k] and abs(ridge[r, 1] - velocity[k]) < 0.75 * step[k]:
        return k
    best = k
    for n in range(velocity.size):
        if level[n] == wanted and (
            level[best] != wanted
            or abs(velocity[n] - ridge[r, 1]) < abs(velocity[best] - ridge[r, 1])
        ):
            best = n
    return best


@njit(cache=True, nogil=True)
def refine(k, spectrum, tables, grid, level, space, peak, share):  # pragma: no cover - compiled
    """Fill one peak and its columns' shares of the gain from the grid about node k."""
    lattice, mirrored, ridge = tables[5], tables[6], space.ridge
    row, value, bend = 0.0, 0.0, 0.0
    for move in range(_MOVES + 1):
        surface(k, spectrum, tables, space)
        row, value, bend = _ridge(k, tables, grid, space)
        other = _move(k, row, ridge, level, grid)
        if other == k or move == _MOVES:
            break
        k = other
    row = max(0.0, min(ROWS - 1.0, row))
    b = _between(lattice[k, 0], row)
    r = int(row + 0.5)
    peak[SIGMA_V] = max(_between(ridge[:, 2], row), 0.5 * ridge[r, 2])
    r = max(1, min(ROWS - 2, r))
    by_row = 0.5 * (lattice[k, 0, r + 1] - lattice[k, 0, r - 1])
    if not mirrored[k]:  # geometric
        by_row *= b / lattice[k, 0, r]
    peak[VELOCITY] = _between(ridge[:, 1], row)
    peak[BROADENING] = max(b, 0.0)
    peak[SIGMA_B] = by_row / np.sqrt(bend)
    tilt = 0.5 * (ridge[r + 1, 1] - ridge[r - 1, 1]) / by_row
    most = _STEEPEST * peak[SIGMA_V] / peak[SIGMA_B]
    peak[SLOPE] = max(-most, min(most, tilt))
    peak[GAIN], peak[NODE], peak[ROW], peak[REFINED] = value, k, row, 1.0
    q = int(row + 0.5) * ACROSS + max(
        0, min(ACROSS - 1, int((peak[VELOCITY] - grid[0][k]) / lattice[k, 1, r] + 3.5))
    )
    for j in range(share.size):
        share[j] = space.a[j, q] * space.c[j, q]


@njit(cache=True, nogil=True)
def _glance(k, s, z, grid, peak, share):  # pragma: no cover - compiled
    """Fill one peak from the nodes alone."""
    velocity, broadening, step, reach = grid
    peak[VELOCITY], peak[BROADENING] = velocity[k], broadening[k]
    peak[SIGMA_B] = 0.3 * reach[k]
    peak[SLOPE], peak[GAIN], peak[NODE] = 0.0, s[k], k
    peak[ROW], peak[REFINED] = ROWS // 2, 0.0
    bend, skew = -0.5, 0.0
    if (
        0 < k < velocity.size - 1
        and broadening[k - 1] == broadening[k]
        and broadening[k + 1] == broadening[k]
    ):
        bend = min(s[k - 1] - 2.0 * s[k] + s[k + 1], -0.5)
        skew = max(-0.5, min(0.5, 0.5 * (s[k - 1] - s[k + 1]) / bend))
    peak[VELOCITY] += skew * step[k]
    peak[SIGMA_V] = step[k] * np.sqrt(2.0 / -bend)
    for j in range(share.size):
        positive = max(z[k, j], np.float32(0.0))
        share[j] = positive * positive


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _largest(values):  # pragma: no cover - compiled
    """First place of the largest value; two loops, of which the longer is vectorised."""
    largest = values[0]
    for i in range(values.size):
        largest = max(largest, values[i])
    for i in range(values.size):
        if values[i] == largest:
            return i
    return 0


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _strike_out(k, velocity, reach, left):  # pragma: no cover - compiled
    """Leave out the nodes about node k."""
    for i in range(left.size):
        near = abs(velocity[i] - velocity[k]) <= min(reach[i], reach[k])
        left[i] = np.float32(-1.0) if near else left[i]


@njit(cache=True, nogil=True)
def _keep(space):  # pragma: no cover - compiled
    """Set the grid of the best peak so far aside."""
    space.first_gain[:] = space.gain
    space.first_ridge[:] = space.ridge


@njit(cache=True, nogil=True)
def find_peaks(spectrum, s, best, tables, grid, level, space, peaks, shares):  # pragma: no cover
    """Fill the peaks of one spectrum, best first; `space` keeps the grid of the first."""
    left = s.copy()
    count, kept, k = 0, 0, best
    for n in range(PEAKS):
        if n > 0:
            k = _largest(left)
            if left[k] <= 0.0:
                break
        _strike_out(k, grid[0], grid[3], left)
        if n == 0 or s[k] > s[best] - max(_MARGIN[0], _MARGIN[1] * s[best]):
            refine(k, spectrum, tables, grid, level, space, peaks[n], shares[n])
            if n == 0 or peaks[n, GAIN] > peaks[kept, GAIN]:
                kept = n
                _keep(space)
        else:
            _glance(k, s, spectrum[0], grid, peaks[n], shares[n])
        peaks[n, COARSE] = s[k]
        count = n + 1
    first = 0
    for n in range(1, count):
        if peaks[n, GAIN] > peaks[first, GAIN]:
            first = n
    if first:
        for q in range(FIELDS):
            peaks[0, q], peaks[first, q] = peaks[first, q], peaks[0, q]
        for j in range(shares.shape[1]):
            shares[0, j], shares[first, j] = shares[first, j], shares[0, j]
    if first != kept:  # a glance saw more than the grids hold
        refine(int(peaks[0, NODE]), spectrum, tables, grid, level, space, peaks[0], shares[0])
        _keep(space)
    return count
