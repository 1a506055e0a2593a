"""The compiled search of `reduced.py`, which derives it: one spectrum at a time, on its products.

Names follow `reduced.py` and `varpro.py`. What is summed with tables is float32, small matrices are
float64. Work arrays, allocated once for a batch, are rows of pieces (`_reduction.py`), a piece for

- h[k, 0], coefficients of line k; h[k, 1], h[k, 2], their slopes by a node of delta and of tau;
- z[0, k], products of the spectrum with the functions; z[1, k], what the model leaves of them;
- w[j, k] = B_jk h_k; slope[p, k], coefficients of d model / d theta_p; image[p] = B slope[p].
"""

# numba's types do not know `_nrt` and `forceinline`.
# pyright: reportCallIssue=false, reportArgumentType=false

import math
from typing import Final

import numpy as np
from numba import njit

from ._reduction import bend, look_up, look_up_value, overlap
from ._rows import share
from ._step import bending, direction, freeze, limit, relax
from ._vector import add, compress, inner, mix, product
from .axis import SPEED_OF_LIGHT
from .basis import DELTA_NODES, PHASES, RANK, REACH, TAU_NODES, TURN
from .cholesky import backward, factor, forward
from .profile import GAUSSIAN, SINC

FOUND: Final = 0
OUTSIDE: Final = 1  # of the tables
UNSETTLED: Final = 2  # the linear problem is singular, or the minimum is hardly one
_LEFT = 3e-4  # in chi2: what the last step, which is not evaluated any more, may leave
_CLOSE = 1.0  # expected gain below which the residual's curvature says more than it misleads
_FLATTEST = 4.0  # times flatter than its Hessian by Gauss and Newton: no minimum to be polished
_ROUNDING = 3e-7  # of y y: what float32 makes of chi2
_RIDGE = 1e-6  # of a column's weight: what rounding leaves of two lines at one place
_COVERED = 1e-3  # share of a line's weight that must be inside the window


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _locate(model, theta, spaxel, frame, at):  # pragma: no cover - compiled
    """Fill at[k]: position, tau, slopes of position by v, of tau by v and b, second one by b."""
    first, per_step, per_unit = frame[0], 1.0 / frame[1], 1.0 / frame[5]
    scale, width = spaxel[0]
    group, shift, moved, narrow = -1, 0.0, 0.0, 0.0
    for k in range(at.shape[0]):
        if model[5][model[3][k]] != group:  # a division takes as long as a line's other arithmetic
            group = model[5][model[3][k]]
            stretch = 1.0 + theta[2 * group] / SPEED_OF_LIGHT
            shift = (1.0 / stretch if model[1] else stretch) / scale
            moved = (-1.0 if model[1] else 1.0) / (SPEED_OF_LIGHT + theta[2 * group])
            narrow = theta[2 * group + 1] / SPEED_OF_LIGHT
        centre = model[2][k] * shift
        by_b = centre * per_step / SPEED_OF_LIGHT
        s = narrow * centre * per_step
        total = math.hypot(s, width[k] / scale * per_step) if model[0] == GAUSSIAN else s
        part = 1.0 / (1.0 + total * per_unit / TURN)
        by_s = part * part * per_unit
        if model[0] == GAUSSIAN:
            by_s *= s / total
        at[k, 0] = (centre - first) * per_step
        at[k, 1] = total * per_unit * part
        at[k, 2] = moved * centre * per_step
        at[k, 3] = by_s * s * moved
        at[k, 4] = by_s * by_b
        at[k, 5] = -2.0 * part * per_unit / TURN * by_s * by_b * by_b
        if model[0] == GAUSSIAN:
            at[k, 5] *= s / total
            bent = (1.0 - s * s / (total * total)) / total
            at[k, 5] += part * part * per_unit * bent * by_b * by_b


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def bin_of(model, velocity, scale, frame, ready):  # pragma: no cover - compiled
    """Bin of a velocity on a spaxel's own axis, -1 for none."""
    stretch = 1.0 + velocity / SPEED_OF_LIGHT
    stretch = stretch * scale if model[1] else stretch / scale
    found = math.floor((SPEED_OF_LIGHT * (stretch - 1.0) - frame[2]) / frame[3] + 0.5)
    return found if 0 <= found < ready.size and ready[found] else -1


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def start_of(place, half):  # pragma: no cover - compiled
    """Where in the functions those of a line at a place start, at the first channel."""
    whole = place // PHASES
    return RANK * ((place - PHASES * whole) * (2 * half + 1) + half - whole)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _settle(model, theta, spaxel, frame, tables, at, bins, flat, z):  # pragma: no cover - compiled
    """Give every group that has left its bin the next one and compress the spectrum there."""
    vectors, places, ready, line_group, half = tables[0], *tables[2:4], *tables[7:9]
    for k in range(at.shape[0]):
        if not frame[8] - 1e-9 <= at[k, 1] <= frame[10] + 1e-9:
            return OUTSIDE
    for g in range(bins.size):
        inside = bins[g] >= 0
        for k in range(at.shape[0]):
            if inside and line_group[k] == g:
                inside = abs(at[k, 0] - places[bins[g], k] / PHASES) <= REACH
        if inside:
            continue
        found = bin_of(model, theta[2 * g], spaxel[0][0], frame, ready)
        if found < 0:
            return OUTSIDE
        bins[g] = found
        for k in range(at.shape[0]):
            if line_group[k] == g:
                start = start_of(places[found, k], half)
                compress(flat, 0, flat.size, vectors, start, z, RANK * k)
    for g in range(bins.size):
        for other in range(g):
            if abs(bins[g] - bins[other]) > frame[4]:
                return OUTSIDE
    return FOUND


