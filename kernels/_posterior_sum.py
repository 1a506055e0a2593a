"""Compiled marginal distributions of `posterior.py`: from sums along a lattice to quantiles.

The marginal density f_j at the nodes of an axis of step h determines it everywhere between, as far
as the trapezoid rule holds (Whittaker 1915):

    f(x) = sum_j f_j sinc(x/h - j),   C(x) = h sum_j f_j [1/2 + Si(pi (x/h - j)) / pi].

Density and mass below are evaluated every half step, and between these the mass is the cubic that
has the densities for slopes. Where a bound cuts the density off there is no such series; nodes are
closer there, and the mass below the middle between two of them is, by Euler and Maclaurin,

    C_(i+1/2) = h [sum_(j<=i) f_j + (f_(i+1) - f_i) / 24
                   - 17 (f_(i+2) - 3 f_(i+1) + 3 f_i - f_(i-1)) / 5760],

the sum beginning with Gregory's weights.
"""

from typing import Final

import numpy as np
from numba import njit
from scipy.special import sici

from ._posterior_lattice import (
    AT_HIGH,
    AT_LOW,
    BOUND,
    FIRST,
    GREGORY,
    LAST,
    MIRROR,
    ORIGIN,
    SIDE,
    STEP,
    STRIP,
    weight,
)
from .profile import BORROWING

_HALVINGS = 22
_FREE: Final = 96  # nodes: with more, the density is far wider than their step
_HALF_STEPS = 0.5 * np.arange(-2 * _FREE - 4, 2 * _FREE + 5)
_SINC = np.sinc(_HALF_STEPS)
_MASS = 0.5 + sici(np.pi * _HALF_STEPS)[0] / np.pi
_ZERO = 2 * _FREE + 4


@njit(**BORROWING)
def _at(margin, i, low, high):  # pragma: no cover - compiled
    """Density at node i, zero where no node was visited."""
    return margin[i + SIDE] if low <= i <= high else 0.0


@njit(**BORROWING)
def cumulate(axis, margin, low, high, knots):  # pragma: no cover - compiled
    """Fill knots (3, n): place, mass below, density; how many.

    `low` and `high` are the first and last node visited.
    """
    at_low = axis[AT_LOW] == BOUND and low == int(axis[FIRST])
    at_high = axis[AT_HIGH] > 0.0 and high == int(axis[LAST])
    if axis[AT_LOW] == MIRROR and low == 0 and not at_high:
        count = _mirrored(axis, margin, high, knots)
    elif at_low or at_high or high - low >= _FREE:
        count = _bounded(axis, margin, low, high, at_low, at_high, knots)
    else:
        count = _free(axis, margin, low, high, knots)
    whole = 0.0
    for i in range(low, high + 1):
        whole += weight(axis, i) * margin[i + SIDE]
    whole *= axis[STEP]
    knots[1, 0], knots[1, count - 1] = 0.0, whole
    for i in range(1, count):
        knots[1, i] = min(max(knots[1, i], knots[1, i - 1]), whole)
    return count


@njit(**BORROWING)
def _free(axis, margin, low, high, knots):  # pragma: no cover - compiled
    """Fill the knots of a density that no bound cuts off."""
    step, count = axis[STEP], 2 * (high - low) + 3
    for q in range(count):
        mass = density = 0.0
        for j in range(low, high + 1):
            d = q - 1 - 2 * (j - low) + _ZERO
            mass += margin[j + SIDE] * _MASS[d]
            density += margin[j + SIDE] * _SINC[d]
        knots[0, q] = axis[ORIGIN] + step * (low + 0.5 * (q - 1))
        knots[1, q] = step * mass
        knots[2, q] = max(density, 0.0)
    return count


@njit(**BORROWING)
def _mirrored(axis, margin, high, knots):  # pragma: no cover - compiled
    """Fill the knots of a density that is even, from the bound on, a strip above zero."""
    step, strip, most = axis[STEP], axis[STRIP], _ZERO
    f0, f1, f2 = margin[SIDE], margin[SIDE + 1], margin[SIDE + 2]
    start = strip * f0 + strip**3 / 72.0 * (32.0 * f1 - 2.0 * f2 - 30.0 * f0)
    for j in range(-high, high + 1):
        start += 0.5 * margin[abs(j) + SIDE]
    knots[0, 0], knots[1, 0], knots[2, 0] = strip * step, 0.0, f0
    count = 1
    for q in range(int(2.0 * strip) + 1, 2 * high + 2):
        mass = density = 0.0
        for j in range(-high, high + 1):
            value, d = margin[abs(j) + SIDE], q - 2 * j
            if abs(d) <= most:
                mass += value * _MASS[d + most]
                density += value * _SINC[d + most]
            elif d > 0:
                mass += value
        knots[0, count] = 0.5 * step * q
        knots[1, count] = step * (mass - start)
        knots[2, count] = max(density, 0.0)
        count += 1
    return count


