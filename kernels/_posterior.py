"""The compiled loop of `posterior.py` over a batch: modes, lattices, the coarse rest, moments."""

import math
from typing import Final

import numpy as np
from numba import njit

from ._posterior_cells import (
    B_HIGH,
    B_LOW,
    CELL,
    GAIN,
    LEVEL,
    NODE_B,
    NODE_V,
    OPEN,
    V_HIGH,
    V_LOW,
    close_cells,
    log_total,
    next_mode,
    reach,
)
from ._posterior_lattice import (
    AXIS,
    BB,
    COUNT,
    FIELDS,
    FULL,
    ORIGIN,
    REFERENCE,
    RIM,
    SIDE,
    STEP,
    TOTAL,
    VV,
    B,
    V,
    cover,
    covers,
    extent,
    measure,
)
from ._posterior_point import NOWHERE, line_width
from ._posterior_rest import BINS, add_rest, scale
from ._posterior_sum import cdf, cumulate, quantile
from ._posterior_tilt import BRIGHT, tilt_about
from .profile import BORROWING, SINC

MODES: Final = 12
(MEAN_V, SIGMA_V, LOW_V, MID_V, HIGH_V, MEAN_B, SIGMA_B, LOW_B, MID_B, HIGH_B) = range(10)
(EVIDENCE, OUTSIDE, CALLS, FOUND, COMPLETE, CDF_V, CDF_B, SCALARS) = range(10, 18)
_SHARES = (0.15865525393145707, 0.5, 0.8413447460685429)
_WORTH = -7.0  # log of the share of the mass that makes a mode worth a lattice
_BLANK = 30.0, -3.0  # best gain below which noise has modes enough, and what is worth one there
_LARGE = 3.0  # below all mass in logarithm: a mode of more has a lattice, however blunt
_LIKELY = -8.0  # the same, of a mode once its top is known


@njit(cache=True, nogil=True, error_model="numpy")
def modes_space(lines):  # pragma: no cover - compiled
    """Arrays of all lattices of a spectrum, see `_posterior_lattice.py`; knots; what is below."""
    nodes = 2 * SIDE + 1
    return (
        np.zeros((MODES, 2, AXIS)),
        np.zeros((MODES, 2, nodes)),
        np.zeros((MODES, nodes, 2), np.int64),
        np.zeros((MODES, FIELDS)),
        np.zeros((MODES, lines, 2)),
        np.zeros((2, MODES, 3, nodes + 4)),
        np.zeros((MODES, lines)),
        np.zeros((2, MODES), np.int64),
    )


@njit(**BORROWING)
def _guess(case, centre, gain, sigma):  # pragma: no cover - compiled
    """Fill the standard deviations of a mode from its gain and the line's width."""
    theta = case[1]
    theta[0], theta[1] = centre[0], max(centre[1], 1.0)
    width = line_width(case[0], theta, case[2][1])
    sigma[0] = width * math.sqrt(2.0 / max(gain, 2.0))
    sigma[1] = min(sigma[0] * width / max(theta[1], 0.3 * width), width)


@njit(**BORROWING)
def _log_mass(axes, sums):  # pragma: no cover - compiled
    """Log of what a lattice holds."""
    if not sums[TOTAL] > 0.0:
        return NOWHERE
    return sums[REFERENCE] + math.log(sums[TOTAL] * axes[0, STEP] * axes[1, STEP])


@njit(**BORROWING)
def _centre(axes, sums, main):  # pragma: no cover - compiled
    """Fill means and standard deviations of a lattice, velocity's before broadening's."""
    for p in range(2):
        first, second = (V, VV) if p == 0 else (B, BB)
        mean = sums[first] / sums[TOTAL]
        main[2 * p] = axes[p, ORIGIN] + mean
        main[2 * p + 1] = math.sqrt(max(sums[second] / sums[TOTAL] - mean * mean, 0.0))


@njit(**BORROWING)
def _both(a, b):  # pragma: no cover - compiled
    """Log of the sum of two masses."""
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(max(low - high, -700.0)))


