"""Compiled remainder of `posterior.py`: what no lattice has been to.

A cell of the coarse map is filled evenly with the density at its node while it holds next to
nothing. One that matters, to the mass or, by its distance, to a variance, is integrated: midpoints
in velocity, as close as the peaks that a gain like its own can have, and Gauss and Legendre's nodes
in broadening, each left out where a lattice has been. In faint spectra the noise beside a lattice
counts as well, so there cells whose node a lattice has taken are looked at too.

Sums are relative to a reference density: bins of velocity and of broadening, moments (mass, and
first and second of both), fluxes as in `_posterior_lattice.py`.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._posterior_cells import (
    B_HIGH,
    B_LOW,
    GAIN,
    LEVEL,
    NODE_B,
    NODE_V,
    OPEN,
    V_HIGH,
    V_LOW,
    unresolved,
)
from ._posterior_lattice import ORIGIN, TOP, add_fluxes, covers
from ._posterior_point import density, fluxes, line_width, solve
from .cholesky import recover
from .profile import BORROWING, SINC

BINS: Final = 256  # of velocity and of broadening
_MATTERS = 3e-4  # of the mass, or of a variance: a cell of more is integrated
_NEGLIGIBLE = 1e-6  # of the same: a cell of less is left out
_DIFFUSE = 6.5  # below the top of a lattice: noise denser than that surrounds it
_APART = 1.0  # standard deviations of a peak between two points
_MOST = 6  # points of a cell in velocity
_NODES = (
    (-0.5773502691896258, 0.5773502691896258, 0.0, 0.0),
    (-0.7745966692414834, 0.0, 0.7745966692414834, 0.0),
    (-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526),
)
_WEIGHTS = (
    (1.0, 1.0, 0.0, 0.0),
    (5.0 / 9.0, 8.0 / 9.0, 5.0 / 9.0, 0.0),
    (0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538),
)


@njit(cache=True, nogil=True, error_model="numpy")
def rest_space(lines):  # pragma: no cover - compiled
    """Make the sums: bins, moments, fluxes, what is below those asked for."""
    return np.zeros(BINS), np.zeros(BINS), np.zeros(5), np.zeros((lines, 2)), np.zeros(lines)


@njit(**BORROWING)
def scale(rest, factor):  # pragma: no cover - compiled
    """Multiply all sums."""
    masses_v, masses_b, moments, flux, below = rest
    masses_v *= factor
    masses_b *= factor
    moments *= factor
    flux *= factor
    below *= factor


@njit(**BORROWING)
def _spread(masses, low, high, first, last, mass):  # pragma: no cover - compiled
    """Add a mass that lies evenly between low and high to the bins between first and last."""
    side = (last - first) / BINS
    i = min(max(int((low - first) / side), 0), BINS - 1)
    while i < BINS and first + i * side < high:
        part = min(high, first + (i + 1) * side) - max(low, first + i * side)
        masses[i] += mass * max(part, 0.0) / (high - low)
        i += 1


@njit(**BORROWING)
def _fill(case, problem, k, cell, mass, box, probe, rest):  # pragma: no cover - compiled
    """Add a cell as its node has it; the mass that may be wrong."""
    masses_v, masses_b, moments, flux, below = rest
    small, theta = case[5], case[1]
    v_low, v_high, b_low, b_high = cell[V_LOW], cell[V_HIGH], cell[B_LOW], cell[B_HIGH]
    _spread(masses_v, v_low, v_high, box[0], box[1], mass)
    _spread(masses_b, b_low, b_high, box[2], box[3], mass)
    v, b = 0.5 * (v_low + v_high), 0.5 * (b_low + b_high)
    moments[0] += mass
    moments[1] += mass * v
    moments[2] += mass * (v * v + (v_high - v_low) ** 2 / 12.0)
    moments[3] += mass * b
    moments[4] += mass * (b * b + (b_high - b_low) ** 2 / 12.0)
    theta[0], theta[1] = v, max(cell[NODE_B], 1.0)
    width = line_width(case[0], theta, case[2][1])
    recover(problem[0][k], small[0].size, problem[1][k], small[0], small[1])
    solve(small, case[6])
    fluxes(case[0], theta, case[2], small, case[6], small[6])
    add_fluxes(small[6], mass, flux, probe, below)
    return mass * unresolved(cell, width)


@njit(**BORROWING)
def _points(case, cell):  # pragma: no cover - compiled
    """Points of a cell in velocity and in broadening, by the widths of peaks of its gain."""
    theta = case[1]
    theta[0], theta[1] = cell[NODE_V], max(cell[NODE_B], 1.0)
    width = line_width(case[0], theta, case[2][1])
    sigma = width * math.sqrt(2.0 / max(cell[GAIN], 2.0))
    along = math.ceil((cell[V_HIGH] - cell[V_LOW]) / (_APART * sigma))
    sigma = min(sigma * width / max(theta[1], 0.3 * width), width)
    across = math.ceil((cell[B_HIGH] - cell[B_LOW]) / (_APART * sigma))
    return min(max(along, 1), _MOST), min(max(across, 2), 4)


@njit(**BORROWING)
def _integrate(case, cell, lattices, box, probe, rest, reference):  # pragma: no cover - compiled
    """Add what a cell holds outside the lattices; evaluations."""
    axes, spans, count = lattices
    masses_v, masses_b, moments, flux, below = rest
    theta, calls = case[1], 0
    along, across = _points(case, cell)
    dv, half = (cell[V_HIGH] - cell[V_LOW]) / along, 0.5 * (cell[B_HIGH] - cell[B_LOW])
    for i in range(along):
        v, b_low = cell[V_LOW] + (i + 0.5) * dv, cell[B_LOW]
        for j in range(across):
            db = half * _WEIGHTS[across - 2][j]
            b, b_low = cell[B_LOW] + half * (1.0 + _NODES[across - 2][j]), b_low + db
            taken = False
            for m in range(count):
                at = b if case[0][0] != SINC else axes[m, 1, ORIGIN]
                taken = taken or covers(axes[m], spans[m], v, at)
            if taken:
                continue
            theta[0], theta[1] = v, b
            mass = dv * db * math.exp(min(density(*case) - reference, 300.0))
            calls += 1
            _spread(masses_v, v - 0.5 * dv, v + 0.5 * dv, box[0], box[1], mass)
            _spread(masses_b, b_low - db, b_low, box[2], box[3], mass)
            moments[0] += mass
            moments[1] += mass * v
            moments[2] += mass * v * v
            moments[3] += mass * b
            moments[4] += mass * b * b
            fluxes(case[0], theta, case[2], case[5], case[6], case[5][6])
            add_fluxes(case[5][6], mass, flux, probe, below)
    return calls


@njit(cache=True, nogil=True, error_model="numpy")
def add_rest(case, problem, cells, lattices, sums, about, levels, box, probe, rest):
    """Fill the sums with what lies outside the lattices; mass that may be wrong, evaluations.

    `about` holds mean and standard deviation of velocity and of broadening, as far as they are
    known; `levels` the log of all mass, the reference, and the density of even noise.
    """
    whole, reference, floor = levels
    diffuse = lattices[2] > 0 and floor > sums[0, TOP] - _DIFFUSE
    doubt, calls = 0.0, 0
    scale(rest, 0.0)
    for k in range(cells.shape[0]):
        cell = cells[k]
        area = (cell[V_HIGH] - cell[V_LOW]) * (cell[B_HIGH] - cell[B_LOW])
        level = cell[LEVEL] if cell[OPEN] > 0.0 else min(cell[LEVEL], floor)
        if not area > 0.0 or level < whole - 30.0 or (cell[OPEN] == 0.0 and not diffuse):
            continue
        share = area * math.exp(level - whole)
        away = ((cell[NODE_V] - about[0]) / about[1]) ** 2
        if about[3] > 0.0:
            away = max(away, ((0.5 * (cell[B_LOW] + cell[B_HIGH]) - about[2]) / about[3]) ** 2)
        if share * (1.0 + away) > _MATTERS:
            calls += _integrate(case, cell, lattices, box, probe, rest, reference)
        elif cell[OPEN] == 1.0 and share * (1.0 + away) > _NEGLIGIBLE:
            mass = area * math.exp(min(level - reference, 300.0))
            doubt += _fill(case, problem, k, cell, mass, box, probe, rest)
    return doubt, calls
