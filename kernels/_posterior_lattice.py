"""Compiled lattices of `posterior.py`: a mode is found, measured, and walked over until it ends.

A *case* is what `density` takes: (model, theta, spectrum, exact, tables, small, prior). An *axis*
of a lattice is (origin, step, first, last, at_low, at_high, strip): its nodes are origin + i step.
The trapezoid rule is exact to exp(-2 pi^2 / step^2), step in standard deviations, and every second
node to exp(-pi^2 / (2 step^2)), which tells whether the step was right.

Where the density is cut off by the prior's range, nodes start on the bound and Gregory's weights (a
trapezoid corrected to third differences) end the sum (`BOUND`). A lower bound of broadening near
zero needs none of that: profiles are even in broadening, so the trapezoid rule from zero on is as
exact as one over all numbers (`MIRROR`), less the strip below the bound, `strip` steps wide, over
which the density is its parabola at zero. The first moment alone is odd; Euler and Maclaurin's
terms up to the fifth derivative mend it.

Arrays of one lattice: `axes` (2, 7); `margin` (2, nodes), sums along the other axis; `spans`
(nodes, 2), the first and last row of each column that was visited; `sums`; `flux` (line, 2).
"""

# numba's types do not know `forceinline`.
# pyright: reportCallIssue=false

import math
from typing import Final

import numpy as np
from numba import njit

from ._posterior_point import NOWHERE, density, fluxes
from .profile import BORROWING

SIDE: Final = 256  # nodes on either side of the first
ORIGIN, STEP, FIRST, LAST, AT_LOW, AT_HIGH, STRIP, AXIS = 0, 1, 2, 3, 4, 5, 6, 7
BOUND: Final = 1.0  # how an axis ends: on a bound, or mirrored at zero
MIRROR: Final = 2.0
TOTAL, EVEN, RIM, TOP, REFERENCE, COUNT, V, VV, B, BB, FULL, TOP_V, TOP_B, FIELDS = range(14)
_FARTHEST: Final = 192  # nodes from a bound to the centre: the other side needs some too
SPACING: Final = 1.15  # standard deviations between nodes
CUT: Final = 8.5  # below the top in log density: beyond lies a mass of 2e-4
_NEAR_BOUND = 6.0  # standard deviations from a bound that make nodes start on it
_CLOSER = 0.7  # of the spacing, where a bound cuts the density off
_CLOSEST = 0.5  # the same, where the top lies at the bound
_MIRRORED = 0.85  # the same, where it is mirrored: an odd moment is less exact
_FEWEST = 8  # nodes between two bounds
_WIDEST = 0.4  # steps of a strip whose density is taken from a parabola
_UNEVEN = 0.03  # of the mass: two halves of a lattice that differ by more are too coarse
_ALTERNATE = 0.2  # the same of every second row, as of one 1.5 standard deviations apart
_ATTEMPTS = 4
MIRRORED = (15.0, -16.0, 1.0)  # of a parabola's bend at zero, over 36
_ODD = (0.094742063492, -0.012433862434, 0.001025132275)  # of an odd moment: f to f^(4) at 0
GREGORY = (251 / 720 - 1, 299 / 240 - 1, 211 / 240 - 1, 739 / 720 - 1)


@njit(**BORROWING)
def weight(axis, i):  # pragma: no cover - compiled
    """Weight of node i in a sum along its axis."""
    total = 1.0
    low, high = int(i - axis[FIRST]), int(axis[LAST] - i)
    if axis[AT_LOW] == BOUND and 0 <= low < 4:
        total += GREGORY[low]
    elif axis[AT_LOW] == MIRROR and low < 3:
        total += MIRRORED[low] * axis[STRIP] ** 3 / 36.0 - (0.5 + axis[STRIP] if low == 0 else 0.0)
    if axis[AT_HIGH] > 0.0 and 0 <= high < 4:
        total += GREGORY[high]
    return total


