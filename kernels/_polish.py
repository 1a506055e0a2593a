"""The compiled loops of `polish.py`, which derives them; one spectrum at a time, in float64.

Channels of a spectrum weigh the same here, so rows have unit weight and a spectrum is divided by
its noise. The rows of one spectrum stand in one array, (lines, continuum, spectrum, slopes), the
slopes from an even row on, and their products come from one pass. Names follow `varpro.py`. None of
these functions allocates: `_nrt=False` keeps references to arrays from being counted, which would
cost more than they do.
"""

# numba's types do not know `_nrt` and `forceinline`.
# pyright: reportCallIssue=false, reportArgumentType=false

import math
from typing import Final

import numpy as np
from numba import njit

from ._rows import fill, slopes
from ._step import covariance, direction, element, freeze, last_step, limit
from ._varpro import COVERED
from .axis import GAUSSIAN_FWHM
from .cholesky import backward, factor, forward
from .profile import BORROWING, FAST_MATH, GAUSSIAN, SINC, turns

NEGLIGIBLE: Final = 2e-5  # in chi2: what a step taken to first order may be wrong by
_ATTEMPTS: Final = 3
_DOUBT = 0.1  # of the curvature by the residual, which comes from elsewhere
_AT_BOUND, _NO_DATA, _PENDING = 2, 8, -1


@njit(**BORROWING, fastmath=FAST_MATH)
def _products(stack, first, last, gram):  # pragma: no cover - compiled
    """Products of rows first to last with all rows before; two by four, to load each row less."""
    for p in range(first, last, 2):
        for q in range(0, p + 2, 4):
            a0, a1, a2, a3 = 0.0, 0.0, 0.0, 0.0
            b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0
            for i in range(stack.shape[1]):
                x, y = stack[p, i], stack[p + 1, i]
                z0, z1, z2, z3 = stack[q, i], stack[q + 1, i], stack[q + 2, i], stack[q + 3, i]
                a0 += x * z0
                a1 += x * z1
                a2 += x * z2
                a3 += x * z3
                b0 += y * z0
                b1 += y * z1
                b2 += y * z2
                b3 += y * z3
            gram[p, q], gram[p, q + 1], gram[p, q + 2], gram[p, q + 3] = a0, a1, a2, a3
            gram[p + 1, q], gram[p + 1, q + 1] = b0, b1
            gram[p + 1, q + 2], gram[p + 1, q + 3] = b2, b3


@njit(**BORROWING)
def _member(model, shares, r):  # pragma: no cover - compiled
    """Linear parameter that row r belongs to, and its share of it."""
    lines = model[3].size
    if r < lines:
        return model[3][r], shares[r]
    return r - lines + model[5].size, 1.0


@njit(**BORROWING)
def _solve(model, shares, gram, lower, amplitude):  # pragma: no cover - compiled
    """Solve the linear problem from the products; chi2, or -1 if it has no solution."""
    m, lines = amplitude.size, model[3].size
    rows = m - model[5].size + lines
    for a in range(m):
        amplitude[a] = 0.0
        for b in range(a + 1):
            lower[a, b] = 0.0
    for r in range(rows):
        if r < lines and not gram[r, r] > COVERED:
            return -1.0
        a, share = _member(model, shares, r)
        amplitude[a] += share * gram[rows, r]
        for q in range(r + 1):
            b, other = _member(model, shares, q)
            value = share * other * gram[r, q]
            lower[max(a, b), min(a, b)] += value if a != b or r == q else 2.0 * value
    if not factor(lower, m):
        return -1.0
    forward(lower, m, amplitude)
    chi2 = gram[rows, rows]
    for a in range(m):
        chi2 -= amplitude[a] * amplitude[a]
    backward(lower, m, amplitude)
    return chi2