@njit(cache=True, nogil=True, forceinline=True)
def _block(tables, frame, bins, j, k):  # pragma: no cover - compiled
    """Where in the overlaps B_jk starts."""
    slot, line_group, slots = tables[5], tables[7], tables[9]
    at, other = bins[line_group[j]], bins[line_group[k]]
    apart = other - at + frame[4] if line_group[j] != line_group[k] else 0
    return RANK * RANK * (at * slots + slot[j, k] + apart)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def evaluate(model, theta, spaxel, frame, tables, work, flat, slopes):  # pragma: no cover
    """Fill coefficients, their slopes if asked, and overlaps at theta, and the shares; a code."""
    h, z, w, _, _, at, bins, shares, _, _ = work
    places, line_group = tables[2], tables[7]
    _locate(model, theta, spaxel, frame, at)
    code = _settle(model, theta, spaxel, frame, tables, at, bins, flat, z)
    if code != FOUND:
        return code
    share(model, theta, spaxel[0], shares)
    lines = at.shape[0]
    for k in range(lines):
        delta = at[k, 0] - places[bins[line_group[k]], k] / PHASES
        at_delta, at_tau = (delta - frame[6]) / frame[7], (at[k, 1] - frame[8]) / frame[9]
        i = min(max(int(at_delta), 0), DELTA_NODES - 4)
        j = min(max(int(at_tau), 0), TAU_NODES - 4)
        node = RANK * ((spaxel[1] * DELTA_NODES + i) * TAU_NODES + j)
        if slopes:
            look_up(tables[1], node, at_delta - i, at_tau - j, h, 3 * RANK * k)
        else:
            look_up_value(tables[1], node, at_delta - i, at_tau - j, h, 3 * RANK * k)
        at[k, 6], at[k, 7], at[k, 8] = node, at_delta - i, at_tau - j
    for j in range(lines):
        for k in range(j + 1):
            block = _block(tables, frame, bins, j, k)
            overlap(tables[4], block, h, 3 * RANK * k, w, RANK * (j * lines + k))
    return FOUND


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _project(model, work, yy, dropped, lower, amplitude):  # pragma: no cover - compiled
    """Solve the linear problem; chi2, or -1 if its matrix is singular."""
    h, z, w, shares = work[0], work[1], work[2], work[7]
    column, lines, m = model[3], model[3].size, amplitude.size
    for a in range(m):
        amplitude[a] = 0.0
        for b in range(a + 1):
            lower[a, b] = 0.0
    for j in range(lines):
        a = column[j]
        if dropped[a]:
            continue
        amplitude[a] += shares[j] * product(h, 3 * RANK * j, z, RANK * j)
        for k in range(j + 1):
            b = column[k]
            if not dropped[b]:
                value = shares[j] * shares[k] * product(h, 3 * RANK * j, w, RANK * (j * lines + k))
                lower[max(a, b), min(a, b)] += value if a != b or j == k else 2.0 * value
    for a in range(m):
        lower[a, a] = 1.0 if dropped[a] else lower[a, a] * (1.0 + _RIDGE)
    if not factor(lower, m):
        return -1.0
    forward(lower, m, amplitude)
    chi2 = yy
    for a in range(m):
        chi2 -= amplitude[a] * amplitude[a]
    backward(lower, m, amplitude)
    return chi2


