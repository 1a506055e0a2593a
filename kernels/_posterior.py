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
    unresolved,
)
from ._posterior_lattice import (
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
    add_fluxes,
    cover,
    covers,
    extent,
    measure,
)
from ._posterior_point import NOWHERE, fluxes, line_width, solve
from ._posterior_sum import cdf, cumulate, quantile
from .cholesky import recover
from .profile import BORROWING, SINC

MODES: Final = 12
(MEAN_V, SIGMA_V, LOW_V, MID_V, HIGH_V, MEAN_B, SIGMA_B, LOW_B, MID_B, HIGH_B) = range(10)
(EVIDENCE, OUTSIDE, CALLS, FOUND, COMPLETE, CDF_V, CDF_B, SCALARS) = range(10, 18)
BINS: Final = 256  # of velocity and of broadening, for the coarse rest
_SHARES = (0.15865525393145707, 0.5, 0.8413447460685429)
_WORTH = -7.0  # log of the share of the mass that makes a mode worth a lattice
_BLANK = 30.0, -3.0  # best gain below which noise has modes enough, and what is worth one there
_LIKELY = -8.0  # the same, of a mode once its top is known
_NEGLIGIBLE = 1e-6  # of the mass: a coarse rest below does not count, even far away


@njit(cache=True, nogil=True, error_model="numpy")
def modes_space(lines):  # pragma: no cover - compiled
    """Arrays of all lattices of a spectrum, see `_posterior_lattice.py`; knots; what is below."""
    nodes = 2 * SIDE + 1
    return (
        np.zeros((MODES, 2, 6)),
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


@njit(cache=True, nogil=True, error_model="numpy")
def find_modes(case, start, best, cells, box, space, probe, scalars):  # pragma: no cover - compiled
    """Lay a lattice about each mode that matters to the mass or to a variance; how many."""
    axes, margin, spans, sums, flux, _, below, _ = space
    centre, sigma, main = np.empty(2), np.empty(2), np.zeros(4)
    done = np.zeros(cells.shape[0], np.bool_)
    whole = log_total(cells)
    floor = whole - math.log((box[1] - box[0]) * (box[3] - box[2])) + 0.5
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
            k, most = next_mode(cells, done, main)
            if k < 0 or most < _both(held, log_total(cells)) + worth:
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
        lattice = axes[count], margin[count], spans[count], sums[count], flux[count]
        cover(case, centre, sigma, box, lattice, (axes, spans, count), probe, below[count],
              floor, here)  # fmt: skip
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


@njit(**BORROWING)
def _rest(case, problem, cells, share, box, probe, rest):  # pragma: no cover - compiled
    """Add up the open cells: bins, moments, fluxes; the mass that may be wrong.

    `share` holds, for each cell, what part of all mass it has.
    """
    masses_v, masses_b, moments, flux, below = rest
    small, width, doubt = case[5], 0.0, 0.0
    theta = case[1]
    for k in range(cells.shape[0]):
        mass = share[k]
        if mass < 1e-9:
            continue
        cell = cells[k]
        for masses, low, high, first, last in (
            (masses_v, cell[V_LOW], cell[V_HIGH], box[0], box[1]),
            (masses_b, cell[B_LOW], cell[B_HIGH], box[2], box[3]),
        ):
            side = (last - first) / BINS
            i = min(max(int((low - first) / side), 0), BINS - 1)
            while i < BINS and first + i * side < high:
                part = min(high, first + (i + 1) * side) - max(low, first + i * side)
                masses[i] += mass * max(part, 0.0) / (high - low)
                i += 1
        v, b = 0.5 * (cell[V_LOW] + cell[V_HIGH]), 0.5 * (cell[B_LOW] + cell[B_HIGH])
        moments[0] += mass
        moments[1] += mass * v
        moments[2] += mass * (v * v + (cell[V_HIGH] - cell[V_LOW]) ** 2 / 12.0)
        moments[3] += mass * b
        moments[4] += mass * (b * b + (cell[B_HIGH] - cell[B_LOW]) ** 2 / 12.0)
        theta[0], theta[1] = v, max(cell[NODE_B], 1.0)
        width = line_width(case[0], theta, case[2][1])
        doubt += mass * unresolved(cell, width)
        recover(problem[0][k], small[0].size, problem[1][k], small[0], small[1])
        solve(small, case[6])
        fluxes(case[0], theta, case[2], small, case[6], small[6])
        add_fluxes(small[6], mass, flux, probe, below)
    return doubt


@njit(cache=True, nogil=True, error_model="numpy")
def summarise(case, problem, cells, count, box, space, rest, probe, scalars, out_flux):
    """Turn lattices and the open cells into means, deviations, quantiles and the evidence."""
    axes, margin, spans, sums, flux, knots, below, counts = space
    scales, share = np.empty(count), np.zeros(cells.shape[0])
    evidence = log_total(cells)
    for m in range(count):
        evidence = _both(evidence, _log_mass(axes[m], sums[m]))
    rest[0][:], rest[1][:], rest[2][:], rest[3][:], rest[4][:] = 0.0, 0.0, 0.0, 0.0, 0.0
    coarse = 0.0
    for k in range(cells.shape[0]):
        if cells[k, OPEN] > 0.0 and cells[k, LEVEL] > evidence - 60.0:
            area = (cells[k, V_HIGH] - cells[k, V_LOW]) * (cells[k, B_HIGH] - cells[k, B_LOW])
            share[k] = area * math.exp(cells[k, LEVEL] - evidence)
            coarse += share[k]
    doubt = 0.0
    if coarse > _NEGLIGIBLE:
        doubt = _rest(case, problem, cells, share, box, probe, rest)
    moments, totals, totals_below = rest[2], rest[3], rest[4]
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
    scalars[OUTSIDE] = 0.5 * rim + doubt
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


@njit(cache=True, nogil=True, error_model="numpy")
def rest_space(lines):  # pragma: no cover - compiled
    """Make the sums over the open cells: bins, moments, fluxes."""
    return np.zeros(BINS), np.zeros(BINS), np.zeros(5), np.zeros((lines, 2)), np.zeros(lines)