@njit(**BORROWING)
def _bend(model, shares, gram, amplitude, lower, turned, H, g):  # pragma: no cover - compiled
    """Gradient g and Schur complement H from the products; `turned` = L^-1 S."""
    m = amplitude.size
    rows = m - model[5].size + model[3].size
    for p in range(g.size):
        slope = ((rows + 2) & ~1) + p
        for a in range(m):
            turned[p, a] = 0.0
        for r in range(rows):
            a, share = _member(model, shares, r)
            turned[p, a] += share * gram[slope, r]
        g[p] = gram[slope, rows]
        for a in range(m):
            g[p] -= amplitude[a] * turned[p, a]
        forward(lower, m, turned[p])
        for q in range(p + 1):
            H[p, q] = gram[slope, slope - p + q]
            for a in range(m):
                H[p, q] -= turned[p, a] * turned[q, a]
            H[q, p] = H[p, q]


@njit(**BORROWING)
def _flat(gram, lines, terms, lower, right):  # pragma: no cover - compiled
    """Chi2 of the continuum alone."""
    rows = lines + terms
    for a in range(terms):
        right[a] = gram[rows, lines + a]
        for b in range(a + 1):
            lower[a, b] = gram[lines + a, lines + b]
    if not factor(lower, terms):
        return np.nan
    forward(lower, terms, right)
    chi2 = gram[rows, rows]
    for a in range(terms):
        chi2 -= right[a] * right[a]
    return chi2


@njit(**BORROWING)
def _neglected(theta, d, H, bent, gain, width, has_width):  # pragma: no cover - compiled
    """Part of a step's gain that first order may miss."""
    worst = 0.0
    for p in range(d.size):
        if d[p] != 0.0:
            broadening = theta[p - p % 2 + 1] if has_width else 0.0
            whole = math.hypot(width, GAUSSIAN_FWHM * broadening) if p % 2 == 0 else broadening
            worst = max(worst, abs(d[p]) / whole + _DOUBT * abs(bent[p, p]) / H[p, p])
    return gain * worst


@njit(**BORROWING)
def _follow(ratio, H, turned):  # pragma: no cover - compiled
    """Let slopes by broadening follow the last step: that of a narrow line grows as its b."""
    for p in range(ratio.size):
        for q in range(ratio.size):
            H[p, q] *= ratio[p] * ratio[q]
        for a in range(turned.shape[1]):
            turned[p, a] *= ratio[p]


@njit(**BORROWING)
def _approach(model, theta, bent, spaxel, t, sw, limits, waves, stack, space, cov):
    """Polish one spectrum: chi2, evaluations, outcome; `_PENDING` where that does not do."""
    low, high = (limits[0], limits[2]), (limits[1], limits[3])
    rows, shares, M, gram = space[0]
    lower, turned, H, N, work, g, d, trial, amplitude, shift = space[1]
    kept, frozen = space[2]
    to_slopes, has_width = (rows.shape[0] + 2) & ~1, model[0] != SINC
    width, last = element(model, spaxel, t), np.inf
    for attempt in range(1, _ATTEMPTS + 1):
        fill(model, theta, spaxel, t, sw, waves, rows, shares)
        _products(stack, 0, rows.shape[0] + 1, gram)
        chi2 = _solve(model, shares, gram, lower, amplitude)
        if chi2 < 0.0 or chi2 > last + 1e-9:
            break
        slopes(model, theta, spaxel, t, sw, waves, (rows, shares, M), amplitude)
        _products(stack, to_slopes, to_slopes + theta.size, gram)
        _bend(model, shares, gram, amplitude, lower, turned, H, g)
        held = freeze(theta, g, low, high, has_width, frozen)
        for p in range(theta.size):
            for q in range(theta.size):
                N[p, q] = H[p, q] + bent[p, q]
        gain = direction(N, g, frozen, 0.0, work, d)
        if gain < 0.0 or not limit(theta, d, width, has_width, low, high, trial):
            break
        if _neglected(theta, d, H, bent, gain, width, has_width) < NEGLIGIBLE:
            for p in range(theta.size):
                work[0, p] = trial[p] / theta[p] if p % 2 and has_width else 1.0
            last_step(theta, trial, d, lower, turned, amplitude, shift)
            _follow(work[0], H, turned)
            if not covariance(H, lower, turned, kept, frozen, work, cov):
                break
            return chi2 - gain, attempt, _AT_BOUND if held else 0
        for p in range(theta.size):
            theta[p] = trial[p]
        last = chi2
    return np.nan, 0, _PENDING