@njit(**BORROWING)
def noise_floor(cells, box):  # pragma: no cover - compiled
    """Log density below which a walk has come to even noise."""
    return log_total(cells) - math.log((box[1] - box[0]) * (box[3] - box[2])) + 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def find_modes(case, start, best, cells, box, space, probe, scalars, floor):  # pragma: no cover
    """Lay a lattice about each mode that matters to the mass or to a variance; how many."""
    axes, margin, spans, sums, flux, _, below, _ = space
    centre, sigma, main = np.empty(2), np.empty(2), np.zeros(4)
    done = np.zeros(cells.shape[0], np.bool_)
    has_width = case[0][0] != SINC
    worth = _WORTH if cells[best, GAIN] > _BLANK[0] else _BLANK[1]
    held, calls = NOWHERE, 0.0
    count = np.int64(0)  # a literal would compile what follows twice
    for attempt in range(3 * MODES):
        if count == MODES:
            break
        if attempt == 0 and np.isfinite(start[0] + start[1]):
            centre[0], centre[1] = start[0], start[1]
            gain = cells[best, GAIN]
            sigma[0], sigma[1] = start[2], start[3]
        else:
            whole = _both(held, log_total(cells))
            k, most = next_mode(cells, done, main, whole - _LARGE if count > 0 else NOWHERE)
            if k < 0 or most < whole + worth:
                break
            done[k] = True
            centre[0] = min(max(cells[k, NODE_V], box[0]), box[1])
            centre[1], gain = min(max(cells[k, NODE_B], box[2]), box[3]), cells[k, GAIN]
            sigma[0] = np.nan
        if not (sigma[0] > 0.0 and sigma[1] > 0.0 and sigma[0] < 1e4):
            _guess(case, centre, gain, sigma)
        sigma[0] = min(sigma[0], 0.25 * (box[1] - box[0]))
        sigma[1] = min(sigma[1], 0.25 * (box[3] - box[2]))
        here, used = measure(case, centre, sigma, box, has_width)
        calls += used
        known = not (here > NOWHERE and sigma[0] > 0.0 and sigma[1] > 0.0)
        for other in range(count):
            known = known or covers(axes[other], spans[other], centre[0], centre[1])
        likely = here + math.log(2.0 * math.pi * sigma[0] * sigma[1])
        likely += reach(main, centre[0], centre[1])
        if known or (count > 0 and likely < _both(held, log_total(cells)) + _LIKELY):
            continue
        if gain > BRIGHT:
            calls += tilt_about(case, centre, sigma)
        lattice = axes[count], margin[count], spans[count], sums[count], flux[count]
        cover(case, centre, sigma, box, lattice, (axes, spans, count), probe, below[count],
              floor, here)  # fmt: skip
        case[4][4][:] = 0.0
        calls += sums[count, COUNT]
        if not sums[count, TOTAL] > 1e-100:
            continue
        held = _both(held, _log_mass(axes[count], sums[count]))
        close_cells(cells, axes[count], spans[count], sums[count])
        if count == 0:
            _centre(axes[0], sums[0], main)
        count += 1
    scalars[CALLS] = calls
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _about(axes, sums, count, cells, whole, about):  # pragma: no cover - compiled
    """Fill means and standard deviations of all that is known, velocity's before broadening's."""
    moments = np.zeros(5)
    for m in range(count):
        share = math.exp(_log_mass(axes[m], sums[m]) - whole)
        _centre(axes[m], sums[m], about)
        moments[0] += share
        for p in range(2):
            moments[1 + 2 * p] += share * about[2 * p]
            moments[2 + 2 * p] += share * (about[2 * p] ** 2 + about[2 * p + 1] ** 2)
    for k in range(cells.shape[0]):
        cell = cells[k]
        if cell[OPEN] == 1.0 and cell[LEVEL] > whole - 25.0:
            area = (cell[V_HIGH] - cell[V_LOW]) * (cell[B_HIGH] - cell[B_LOW])
            share, b = area * math.exp(cell[LEVEL] - whole), 0.5 * (cell[B_LOW] + cell[B_HIGH])
            moments[0] += share
            moments[1] += share * cell[NODE_V]
            moments[2] += share * cell[NODE_V] ** 2
            moments[3] += share * b
            moments[4] += share * b * b
    for p in range(2):
        mean = moments[1 + 2 * p] / moments[0]
        square = moments[2 + 2 * p] / moments[0] - mean * mean
        about[2 * p], about[2 * p + 1] = mean, math.sqrt(max(square, 1e-6))