@njit(cache=True, nogil=True, _nrt=False, forceinline=True)
def _cover(model, work, dropped):  # pragma: no cover - compiled
    """Drop the columns of which the window shows nothing; False if that is all of them."""
    lines, seen = model[3].size, False
    for a in range(dropped.size):
        dropped[a] = True
    for k in range(lines):
        if product(work[0], 3 * RANK * k, work[2], RANK * (k * lines + k)) > _COVERED:
            dropped[model[3][k]], seen = False, True
    return seen


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _tilt(model, frame, tables, work, amplitude):  # pragma: no cover - compiled
    """Fill residual, slopes and their images at the accepted point."""
    h, z, w, slope, image, at, bins, shares, _, peaks = work
    near, line_group, lines = tables[6], tables[7], at.shape[0]
    left = RANK * lines
    for m in range(slope.size):
        slope[m] = image[m] = np.float32(0.0)
    for k in range(lines):
        peaks[k] = -shares[k] * amplitude[model[3][k]]
    for j in range(lines):
        for k in range(j + 1, lines):
            block = _block(tables, frame, bins, j, k)
            overlap(tables[4], block, h, 3 * RANK * k, w, RANK * (j * lines + k))
        mix(z, left + RANK * j, RANK * j, peaks, w, RANK * j * lines)
    for k in range(lines):
        peak, by_v = -peaks[k], RANK * (2 * line_group[k] * lines + k)
        add(slope, by_v, peak * at[k, 2] / frame[7], h, RANK * (3 * k + 1))
        add(slope, by_v, peak * at[k, 3] / frame[9], h, RANK * (3 * k + 2))
        add(slope, by_v + left, peak * at[k, 4] / frame[9], h, RANK * (3 * k + 2))
    for k in range(lines):
        for p in range(2 * line_group[k], 2 * line_group[k] + 2):
            own = RANK * (p * lines + k)
            overlap(tables[4], _block(tables, frame, bins, k, k), slope, own, image, own)
    for j in range(lines):
        for k in range(lines):
            if near[j, k] and j != k:
                block, first = _block(tables, frame, bins, j, k), 2 * line_group[k]
                for p in range(first, first + 2):
                    overlap(tables[4], block, slope, RANK * (p * lines + k), z, 2 * left)
                    add(image, RANK * (p * lines + j), 1.0, z, 2 * left)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _derive(model, work, lower, dropped, turned, H, g):  # pragma: no cover - compiled
    """Gradient g and Schur complement H; overlaps of lines far apart are left out of H."""
    h, z, slope, image, shares = work[0], work[1], work[3], work[4], work[7]
    lines = shares.size
    for p in range(g.size):
        for a in range(lower.shape[0]):
            turned[p, a] = 0.0
        all_lines = RANK * p * lines
        g[p] = inner(slope, all_lines, z, RANK * lines, lines)
        for k in range(lines):
            own = RANK * (p * lines + k)
            if not dropped[model[3][k]]:
                turned[p, model[3][k]] += shares[k] * product(h, 3 * RANK * k, image, own)
        forward(lower, lower.shape[0], turned[p])
        for q in range(p + 1):
            H[p, q] = inner(slope, RANK * q * lines, image, all_lines, lines)
            for a in range(lower.shape[0]):
                H[p, q] -= turned[p, a] * turned[q, a]
            H[q, p] = H[p, q]


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy")
def _sharpen(model, frame, tables, work, amplitude, lower, dropped, turned, H, N):
    """Fill N, the Hessian of Newton: that of Gauss and Newton and what the residual bends."""
    h, z, at, shares = work[0], work[1], work[5], work[7]
    line_group, lines, m = tables[7], at.shape[0], amplitude.size
    spare, pull = 2 * RANK * lines, work[8]
    for p in range(N.shape[0]):
        for a in range(m):
            pull[p, a] = 0.0
        for q in range(p + 1):
            N[p, q] = H[p, q]
            for a in range(m):
                N[p, q] += turned[p, a] * turned[q, a]
    for k in range(lines):
        bend(tables[1], int(at[k, 6]), at[k, 7], at[k, 8], z, spare)
        left, v = RANK * (lines + k), 2 * line_group[k]
        peak = shares[k] * amplitude[model[3][k]]
        by_delta = product(h, RANK * (3 * k + 1), z, left)
        by_tau = product(h, RANK * (3 * k + 2), z, left)
        second, mixed = product(z, spare, z, left), product(z, spare + RANK, z, left)
        last = product(z, spare + 2 * RANK, z, left)
        d_v, t_v, t_b = at[k, 2] / frame[7], at[k, 3] / frame[9], at[k, 4] / frame[9]
        N[v, v] -= peak * (second * d_v * d_v + 2.0 * mixed * d_v * t_v + last * t_v * t_v)
        N[v + 1, v] -= peak * (mixed * d_v + last * t_v) * t_b
        N[v + 1, v + 1] -= peak * (last * t_b * t_b + by_tau * at[k, 5] / frame[9])
        if not dropped[model[3][k]]:
            pull[v, model[3][k]] -= shares[k] * (by_delta * d_v + by_tau * t_v)
            pull[v + 1, model[3][k]] -= shares[k] * by_tau * t_b
    for p in range(N.shape[0]):
        forward(lower, m, pull[p])
        for a in range(m):
            turned[p, a] += pull[p, a]
    for p in range(N.shape[0]):
        for q in range(p + 1):
            for a in range(m):
                N[p, q] -= turned[p, a] * turned[q, a]
            N[q, p] = N[p, q]