@njit(**BORROWING)
def _lay(axis, centre, sigma, box, spacing, pinned, even):  # pragma: no cover - compiled
    """Lay the nodes of an axis; `pinned` are bounds that a walk has come upon.

    The density of an `even` one may be mirrored at zero. Nodes are counted from a bound they start
    on, and arrays hold so many: where the centre would come to lie beyond, or near their end, the
    tail that the bound cuts off ends between two nodes.
    """
    low, high, step = box[0], box[1], spacing * sigma
    within = _FARTHEST * _CLOSER * step
    pin_low = (pinned[0] > 0.0 and centre - low < within) or centre - _NEAR_BOUND * sigma < low
    pin_high = (pinned[1] > 0.0 and high - centre < within) or centre + _NEAR_BOUND * sigma > high
    mirrored = pin_low and even and 0.0 <= low < _WIDEST * step
    axis[AT_LOW] = (MIRROR if mirrored else BOUND) if pin_low else 0.0
    axis[AT_HIGH] = BOUND if pin_high else 0.0
    if axis[AT_LOW] == BOUND or pin_high:
        near = axis[AT_LOW] == BOUND and centre - low < 1.5 * sigma
        step *= _CLOSEST if near or (pin_high and high - centre < 1.5 * sigma) else _CLOSER
    elif mirrored:
        step *= _MIRRORED
    first = 0.0 if mirrored else low
    whole = (high - first) / step
    if pin_low and pin_high:
        count = max(_FEWEST, math.ceil(whole))
        axis[ORIGIN], axis[STEP], axis[FIRST], axis[LAST] = first, (high - first) / count, 0, count
    elif pin_low:
        axis[ORIGIN], axis[STEP], axis[FIRST], axis[LAST] = first, step, 0, math.floor(whole)
    elif pin_high:
        axis[ORIGIN], axis[STEP], axis[FIRST], axis[LAST] = high, step, -math.floor(whole), 0
    else:
        axis[ORIGIN], axis[STEP] = centre, step
        axis[FIRST] = -math.floor((centre - low) / step)
        axis[LAST] = math.floor((high - centre) / step)
    axis[STRIP] = low / axis[STEP] if mirrored else 0.0


@njit(**BORROWING)
def _measure(case, centre, p, guess, low, high, here):  # pragma: no cover - compiled
    """Measure a deviation along p by second differences, uphill: sigma, log density, calls.

    A side beyond the bound is not asked; where only one is left, the density is taken to be level
    at the bound, and measured two standard deviations away: near zero broadening it is flatter and
    steeper than a Gaussian.
    """
    theta, calls, g = case[1], 0, guess
    for _ in range(12):
        above = below = np.nan
        theta[0], theta[1] = centre[0], centre[1]
        if centre[p] + g <= high:
            theta[p] = centre[p] + g
            above, calls = density(*case), calls + 1
        theta[0], theta[1] = centre[0], centre[1]
        if centre[p] - g >= low:
            theta[p] = centre[p] - g
            below, calls = density(*case), calls + 1
        upwards = above >= below or np.isnan(below)
        best = above if upwards else below
        if np.isnan(best):  # wider than the range
            return 0.5 * (high - low), here, calls
        bend = 2.0 * here - above - below
        one_sided = np.isnan(bend)
        if one_sided:
            bend = 2.0 * (here - best)
        if best > here + 0.05:
            centre[p] += g if upwards else -g
            here = best
            g *= 1.0 if bend > 0.5 else 1.6
        elif bend > (8.0 if one_sided else 4.0):
            g = max(g / math.sqrt(0.25 * bend if one_sided else bend), 0.05 * g)
        elif one_sided and 0.25 <= bend < 2.5:
            g *= 2.0 / math.sqrt(bend)
            if g > high - low:
                return 0.5 * (high - low), here, calls
        elif bend < 0.25:
            g *= 2.0
            if g > high - low:
                return 0.5 * (high - low), here, calls
        else:
            return g / math.sqrt(bend), here, calls
    return g, here, calls


@njit(**BORROWING)
def measure(case, centre, sigma, box, has_width):  # pragma: no cover - compiled
    """Climb to a mode and measure it; fills `centre` and `sigma`: log density there, calls."""
    theta = case[1]
    theta[0], theta[1] = centre[0], centre[1]
    here, calls = density(*case), 1
    for _ in range(4):
        start = here
        for p in range(2 if has_width else 1):
            sigma[p], here, used = _measure(
                case, centre, p, sigma[p], box[2 * p], box[2 * p + 1], here
            )
            calls += used
        if here < start + 0.5:
            break
    return here, calls


@njit(**BORROWING)
def covers(axes, spans, v, b):  # pragma: no cover - compiled
    """Tell whether a lattice has been to the cell of (v, b)."""
    i = round((v - axes[0, ORIGIN]) / axes[0, STEP]) + SIDE
    if not 0 <= i <= 2 * SIDE or spans[i, 0] > spans[i, 1]:
        return False
    j = (b - axes[1, ORIGIN]) / axes[1, STEP]
    return spans[i, 0] - 0.5 <= j <= spans[i, 1] + 0.5


@njit(**BORROWING)
def extent(spans, p):  # pragma: no cover - compiled
    """Lowest and highest index visited along axis p."""
    lowest, highest = 1 << 20, -(1 << 20)
    for i in range(spans.shape[0]):
        if spans[i, 0] <= spans[i, 1]:
            lowest = min(lowest, i - SIDE if p == 0 else spans[i, 0])
            highest = max(highest, i - SIDE if p == 0 else spans[i, 1])
    return lowest, highest


