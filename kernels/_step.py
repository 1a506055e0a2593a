"""Compiled steps of a search in velocities and broadenings, and the covariance where it ends.

Names follow `varpro.py`, which derives them: H and g are Schur complement and gradient, `lower` the
factor of F F^T, `turned` the rows of L^-1 S. Parameters alternate: velocity, broadening.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._rows import dot
from .axis import GAUSSIAN_FWHM, SINC_FWHM, SPEED_OF_LIGHT
from .cholesky import backward, factor, forward, invert
from .profile import BORROWING, GAUSSIAN

STEP: Final = 0.75  # of a line's full width: the longest step in velocity or broadening
FLAT, FLATTEST = 0.7, 0.2  # curvature over that of H below which a step is stretched; least used


@njit(**BORROWING)
def direction(H, g, frozen, damping, work, d):  # pragma: no cover - compiled
    """Damped step d of the parameters that are not frozen; expected gain in chi2, or -1."""
    n = g.size
    for p in range(n):
        for r in range(p):
            work[p, r] = 0.0 if frozen[p] or frozen[r] else H[p, r]
        work[p, p] = 1.0 if frozen[p] else H[p, p] * (1.0 + damping)
        d[p] = 0.0 if frozen[p] else g[p]
    if not factor(work, n):
        return -1.0
    forward(work, n, d)
    backward(work, n, d)
    return dot(d, g)


@njit(**BORROWING)
def freeze(theta, g, low, high, has_width, frozen):  # pragma: no cover - compiled
    """Hold the parameters that stand at a bound and would leave; True if any."""
    held = False
    for p in range(theta.size):
        bound = p % 2
        out = (theta[p] <= low[bound] and g[p] < 0.0) or (theta[p] >= high[bound] and g[p] > 0.0)
        frozen[p] = out or (bound == 1 and not has_width)
        held = held or (out and (bound == 0 or has_width))
    return held


@njit(**BORROWING)
def covariance(H, lower, turned, dropped, frozen, work, cov):  # pragma: no cover - compiled
    """Fill the full covariance; False if it is not positive. NaN for what is not determined.

    `turned` and `frozen` are used up.
    """
    n, m = H.shape[0], lower.shape[0]
    for p in range(n):
        frozen[p] = frozen[p] and H[p, p] == 0.0  # a parameter at its bound still has a curvature
    for p in range(n):
        for r in range(p):
            work[p, r] = 0.0 if frozen[p] or frozen[r] else H[p, r]
        work[p, p] = 1.0 if frozen[p] else H[p, p]
        backward(lower, m, turned[p])  # its rows become (F F^T)^-1 S
    if not factor(work, n):
        return False
    invert(work, n, cov[:n, :n])
    invert(lower, m, cov[n:, n:])
    for p in range(n):
        for j in range(m):
            total = 0.0
            for r in range(n):
                total -= cov[p, r] * turned[r, j]
            cov[p, n + j] = cov[n + j, p] = total
    for j in range(m):
        for k in range(m):
            for p in range(n):
                cov[n + j, n + k] -= cov[n + j, p] * turned[p, k]
    for q in range(n + m):
        if (q < n and frozen[q]) or (q >= n and dropped[q - n]):
            for r in range(n + m):
                cov[q, r] = cov[r, q] = np.nan
    return True


@njit(**BORROWING)
def element(model, spaxel, t):  # pragma: no cover - compiled
    """FWHM of the first line's instrument, or two channels where that is more [km/s]."""
    fwhm = (GAUSSIAN_FWHM if model[0] == GAUSSIAN else SINC_FWHM) * spaxel[1][0] / spaxel[0]
    return max(fwhm, 2.0 * (t[1] - t[0])) / (model[2][0] / spaxel[0]) * SPEED_OF_LIGHT


@njit(**BORROWING)
def limit(theta, d, width, has_width, low, high, trial):  # pragma: no cover - compiled
    """Point after step d, no longer than `STEP` widths and inside the box; True if d was kept."""
    whole = True
    for p in range(theta.size):
        bound = p % 2
        broadening = theta[p - bound + 1] if has_width else 0.0
        broad = GAUSSIAN_FWHM * broadening
        longest = STEP * math.sqrt(width * width + broad * broad)
        value = theta[p] + max(-longest, min(longest, d[p]))
        trial[p] = max(low[bound], min(high[bound], value))
        whole = whole and trial[p] == theta[p] + d[p]
    return whole


@njit(**BORROWING)
def bending(trial, d, width, has_width):  # pragma: no cover - compiled
    """Square of a step to `trial` over the lengths that bend chi2: a line's width, broadening."""
    worst = 0.0
    for p in range(d.size):
        broadening = trial[p - p % 2 + 1] if has_width else 0.0
        if p % 2 == 0:
            broad = GAUSSIAN_FWHM * broadening
            worst = max(worst, d[p] * d[p] / (width * width + broad * broad))
        elif d[p] != 0.0:
            worst = max(worst, d[p] * d[p] / (broadening * broadening))
    return worst


@njit(**BORROWING)
def relax(damping, H, d, gain, gained):  # pragma: no cover - compiled
    """Damping after a step d that gained something in chi2; `gain` is d g.

    A step that keeps less than half of its promise overshot: the curvature along it is 2 - kept
    times that of H, and without damping the search would zigzag across the valley.
    """
    promised = gain
    for p in range(d.size):
        promised += damping * H[p, p] * d[p] * d[p]
    kept = gained / promised
    if kept < 0.5:
        return max(damping, 1.0 - kept)
    return max(damping * 0.1, 1e-9)


@njit(**BORROWING)
def flatness(gain, gained):  # pragma: no cover - compiled
    """How many times flatter than H the valley is along a plain step; 1 where it is not.

    Where the curvature is c times that of H, a step gains 2 - c of its promise and the minimum lies
    1 / c steps away: the next step is stretched by it.
    """
    curvature = 2.0 - gained / gain
    if curvature > FLAT:
        return 1.0
    return 1.0 / max(curvature, FLATTEST)


@njit(**BORROWING)
def last_step(theta, trial, d, lower, turned, amplitude, shift):  # pragma: no cover - compiled
    """Take a step too small to evaluate: the amplitudes follow to first order, -(F F^T)^-1 S d."""
    for j in range(shift.size):
        shift[j] = 0.0
    for p in range(theta.size):
        theta[p] = trial[p]
        for j in range(shift.size):
            shift[j] += d[p] * turned[p, j]
    backward(lower, shift.size, shift)
    for j in range(shift.size):
        amplitude[j] -= shift[j]