@njit(**BORROWING)
def _bounded(axis, margin, low, high, at_low, at_high, knots):  # pragma: no cover - compiled
    """Fill the knots of a density that ends at a bound."""
    step, count, total = axis[STEP], 0, 0.0
    if at_low:
        knots[0, 0], knots[1, 0] = axis[ORIGIN] + step * low, 0.0
        knots[2, 0] = _at(margin, low, low, high)
        count = 1
        for j in range(low, min(low + 4, high + 1)):
            total += GREGORY[j - low] * margin[j + SIDE]
    for i in range(low if at_low else low - 1, high if at_high else high + 1):
        total += _at(margin, i, low, high)
        shift = 1 if at_low and i == low else (-1 if at_high and i == high - 1 else 0)
        a, b = _at(margin, i - 1 + shift, low, high), _at(margin, i + shift, low, high)
        c, d = _at(margin, i + 1 + shift, low, high), _at(margin, i + 2 + shift, low, high)
        here, after = _at(margin, i, low, high), _at(margin, i + 1, low, high)
        bend = d - 3.0 * c + 3.0 * b - a
        slope = 0.5 * (here + after)
        if shift == 0:
            slope = (9.0 * (b + c) - a - d) / 16.0
        knots[0, count] = axis[ORIGIN] + step * (i + 0.5)
        knots[1, count] = step * (total + (after - here) / 24.0 - 17.0 / 5760.0 * bend)
        knots[2, count] = max(slope, 0.0)
        count += 1
    if at_high:
        knots[0, count], knots[2, count] = axis[ORIGIN] + step * high, margin[high + SIDE]
        count += 1
    return count


@njit(**BORROWING)
def below(x, knots, count):  # pragma: no cover - compiled
    """Mass of a lattice below x."""
    if x <= knots[0, 0]:
        return 0.0
    if x >= knots[0, count - 1]:
        return knots[1, count - 1]
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if knots[0, middle] <= x:
            low = middle
        else:
            high = middle
    h = knots[0, high] - knots[0, low]
    t = (x - knots[0, low]) / h
    c0, c1 = knots[1, low], knots[1, high]
    d0, d1 = h * knots[2, low], h * knots[2, high]
    u = 1.0 - t
    value = u * u * (c0 * (1.0 + 2.0 * t) + d0 * t) + t * t * (c1 * (3.0 - 2.0 * t) - d1 * u)
    return min(max(value, c0), c1)


@njit(**BORROWING)
def spread(x, edges, masses):  # pragma: no cover - compiled
    """Mass below x of cells that are each filled evenly."""
    total = 0.0
    for i in range(masses.size):
        if x >= edges[i + 1]:
            total += masses[i]
        elif x > edges[i]:
            return total + masses[i] * (x - edges[i]) / (edges[i + 1] - edges[i])
        else:
            return total
    return total


@njit(**BORROWING)
def cdf(x, knots, counts, scales, edges, masses):  # pragma: no cover - compiled
    """Mass below x of all lattices and of the cells; `masses` is empty where cells have none."""
    total = spread(x, edges, masses)
    for k in range(scales.size):
        total += scales[k] * below(x, knots[k], counts[k])
    return total


@njit(**BORROWING)
def quantile(share, around, knots, counts, scales, edges, masses, box):  # pragma: no cover
    """Place below which this share of the mass lies, by halving a bracket of it."""
    low = max(box[0], around[0] - 5.0 * around[1])
    high = min(box[1], around[0] + 5.0 * around[1])
    if cdf(low, knots, counts, scales, edges, masses) > share:
        low = box[0]
    if cdf(high, knots, counts, scales, edges, masses) < share:
        high = box[1]
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if cdf(middle, knots, counts, scales, edges, masses) < share:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