@njit(**BORROWING, forceinline=True)
def _visit(case, lattice, probe, below, i, j):  # pragma: no cover - compiled
    """Evaluate node (i, j) and add it to the sums; its log density."""
    axes, margin, spans, sums, flux = lattice
    theta = case[1]
    v = axes[0, ORIGIN] + i * axes[0, STEP]
    b = axes[1, ORIGIN] + j * axes[1, STEP]
    theta[0], theta[1] = v, b
    value = density(*case)
    sums[COUNT] += 1.0
    spans[i + SIDE, 0] = min(spans[i + SIDE, 0], j)
    spans[i + SIDE, 1] = max(spans[i + SIDE, 1], j)
    e = math.exp(min(value - sums[REFERENCE], 300.0))
    w_v, w_b = weight(axes[0], i), weight(axes[1], j)
    margin[0, i + SIDE] += w_b * e
    margin[1, j + SIDE] += w_v * e
    e *= w_v * w_b
    sums[TOTAL] += e
    if (i + j) % 2 == 0:
        sums[EVEN] += e
    sums[V] += e * (v - axes[0, ORIGIN])
    sums[VV] += e * (v - axes[0, ORIGIN]) ** 2
    sums[B] += e * (b - axes[1, ORIGIN])
    sums[BB] += e * (b - axes[1, ORIGIN]) ** 2
    if e > 1e-7:
        moments = case[5][6]
        fluxes(case[0], theta, case[2], case[5], case[6], moments)
        add_fluxes(moments, e, flux, probe, below)
    return value


@njit(**BORROWING)
def add_fluxes(moments, mass, flux, probe, below):  # pragma: no cover - compiled
    """Add a point's Gaussians to the moments of fluxes, and to the mass below those asked for."""
    for k in range(flux.shape[0]):
        mean, variance = moments[k, 0], moments[k, 1]
        flux[k, 0] += mass * mean
        flux[k, 1] += mass * (mean * mean + variance)
        if not np.isnan(probe[2 + k]):
            if variance > 0.0:
                z = (probe[2 + k] - mean) / math.sqrt(2.0 * variance)
                below[k] += mass * 0.5 * math.erfc(-z)
            elif probe[2 + k] > mean:
                below[k] += mass


@njit(**BORROWING)
def _over(sums, floor, value):  # pragma: no cover - compiled
    """Tell whether a log density is too low for the walk to go on."""
    return value < max(sums[TOP] - CUT, min(floor, sums[TOP] - 3.0))


@njit(**BORROWING)
def _column(case, lattice, others, probe, below, i, start, floor):  # pragma: no cover - compiled
    """Walk up and down column i from row `start`; best row and its log density."""
    axes, sums = lattice[0], lattice[3]
    best, row = NOWHERE, start
    for direction in (1, -1):
        j = start if direction == 1 else start - 1
        while axes[1, FIRST] <= j <= axes[1, LAST]:
            if abs(j) > SIDE or sums[COUNT] > 6000.0:
                sums[FULL] = 1.0
                break
            v = axes[0, ORIGIN] + i * axes[0, STEP]
            b = axes[1, ORIGIN] + j * axes[1, STEP]
            taken = False
            for k in range(others[2]):
                taken = taken or covers(others[0][k], others[1][k], v, b)
            if taken:
                break
            value = _visit(case, lattice, probe, below, i, j)
            if value > best:
                best, row = value, j
            if value > sums[TOP]:
                sums[TOP], sums[TOP_V], sums[TOP_B] = value, v, b
            if _over(sums, floor, value):
                sums[RIM] += math.exp(min(value - sums[REFERENCE], 300.0))
                break
            j += direction
    return row, best


@njit(**BORROWING)
def _clear(lattice, below):  # pragma: no cover - compiled
    """Forget a walk."""
    _, margin, spans, sums, flux = lattice
    margin[:] = 0.0
    spans[:, 0], spans[:, 1] = 1 << 20, -(1 << 20)
    flux[:] = 0.0
    below[:] = 0.0
    reference = sums[REFERENCE]
    sums[:] = 0.0
    sums[REFERENCE] = sums[TOP] = reference


@njit(**BORROWING)
def _nearest(axis, value):  # pragma: no cover - compiled
    """Node nearest to a value."""
    index = round((value - axis[ORIGIN]) / axis[STEP])
    return min(max(index, int(axis[FIRST])), int(axis[LAST]))


