"""The compiled loops of `varpro.py`, which derives them; one spectrum at a time, in float64.

Names follow that derivation. `rows` holds the whitened profiles of the lines, then the polynomials
of the continuum; ties contract them to the columns F in the small matrices, so that a fixed doublet
costs no pass over the channels. `M` holds d model / d theta, `lower` the factor of F F^T and
`turned` the rows of L^-1 S. Work arrays are allocated once for a batch.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._rows import dot, fill, slopes
from ._step import covariance, direction, element, flatness, freeze, last_step, limit, relax
from .cholesky import backward, factor, forward
from .profile import GAUSSIAN, SINC, turns

TOLERANCE: Final = 5e-4  # expected gain in chi2 of the last step, which is still taken
_MAX_ITERATIONS, _AT_BOUND, _SINGULAR, _NO_DATA = 1, 2, 4, 8
COVERED = 1e-3  # share of a line's weight that must survive the masks for it to be fitted


@njit(cache=True, nogil=True)
def _column(model, shares, r):  # pragma: no cover - compiled
    """Linear parameter that row r belongs to, and its share of it."""
    lines = model[3].size
    if r < lines:
        return model[3][r], shares[r]
    return r - lines + model[5].size, 1.0


@njit(cache=True, nogil=True)
def _project(model, rows, shares, y, yy, dropped, lower, amplitude):  # pragma: no cover - compiled
    """Solve the linear problem; chi2, or -1 if its matrix is singular."""
    m = amplitude.size
    lower[:] = 0.0
    amplitude[:] = 0.0
    for r in range(rows.shape[0]):
        j, share = _column(model, shares, r)
        if dropped[j]:
            continue
        amplitude[j] += share * dot(rows[r], y)
        for q in range(r + 1):
            k, other = _column(model, shares, q)
            if not dropped[k]:
                product = share * other * dot(rows[r], rows[q])
                lower[max(j, k), min(j, k)] += product if j != k or r == q else 2.0 * product
    for j in range(m):
        if dropped[j]:
            lower[j, j] = 1.0
    if not factor(lower, m):
        return -1.0
    forward(lower, m, amplitude)
    chi2 = yy - dot(amplitude, amplitude)
    backward(lower, m, amplitude)
    return chi2


@njit(cache=True, nogil=True)
def _derive(model, space, y, amplitude, lower, dropped, turned, H, g):  # pragma: no cover
    """Gradient g and Schur complement H at the accepted point; `turned` = L^-1 S."""
    rows, shares, M = space
    turned[:] = 0.0
    for p in range(M.shape[0]):
        for r in range(rows.shape[0]):
            j, share = _column(model, shares, r)
            if not dropped[j]:
                turned[p, j] += share * dot(rows[r], M[p])
        g[p] = dot(M[p], y) - dot(amplitude, turned[p])
        forward(lower, amplitude.size, turned[p])
        for r in range(p + 1):
            H[p, r] = dot(M[p], M[r]) - dot(turned[p], turned[r])
            H[r, p] = H[p, r]


@njit(cache=True, nogil=True)
def _cover(model, rows, shares, sw, dropped):  # pragma: no cover - compiled
    """Drop the linear parameters that the mask leaves without data."""
    heaviest = sw.max()
    dropped[:] = True
    for r in range(rows.shape[0]):
        if dot(rows[r], rows[r]) > COVERED * heaviest * heaviest:
            dropped[_column(model, shares, r)[0]] = False


@njit(cache=True, nogil=True, error_model="numpy")
def search(model, theta, spaxel, t, sw, y, limits, waves, space, linear, cov):  # pragma: no cover
    """Levenberg-Marquardt on one spectrum: chi2, evaluations, outcome; fills theta, linear, cov."""
    low, high = (limits[0], limits[2]), (limits[1], limits[3])
    rows, shares, _ = space
    n, m = theta.size, linear.size
    lower, trial_lower, turned = np.empty((m, m)), np.empty((m, m)), np.empty((n, m))
    H, g, work, d = np.zeros((n, n)), np.zeros(n), np.empty((n, n)), np.zeros(n)
    trial, amplitude, trial_amplitude = np.empty(n), np.empty(m), np.empty(m)
    dropped, frozen = np.zeros(m, np.bool_), np.zeros(n, np.bool_)
    yy, width = dot(y, y), element(model, spaxel, t)
    fill(model, theta, spaxel, t, sw, waves, rows, shares)
    _cover(model, rows, shares, sw, dropped)
    chi2 = _project(model, rows, shares, y, yy, dropped, trial_lower, amplitude)
    if chi2 < 0.0 or np.all(dropped[: model[5].size]):
        return np.nan, 1, _SINGULAR
    damping, evaluations, accepted, held, done = 1e-3, 1, True, False, False
    trial_chi2, before, whole, flat, stretch = chi2, np.inf, True, 1.0, 1.0
    while evaluations < limits[4]:
        if accepted:
            lower[:] = trial_lower
            slopes(model, theta, spaxel, t, sw, waves, space, amplitude)
            _derive(model, space, y, amplitude, lower, dropped, turned, H, g)
            held = freeze(theta, g, low, high, model[0] != SINC, frozen)
            frozen[:] = frozen | (np.diag(H) == 0.0)  # a group whose lines are all masked
            accepted = False
        gain = direction(H, g, frozen, damping, work, d)
        if gain >= 0.0:
            rate = min(gain / before, 0.9)  # what is left converges as a geometric series
            last = gain * flat < TOLERANCE * (1.0 - rate) and damping <= 1.0
            if not last:
                d *= stretch
            whole = limit(theta, d, width, model[0] != SINC, low, high, trial)
            if last and whole:
                last_step(theta, trial, d, lower, turned, amplitude, trial_amplitude)
                chi2 -= gain
                done = True
                break
            fill(model, trial, spaxel, t, sw, waves, rows, shares)
            trial_chi2 = _project(model, rows, shares, y, yy, dropped, trial_lower, trial_amplitude)
            accepted = 0.0 <= trial_chi2 <= chi2 + 1e-9
        evaluations += 1
        if accepted:
            gained = chi2 - trial_chi2 if whole else np.inf
            if whole and stretch == 1.0 and damping < 1e-3:
                flat = stretch = flatness(gain, gained)
            else:
                stretch = 1.0
            damping = relax(damping, H, d, gain, gained)
            theta[:], amplitude[:], chi2, before = trial, trial_amplitude, trial_chi2, gain
        else:
            damping, stretch = max(damping * 10.0, 1e-2), 1.0
            if damping > 1e8:
                break
    outcome = (_AT_BOUND if held else 0) | (0 if done else _MAX_ITERATIONS)
    if not covariance(H, lower, turned, dropped, frozen, work, cov):
        outcome |= _SINGULAR
    for j in range(m):
        linear[j] = np.nan if dropped[j] else amplitude[j]
    return chi2, evaluations, outcome


@njit(cache=True, nogil=True)
def _determined(cov):  # pragma: no cover - compiled
    """Count the parameters that the data determine."""
    count = 0
    for p in range(cov.shape[0]):
        count += np.isfinite(cov[p, p])
    return count


@njit(cache=True, nogil=True)
def _whiten(data, weight, sw, y):  # pragma: no cover - compiled
    """Fill weights and whitened data, zero where a channel is bad; channels in use."""
    used = 0
    for i in range(data.size):
        good = weight[i] > 0.0 and np.isfinite(data[i]) and np.isfinite(weight[i])
        sw[i] = weight[i] if good else 0.0
        y[i] = data[i] * weight[i] if good else 0.0
        used += good
    return used


@njit(cache=True, nogil=True)
def _flat_chi2(rows, y):  # pragma: no cover - compiled
    """Chi2 of the continuum alone; terms without data are left out."""
    n = rows.shape[0]
    gram, right = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        right[i] = dot(rows[i], y)
        for j in range(i + 1):
            gram[i, j] = dot(rows[i], rows[j])
        if gram[i, i] == 0.0:
            gram[i, i] = 1.0
    if not factor(gram, n):
        return np.nan
    forward(gram, n, right)
    return dot(y, y) - dot(right, right)


@njit(cache=True, nogil=True, error_model="numpy")
def model_lines(theta, linear, model, t, scale, width, out):  # pragma: no cover - compiled
    """Fill `out`, shape (spaxel, channel), with the lines of each spectrum."""
    weight, shares = np.ones(t.size), np.empty(model[2].size)
    rows, waves = np.empty((model[2].size, t.size)), (np.empty(t.size), np.empty(t.size))
    for s in range(out.shape[0]):
        if model[0] != GAUSSIAN:
            turns(math.pi * (t[1] - t[0]) * scale[s] / width[s, 0], waves[0], waves[1])
        known = np.where(np.isfinite(theta[s]), theta[s], 1.0)
        fill(model, known, (scale[s], width[s]), t, weight, waves, rows, shares)
        out[s] = np.nan if np.isnan(theta[s]).all() else 0.0
        for k in range(rows.shape[0]):
            peak = linear[s, model[3][k]] * shares[k]
            if np.isfinite(peak + theta[s, 2 * model[5][model[3][k]]]):
                for i in range(t.size):
                    out[s, i] += peak * rows[k, i]


@njit(cache=True, nogil=True, error_model="numpy")
def fit_all(spectra, model, t, basis, limits, out):  # pragma: no cover - compiled
    """Fit each spectrum of a batch; `out` receives theta, linear, covariance and scalars.

    Scalars are chi2, degrees of freedom, evaluations, outcome and chi2 of the continuum alone.
    """
    data, weight, start, scale, width = spectra
    out_theta, out_linear, out_covariance, scalars = out
    channels, lines = t.size, model[2].size
    rows = np.empty((lines + basis.shape[0], channels))
    space = rows, np.empty(lines), np.empty((start.shape[1], channels))
    sw, y = np.empty(channels), np.empty(channels)
    waves = cosine, sine = np.empty(channels), np.empty(channels)
    theta, last = np.empty(start.shape[1]), 0.0
    for s in range(data.shape[0]):
        used = _whiten(data[s], weight[s], sw, y)
        scalars[s, 1] = max(0, used - out_covariance.shape[1])
        scalars[s, 2], scalars[s, 3] = 0.0, _NO_DATA
        if scalars[s, 1] == 0.0 or not np.isfinite(scale[s] + width[s].sum() + start[s].sum()):
            continue
        for d in range(basis.shape[0]):
            for i in range(channels):
                rows[lines + d, i] = basis[d, i] * sw[i]
        if model[0] != GAUSSIAN:
            step = math.pi * (t[1] - t[0]) * scale[s] / width[s, 0]
            if step != last:
                turns(step, cosine, sine)
                last = step
        theta[:] = start[s]
        chi2, evaluations, outcome = search(
            model,
            theta,
            (scale[s], width[s]),
            t,
            sw,
            y,
            limits,
            waves,
            space,
            out_linear[s],
            out_covariance[s],
        )
        scalars[s, 0], scalars[s, 2], scalars[s, 3] = chi2, evaluations, outcome
        scalars[s, 4] = _flat_chi2(rows[lines:], y)
        if not outcome & _SINGULAR:
            for p in range(theta.size):
                if np.isfinite(out_covariance[s, p, p]) or (model[0] == SINC and p % 2 == 1):
                    out_theta[s, p] = theta[p]
            scalars[s, 1] = used - _determined(out_covariance[s])
