"""Compiled coarse map of `posterior.py`: a cell about every node of a scan, and what it holds.

A cell is filled evenly with the density at its node. That is enough for noise, whose peaks are
broad; a cell that a lattice has been to is emptied.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._posterior_lattice import CUT, ORIGIN, REFERENCE, STEP, TOP, covers, extent
from ._posterior_point import NOWHERE, log_prior, solve
from .axis import SPEED_OF_LIGHT
from .cholesky import factor, forward, recover
from .profile import BORROWING

NODE_V, NODE_B, V_LOW, V_HIGH, B_LOW, B_HIGH, LEVEL, GAIN, OPEN, CELL = range(10)
BESIDE: Final = 0.5  # of an open cell: it is a lattice's tail, and may hold more than the lattice
LOST: Final = 0.1  # of a gain: what a sinc between two nodes may have beyond them, in half
_SHARP = 25.0  # gain of a peak that the points of a cell would miss
_FREE, _FARTHEST = 3.5, 9.0  # of `reach`: from e^3.5 to e^12.5
_TAIL = 6.0  # below a lattice's top: a cell beside it that low is its tail


@njit(cache=True, nogil=True, error_model="numpy")
def node_constants(lower, prior, small, constants):  # pragma: no cover - compiled
    """Fill what a node adds to half its gain; NaN where that depends on the spectrum."""
    z = np.zeros(lower.shape[1])
    for k in range(lower.shape[0]):
        recover(lower[k], z.size, z, small[0], small[1])
        value = solve(small, prior)
        constants[k] = np.nan if small[3].any() or prior[1] + prior[4] > 0.0 else value


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_nodes(s, products, sizes, lower, z):  # pragma: no cover - compiled
    """Fill factor and z of every node from the weighted sums of `WeightedScan`."""
    right, sums, squares = products
    columns, terms = sizes
    entry = sums.shape[1] // lower.shape[0]
    own, turned = np.zeros((terms, terms)), np.empty((columns, terms))
    at, trace = 0, 0.0
    for d in range(terms):
        for e in range(d + 1):
            own[d, e] = squares[s, at]
            at += 1
        trace += own[d, d]
    for d in range(terms):
        own[d, d] += 1e-6 * trace
    sound = trace > 0.0 and factor(own, terms)
    for k in range(lower.shape[0]):
        packed = sums[s, k * entry : (k + 1) * entry]
        at, heaviest = columns * (columns + 1) // 2, 0.0
        for a in range(columns):
            for d in range(terms):
                turned[a, d] = packed[at + a * terms + d]
            forward(own, terms, turned[a])
        at = 0
        for a in range(columns):
            for b in range(a + 1):
                lower[k, a, b] = packed[at]
                at += 1
                for d in range(terms):
                    lower[k, a, b] -= turned[a, d] * turned[b, d]
            heaviest = max(heaviest, lower[k, a, a])
            z[k, a] = right[s, k * columns + a]
        for a in range(columns):
            lower[k, a, a] += 1e-5 * heaviest + 1e-12  # a column without channels stays at zero
        if sound and factor(lower[k], columns):
            forward(lower[k], columns, z[k])
        else:
            z[k] = 0.0
            lower[k] = 1e6 * np.eye(columns)  # reciprocals of a factor that nothing weighs in


@njit(**BORROWING)
def fill_cells(table, problem, scale, box, prior, small, cells):  # pragma: no cover - compiled
    """Fill the cells of a spectrum: sides on its own axis, log density and gain; the best cell."""
    lower, z, constants = problem
    best = 0
    for k in range(cells.shape[0]):
        cell = cells[k]
        v, half = table[k, 0], 0.5 * table[k, 1]
        cell[NODE_V] = SPEED_OF_LIGHT * ((1.0 + v / SPEED_OF_LIGHT) / scale - 1.0)
        cell[V_LOW] = max(cell[NODE_V] - half, box[0])
        cell[V_HIGH] = min(cell[NODE_V] + half, box[1])
        cell[NODE_B], cell[B_LOW], cell[B_HIGH] = table[k, 2], table[k, 3], table[k, 4]
        cell[LEVEL], cell[GAIN], cell[OPEN] = NOWHERE, 0.0, 0.0
        if cell[V_HIGH] <= cell[V_LOW]:
            continue
        gain = 0.0
        for a in range(z.shape[1]):
            gain += z[k, a] * z[k, a]
        cell[GAIN] = gain
        if np.isnan(constants[k]):
            recover(lower[k], z.shape[1], z[k], small[0], small[1])
            cell[LEVEL] = solve(small, prior)
        else:
            cell[LEVEL] = 0.5 * gain + constants[k]
        inside = min(max(cell[NODE_V], box[0]), box[1])
        cell[LEVEL] += log_prior(inside, cell[NODE_B], prior)
        cell[OPEN] = 1.0
        if cell[LEVEL] > cells[best, LEVEL]:
            best = k
    return best


@njit(**BORROWING)
def log_mass(cell):  # pragma: no cover - compiled
    """Log of what a cell holds."""
    if cell[OPEN] < 1.0:
        return NOWHERE
    area = (cell[V_HIGH] - cell[V_LOW]) * (cell[B_HIGH] - cell[B_LOW])
    return cell[LEVEL] + math.log(area)


@njit(**BORROWING)
def log_total(cells):  # pragma: no cover - compiled
    """Log of what all open cells hold."""
    top = NOWHERE
    for k in range(cells.shape[0]):
        if cells[k, OPEN] == 1.0:
            top = max(top, cells[k, LEVEL])
    total = 0.0
    for k in range(cells.shape[0]):
        if cells[k, OPEN] == 1.0 and cells[k, LEVEL] > top - 40.0:
            area = (cells[k, V_HIGH] - cells[k, V_LOW]) * (cells[k, B_HIGH] - cells[k, B_LOW])
            total += area * math.exp(cells[k, LEVEL] - top)
    return top + math.log(total) if total > 0.0 else NOWHERE


@njit(**BORROWING)
def close_cells(cells, axes, spans, sums):  # pragma: no cover - compiled
    """Empty the cells that a lattice has been to, or whose density is its tail."""
    lowest, highest = extent(spans, 0)
    v_low = axes[0, ORIGIN] + axes[0, STEP] * (lowest - 0.5)
    v_high = axes[0, ORIGIN] + axes[0, STEP] * (highest + 0.5)
    lowest, highest = extent(spans, 1)
    b_low = axes[1, ORIGIN] + axes[1, STEP] * (lowest - 0.5)
    b_high = axes[1, ORIGIN] + axes[1, STEP] * (highest + 0.5)
    for k in range(cells.shape[0]):
        cell = cells[k]
        if cell[OPEN] == 0.0:
            continue
        beside = cell[V_LOW] < v_high and cell[V_HIGH] > v_low
        beside = beside and cell[B_LOW] < b_high and cell[B_HIGH] > b_low
        if not beside:
            continue
        tail = cell[LEVEL] < sums[TOP] - _TAIL and sums[TOP] - sums[REFERENCE] < CUT
        if covers(axes, spans, cell[NODE_V], cell[NODE_B]):
            cell[OPEN] = 0.0
        elif tail:
            cell[OPEN] = BESIDE


@njit(**BORROWING)
def reach(main, v, b):  # pragma: no cover - compiled
    """Log of the factor by which mass at (v, b) counts more for a variance than mass at the mode.

    `main` holds the mean of velocity and its standard deviation, then those of broadening; a mass m
    at a distance of D standard deviations adds m D^2 to the variance. The first e^3.5 is free: a
    fortieth of a variance is a hundredth of a deviation. Zero while `main` is not known.
    """
    if not main[1] > 0.0:
        return 0.0
    away = (v - main[0]) / main[1]
    square = away * away
    if main[3] > 0.0:
        away = (b - main[2]) / main[3]
        square = max(square, away * away)
    return min(max(math.log(1.0 + square) - _FREE, 0.0), _FARTHEST)


@njit(**BORROWING)
def next_mode(cells, done, main, large):  # pragma: no cover - compiled
    """Open cell that may be the foot of the weightiest mode, -1 for none; log of that weight.

    Blunt cells of less mass than `large` are left to their own points. The weight is what the cell
    may hold, and more where it is far from the main mode.
    """
    best, most = -1, NOWHERE
    for k in range(cells.shape[0]):
        if cells[k, OPEN] < 1.0 or done[k]:
            continue
        if cells[k, GAIN] < _SHARP and log_mass(cells[k]) < large:
            continue
        level = cells[k, LEVEL]
        peak = True
        for other in (k - 1, k + 1):
            if 0 <= other < cells.shape[0] and cells[other, NODE_B] == cells[k, NODE_B]:
                peak = peak and (cells[other, OPEN] < 1.0 or cells[other, LEVEL] <= level)
        value = log_mass(cells[k]) + LOST * cells[k, GAIN]
        value += reach(main, cells[k, NODE_V], cells[k, NODE_B])
        if peak and value > most:
            best, most = k, value
    return best, most


@njit(**BORROWING)
def unresolved(cell, width):  # pragma: no cover - compiled
    """Share of a cell's mass by which an even filling may err, for a line of this width [km/s].

    A peak of gain g has a standard deviation of sigma (2 / g)^(1/2), and a trapezoid of step h is
    wrong by 2 exp(-2 pi^2 / h^2), h in standard deviations.
    """
    if cell[GAIN] < 1.0:
        return 0.0
    h = (cell[V_HIGH] - cell[V_LOW]) / (width * math.sqrt(2.0 / cell[GAIN]))
    return min(1.0, 2.0 * math.exp(-2.0 * math.pi**2 / (h * h)))