@njit(**BORROWING)
def _walk(case, lattice, others, probe, below, floor, centre):  # pragma: no cover - compiled
    """Visit all nodes that matter, column by column away from the centre."""
    axes, sums = lattice[0], lattice[3]
    _clear(lattice, below)
    first, middle = _nearest(axes[0], centre[0]), _nearest(axes[1], centre[1])
    for direction in (1, -1):
        i, row = (first, middle) if direction == 1 else (first - 1, middle)
        while axes[0, FIRST] <= i <= axes[0, LAST]:
            if abs(i) > SIDE or sums[FULL] > 0.0:
                sums[FULL] = 1.0
                return
            row, best = _column(case, lattice, others, probe, below, i, row, floor)
            if i == first:
                middle = row
            if _over(sums, floor, best):
                break
            i += direction


@njit(**BORROWING)
def _mend(axis, margin, sums):  # pragma: no cover - compiled
    """Correct the moments of a mirrored axis: an odd one at zero, and those of the strip."""
    f0, f1, f2 = margin[SIDE], margin[SIDE + 1], margin[SIDE + 2]
    s, step = axis[STRIP], axis[STEP]
    cube, fourth, fifth = s**3 / 36.0, s**4 / 48.0, s**5 / 60.0
    first = (_ODD[0] - 0.5 * s * s + 15.0 * fourth) * f0
    first += (_ODD[1] + 16.0 * (cube - fourth)) * f1 + (_ODD[2] - 2.0 * cube + fourth) * f2
    second = (15.0 * fifth - s**3 / 3.0) * f0
    second += 16.0 * (cube - fifth) * f1 + (fifth - 4.0 * cube) * f2
    sums[B] += step * first
    sums[BB] += step * step * second


@njit(**BORROWING)
def _spaced(axis, margin, lowest, highest):  # pragma: no cover - compiled
    """By which factor an axis must lie closer, by what every second node sums to.

    One over a spacing of 1.3 in standard deviations, as the sum of every second node has it, where
    the two sums differ by too much; else one. Ends on a bound tell nothing.
    """
    if axis[AT_HIGH] > 0.0 or axis[AT_LOW] == BOUND:
        return 1.0
    total, alternate = 0.0, 0.0
    for i in range(lowest, highest + 1):
        value = margin[i + SIDE] * (0.5 if axis[AT_LOW] == MIRROR and i == 0 else 1.0)
        total += value
        alternate += value if i % 2 == 0 else -value
    error = abs(alternate) / total if total > 0.0 else 0.0
    if error < _ALTERNATE:
        return 1.0
    return max(0.4, 1.3 / (math.pi / math.sqrt(2.0 * math.log(2.0 / min(error, 1.9)))))


@njit(cache=True, nogil=True, error_model="numpy")
def cover(case, centre, sigma, box, lattice, others, probe, below, floor, here):  # pragma: no cover
    """Integrate a mode: lay a lattice about it, walk, and lay it anew where it was not right."""
    axes, margin, spans, sums, _ = lattice
    has_width = case[0][0] != 1
    pinned, calls = np.zeros((2, 2)), 0.0
    spacing = np.full(2, SPACING)
    sums[REFERENCE] = here
    for attempt in range(_ATTEMPTS):
        for p in range(2):
            ends = box[2 * p : 2 * p + 2]
            _lay(axes[p], centre[p], sigma[p], ends, spacing[p], pinned[p], p == 1)
        if not has_width:
            axes[1, ORIGIN], axes[1, STEP] = box[2], box[3] - box[2]
            axes[1, FIRST:] = 0.0
        _walk(case, lattice, others, probe, below, floor, centre)
        calls += sums[COUNT]
        again = uneven = False
        for p in range(2 if has_width else 1):
            lowest, highest = extent(spans, p)
            if lowest <= axes[p, FIRST] and axes[p, AT_LOW] == 0.0 and pinned[p, 0] == 0.0:
                pinned[p, 0], again = 1.0, True
            if highest >= axes[p, LAST] and axes[p, AT_HIGH] == 0.0 and pinned[p, 1] == 0.0:
                pinned[p, 1], again = 1.0, True
            closer = _spaced(axes[p], margin[p], lowest, highest)
            spacing[p] *= closer
            uneven = uneven or closer < 1.0
        if has_width and abs(2.0 * sums[EVEN] - sums[TOTAL]) > _UNEVEN * sums[TOTAL]:
            spacing *= 1.0 if uneven else 0.6
            uneven = True
        again = again or uneven
        if sums[TOP] > sums[REFERENCE] + 20.0:
            centre[0], centre[1] = sums[TOP_V], sums[TOP_B]
            sums[REFERENCE], again = sums[TOP], True
        if not again:
            break
        if attempt == _ATTEMPTS - 1:
            sums[FULL] = 1.0
    if axes[1, AT_LOW] == MIRROR:
        _mend(axes[1], margin[1], sums)
    sums[COUNT] = calls