@njit(cache=True, nogil=True, error_model="numpy")
def summarise(case, problem, cells, count, box, space, rest, probe, scalars, floor, out_flux):
    """Turn lattices and what is beside them into moments, quantiles and the evidence."""
    axes, margin, spans, sums, flux, knots, below, counts = space
    scales, about = np.empty(count), np.empty(4)
    whole = log_total(cells)
    reference = whole
    for m in range(count):
        whole = _both(whole, _log_mass(axes[m], sums[m]))
        reference = max(reference, sums[m, REFERENCE])
    _about(axes, sums, count, cells, whole, about)
    levels = whole, reference, floor
    doubt, calls = add_rest(
        case, problem, cells, (axes, spans, count), sums, about, levels, box, probe, rest
    )
    scalars[CALLS] += calls
    moments, totals, totals_below = rest[2], rest[3], rest[4]
    evidence = reference + math.log(moments[0]) if moments[0] > 0.0 else NOWHERE
    for m in range(count):
        evidence = _both(evidence, _log_mass(axes[m], sums[m]))
    share = math.exp(reference - evidence)
    scale(rest, share)
    rim, full = 0.0, 0.0
    for m in range(count):
        scales[m] = math.exp(_log_mass(axes[m], sums[m]) - evidence) / sums[m, TOTAL]
        mass, rim = scales[m] * sums[m, TOTAL], rim + scales[m] * sums[m, RIM]
        full = max(full, sums[m, FULL] * mass)
        v, b = axes[m, 0, ORIGIN], axes[m, 1, ORIGIN]
        dv, db = scales[m] * sums[m, V], scales[m] * sums[m, B]
        moments[0] += mass
        moments[1] += mass * v + dv
        moments[2] += mass * v * v + 2.0 * v * dv + scales[m] * sums[m, VV]
        moments[3] += mass * b + db
        moments[4] += mass * b * b + 2.0 * b * db + scales[m] * sums[m, BB]
        for k in range(totals.shape[0]):
            totals[k, 0] += scales[m] * flux[m, k, 0]
            totals[k, 1] += scales[m] * flux[m, k, 1]
            totals_below[k] += scales[m] * below[m, k]
    scalars[EVIDENCE], scalars[FOUND] = evidence, count
    scalars[OUTSIDE] = 0.5 * rim + doubt * share
    scalars[COMPLETE] = 1.0 if full < 0.01 else 0.0
    _marginals(axes, margin, spans, scales, knots, counts, rest, box, probe, scalars)
    for k in range(totals.shape[0]):
        mean = totals[k, 0] / moments[0]
        out_flux[k, 0] = mean
        out_flux[k, 1] = math.sqrt(max(totals[k, 1] / moments[0] - mean * mean, 0.0))
        out_flux[k, 2] = totals_below[k] / moments[0]


@njit(cache=True, nogil=True, error_model="numpy")
def _marginals(axes, margin, spans, scales, knots, counts, rest, box, probe, scalars):
    """Fill means, deviations and quantiles of velocity and broadening."""
    moments = rest[2]
    along, own = np.empty(scales.size), np.empty(2)
    for p in range(2):
        mean = moments[1 + 2 * p] / moments[0]
        square = moments[2 + 2 * p] / moments[0] - mean * mean
        own[0], own[1] = mean, math.sqrt(max(square, 1e-12))
        total = 0.0
        for m in range(scales.size):
            lowest, highest = extent(spans[m], p)
            counts[p, m] = cumulate(axes[m, p], margin[m, p], lowest, highest, knots[p, m])
            along[m] = scales[m] * axes[m, 1 - p, STEP] / (axes[m, 0, STEP] * axes[m, 1, STEP])
            total += along[m] * knots[p, m, 1, counts[p, m] - 1]
        masses = rest[0] if p == 0 else rest[1]
        edges = np.linspace(box[2 * p], box[2 * p + 1], BINS + 1)
        if masses.sum() <= 0.0:
            masses, edges = masses[:0], edges[:1]
        total += masses.sum()
        scalars[5 * p], scalars[5 * p + 1] = own[0], own[1]
        limits = box[2 * p : 2 * p + 2]
        for q in range(3):
            scalars[5 * p + 2 + q] = quantile(
                _SHARES[q] * total, own, knots[p], counts[p], along, edges, masses, limits
            )
        if not np.isnan(probe[p]):
            value = cdf(probe[p], knots[p], counts[p], along, edges, masses)
            scalars[CDF_V + p] = value / total


@njit(cache=True, nogil=True, error_model="numpy")
def cells_space(nodes):  # pragma: no cover - compiled
    """Cells of a spectrum."""
    return np.zeros((nodes, CELL))