@njit(**BORROWING, fastmath=FAST_MATH)
def _divide(data, s, noise, y):  # pragma: no cover - compiled
    """Fill y with a spectrum over its noise; its sum, not finite where a channel is not."""
    inverse, total = 1.0 / noise, 0.0
    for i in range(data.shape[1]):
        value = data[s, i] * inverse
        y[i] = value
        total += value
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _axis(t, padded):  # pragma: no cover - compiled
    """Axis on whole vectors of channels and the weight of each, zero beyond the last."""
    axis, weight = np.empty(padded), np.zeros(padded)
    for i in range(padded):
        axis[i] = t[min(i, t.size - 1)] + max(0, i - t.size + 1) * (t[1] - t[0])
    weight[: t.size] = 1.0
    return axis, weight


@njit(cache=True, nogil=True, error_model="numpy")
def polish_all(spectra, model, t, basis, limits, out):  # pragma: no cover - compiled
    """Polish each spectrum of a batch; `out` receives theta, linear, covariance and scalars.

    Scalars are as those of `fit_all`; an outcome of -1 says that the spectrum wants a search.
    """
    data, noise, start, bent, scale, width = spectra
    out_theta, out_linear, out_covariance, scalars = out
    channels, lines, terms, n = t.size, model[2].size, basis.shape[0], start.shape[1]
    axis, weight = _axis(t, (channels + 7) & ~7)
    above, to_slopes, m = lines + terms, (lines + terms + 2) & ~1, out_linear.shape[1]
    stack = np.zeros(((to_slopes + n + 7) & ~3, axis.size))
    stack[lines:above, :channels] = basis
    gram, y = np.zeros((stack.shape[0], stack.shape[0])), stack[above]
    space = (
        (stack[:above], np.ones(lines), stack[to_slopes : to_slopes + n], gram),
        (
            np.zeros((m, m)),
            np.zeros((n, m)),
            np.zeros((n, n)),
            np.zeros((n, n)),
            np.zeros((n, n)),
            np.zeros(n),
            np.zeros(n),
            np.zeros(n),
            np.zeros(m),
            np.zeros(m),
        ),
        (np.zeros(m, np.bool_), np.zeros(n, np.bool_)),
    )
    waves, amplitude = (np.zeros(axis.size), np.zeros(axis.size)), space[1][8]
    theta, last = np.empty(n), 0.0
    for s in range(data.shape[0]):
        scalars[s, 1], scalars[s, 2], scalars[s, 3] = max(0, channels - n - m), 0.0, _NO_DATA
        total = _divide(data, s, noise[s], y)
        theta[:] = start[s]
        if scalars[s, 1] == 0.0 or not np.isfinite(total + scale[s] + width[s].sum() + theta.sum()):
            continue
        if model[0] != GAUSSIAN:
            step = math.pi * (t[1] - t[0]) * scale[s] / width[s, 0]
            if step != last:
                turns(step, waves[0], waves[1])
                last = step
        spaxel = scale[s], width[s]
        chi2, evaluations, outcome = _approach(
            model,
            theta,
            bent[s],
            spaxel,
            axis,
            weight,
            limits,
            waves,
            stack,
            space,
            out_covariance[s],
        )
        scalars[s, 0], scalars[s, 2], scalars[s, 3] = chi2, evaluations, outcome
        if outcome == _PENDING:
            continue
        for p in range(n):
            out_theta[s, p] = theta[p]
            if not np.isfinite(out_covariance[s, p, p]):
                scalars[s, 1] += 1.0
        for a in range(m):
            out_linear[s, a] = amplitude[a] * noise[s]
            for q in range(n + m):
                out_covariance[s, n + a, q] *= noise[s]
                out_covariance[s, q, n + a] *= noise[s]
        scalars[s, 4] = _flat(gram, lines, terms, space[1][0], amplitude)