@njit(cache=True, nogil=True, _nrt=False, error_model="numpy")
def search(model, theta, spaxel, frame, tables, work, flat, yy, limits, space):  # pragma: no cover
    """Levenberg-Marquardt on one spectrum: code, chi2 and evaluations; fills theta, amplitudes.

    The start is tried as steps are: code that stands here once, not twice, stays in the processor's
    cache of instructions, which is worth a tenth of the time. A step of Newton of expected gain G
    leaves about G (|d| / w)^2 of chi2 behind, w the length over which curvatures change.
    """
    low, high = (limits[0], limits[2]), (limits[1], limits[3])
    (lower, trial_lower), (turned, H, square, N), (g, d, trial) = space[:3]
    amplitude, trial_amplitude = space[3]
    dropped, frozen = space[4]
    has_width, width = model[0] != SINC, spaxel[2]
    for p in range(theta.size):
        trial[p] = theta[p]
    slack = _ROUNDING * yy
    damping, chi2, gain, whole = 1e-3, np.inf, 0.0, False
    accepted, sharp, sound = False, False, False
    for evaluation in range(limits[4]):
        if evaluation > 0:
            if accepted:
                for a in range(amplitude.size):
                    for b in range(a + 1):
                        lower[a, b] = trial_lower[a, b]
                _tilt(model, frame, tables, work, amplitude)
                _derive(model, work, lower, dropped, turned, H, g)
                freeze(theta, g, low, high, has_width, frozen)
                sharp = sound = False
            gain = direction(N if sound else H, g, frozen, damping, square, d)
            if not sharp and 0.0 <= gain < _CLOSE:
                sharp = True
                _sharpen(model, frame, tables, work, amplitude, lower, dropped, turned, H, N)
                newton = direction(N, g, frozen, damping, square, trial)
                sound = 0.0 <= newton <= _FLATTEST * gain
                if sound:
                    gain = newton
                    for p in range(theta.size):
                        d[p] = trial[p]
            if gain >= 0.0:
                whole = limit(theta, d, width, has_width, low, high, trial)
                small = gain < 0.1 * slack
                if sound and not small:
                    small = gain * bending(trial, d, width, has_width) < _LEFT
                if small and whole and damping <= 1.0:
                    for p in range(theta.size):
                        theta[p] = trial[p]
                    return FOUND if sound else UNSETTLED, chi2 - gain, evaluation
        accepted, trial_chi2 = False, np.inf
        if gain >= 0.0:
            code = evaluate(model, trial, spaxel, frame, tables, work, flat, True)
            if code != FOUND:
                return code, chi2 if evaluation > 0 else np.nan, max(evaluation, 1)
            if evaluation == 0 and not _cover(model, work, dropped):
                return UNSETTLED, np.nan, 1
            trial_chi2 = _project(model, work, yy, dropped, trial_lower, trial_amplitude)
            accepted = 0.0 <= trial_chi2 <= chi2 + 1e-9 + slack
        if accepted:
            if evaluation > 0:
                gained = chi2 - trial_chi2 if whole else np.inf
                damping = relax(damping, N if sound else H, d, gain, gained)
            for p in range(theta.size):
                theta[p] = trial[p]
            for a in range(amplitude.size):
                amplitude[a] = trial_amplitude[a]
            chi2 = trial_chi2
        elif evaluation == 0:
            return UNSETTLED, np.nan, 1
        else:
            damping = max(damping * 10.0, 1e-2)
            if damping > 1e8:
                break
    return UNSETTLED, chi2, limits[4]
