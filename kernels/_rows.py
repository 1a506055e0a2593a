"""Compiled rows of a model: whitened line profiles, their shares in a doublet, their derivatives.

A model is packed as (shape, wavenumber, rest, column, ratio, group, lead), a spaxel as (scale,
width); `emission.py` says what each is. Coordinates are those of the axis that is fitted, which
`scale` stretches to the spaxel's own.
"""

import math

from numba import njit

from .axis import SPEED_OF_LIGHT
from .profile import (
    BORROWING,
    FAST_MATH,
    GAUSSIAN,
    INV_SQRT_PI,
    SINC,
    gaussian_row,
    gaussian_slope,
    sinc_row,
    sinc_slope,
    sincgauss_row,
    sincgauss_slope,
)


@njit(**BORROWING, fastmath=FAST_MATH)
def dot(a, b):  # pragma: no cover - compiled
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(**BORROWING)
def place(model, k, theta, spaxel):  # pragma: no cover - compiled
    """Centre of line k, its derivative by velocity, its own sigma and the instrument's width."""
    scale, width = spaxel
    group = model[5][model[3][k]]
    v, b = theta[2 * group], theta[2 * group + 1]
    stretch = 1.0 + v / SPEED_OF_LIGHT
    if model[1]:  # a wavenumber
        centre = model[2][k] / stretch / scale
        moved = -centre / (SPEED_OF_LIGHT + v)
    else:
        centre = model[2][k] * stretch / scale
        moved = centre / (SPEED_OF_LIGHT + v)
    return centre, moved, b / SPEED_OF_LIGHT * centre, width[k] / scale


@njit(**BORROWING)
def line_area(model, k, theta, spaxel):  # pragma: no cover - compiled
    """Wavelength-integrated flux of line k at peak one, up to a factor that all lines share."""
    centre, _, sigma, own = place(model, k, theta, spaxel)
    if model[0] == GAUSSIAN:
        area = math.hypot(sigma, own)
    elif model[0] == SINC:
        area = own
    else:
        area = sigma / math.erf(math.pi * sigma / (math.sqrt(2.0) * own))
    return area / (centre * centre) if model[1] else area


@njit(**BORROWING)
def _swelling(model, k, theta, spaxel):  # pragma: no cover - compiled
    """Slope d ln flux / d ln sigma of line k at peak one: 0 if narrow, 1 if broad."""
    _, _, sigma, own = place(model, k, theta, spaxel)
    if model[0] == GAUSSIAN:
        return sigma * sigma / (sigma * sigma + own * own)
    a = math.pi * sigma / (math.sqrt(2.0) * own)
    return 1.0 - 2.0 * a * INV_SQRT_PI * math.exp(-a * a) / math.erf(a)


@njit(**BORROWING)
def share(model, theta, spaxel, shares):  # pragma: no cover - compiled
    """Amplitude of each line over that of its column, so that fluxes have the ratios asked for."""
    ratio, lead = model[4], model[6]
    for k in range(lead.size):
        shares[k] = 1.0
        if lead[k] != k:
            of_lead = line_area(model, lead[k], theta, spaxel)
            shares[k] = ratio[k] * of_lead / line_area(model, k, theta, spaxel)


@njit(**BORROWING)
def fill(model, theta, spaxel, t, sw, waves, rows, shares):  # pragma: no cover - compiled
    """Whitened profiles of all lines at theta, and their shares in the columns."""
    shape, step = model[0], t[1] - t[0]
    share(model, theta, spaxel, shares)
    for k in range(model[2].size):
        centre, _, sigma, own = place(model, k, theta, spaxel)
        if shape == GAUSSIAN:
            gaussian_row(t, centre, math.hypot(sigma, own), sw, rows[k])
            continue
        to_u = math.pi / own
        if shape == SINC:
            sinc_row((t[0] - centre) * to_u, step * to_u, waves, sw, rows[k])
        else:
            a = sigma * to_u / math.sqrt(2.0)
            sincgauss_row((t[0] - centre) * to_u, step * to_u, a, waves, sw, rows[k])


@njit(**BORROWING)
def slopes(model, theta, spaxel, t, sw, waves, space, amplitude):  # pragma: no cover - compiled
    """Whitened derivatives M of the model at theta, whose profiles are in `rows`."""
    rows, shares, M = space
    shape, step, column, lead = model[0], t[1] - t[0], model[3], model[6]
    for p in range(M.shape[0]):
        for i in range(t.size):
            M[p, i] = 0.0
    for k in range(column.size):
        peak = shares[k] * amplitude[column[k]]
        m_v, m_b = M[2 * model[5][column[k]]], M[2 * model[5][column[k]] + 1]
        centre, moved, sigma, own = place(model, k, theta, spaxel)
        if lead[k] != k and shape != SINC:  # the share itself follows the broadening
            pull = _swelling(model, lead[k], theta, spaxel) - _swelling(model, k, theta, spaxel)
            pull *= peak
            for i in range(t.size):
                m_v[i] += pull * moved / centre * rows[k, i]
                m_b[i] += pull * centre / (sigma * SPEED_OF_LIGHT) * rows[k, i]
        if shape == GAUSSIAN:
            total = math.hypot(sigma, own)
            by_v, by_b = sigma * sigma * moved / (centre * total), sigma * centre / SPEED_OF_LIGHT
            chain = (peak * moved, peak * by_v, peak * by_b / total)
            gaussian_slope(t, centre, total, chain, rows[k], m_v, m_b)
            continue
        to_u = math.pi / own
        u0, du, u_v = (t[0] - centre) * to_u, step * to_u, -peak * to_u * moved
        if shape == SINC:
            sinc_slope(u0, du, waves, u_v, sw, rows[k], m_v)
        else:
            a = sigma * to_u / math.sqrt(2.0)
            twice = 2.0 * a * a * peak
            chain = (u_v, twice * moved / centre, twice / (sigma / centre * SPEED_OF_LIGHT))
            sincgauss_slope(u0, du, a, waves, chain, sw, rows[k], m_v, m_b)
