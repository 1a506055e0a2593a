"""Compiled density of `posterior.py` at one point (v, b), from either engine.

What both engines give is the linear problem less its continuum: c = F y and G = F F^T of the line
columns, whitened. From there on a point costs the same. Tuples that are handed around:

- `spectrum`: (engine, scale and width, spline node, y y), `EXACT` or `REDUCED`;
- `exact`: (axis, weights, whitened spectrum and continuum rows, line rows, shares, waves, state);
- `tables`: what `_reduced.py` needs, (frame, tables, work, spectrum), and the tilt by which it is
  corrected (`_posterior_tilt.py`);
- `small`: (c, G and its factor, amplitudes, columns dropped, work);
- `prior`: (log of flat density, ridge, log of amplitude scale, mixture rows, one where amplitudes
  are not negative).

Calls with all of these copy hundreds of numbers, so a point is inlined where it is asked for.
"""

# numba's types do not know intrinsics and `forceinline`.
# pyright: reportCallIssue=false

import math
from typing import Final

import numpy as np
from numba import njit

from ._reduced import FOUND, evaluate
from ._rows import dot, fill, line_area, place
from ._vector import product
from .axis import SPEED_OF_LIGHT
from .basis import RANK
from .cholesky import backward, factor, forward
from .profile import BORROWING, GAUSSIAN, SINC, turns

EXACT: Final = 0
REDUCED: Final = 1
OFFSET, ALONG, ACROSS, AT_V, AT_SQUARE, SHIFTS = 0, 1, 2, 3, 4, 5  # of a tilt
NOWHERE: Final = -1e300  # log density where there is none
_RIDGE = 1e-6  # of a column's weight: what float32 leaves of two lines at one place
_LEAST = 0.1  # of a broadening [km/s]: at zero the profile is 0 / 0
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_VECTORS: Final = {"nnan", "nsz", "reassoc", "contract"}
_FAR = -6.0  # standard deviations below zero, where ratios are taken from their series


@njit(**BORROWING, forceinline=True)
def _gather_reduced(model, work, small):  # pragma: no cover - compiled
    """Fill c and G from products and overlaps."""
    h, z, w, shares = work[0], work[1], work[2], work[7]
    c, gram = small[0], small[1]
    column, lines = model[3], model[3].size
    c[:] = 0.0
    gram[:] = 0.0
    for j in range(lines):
        a = column[j]
        c[a] += shares[j] * product(h, 3 * RANK * j, z, RANK * j)
        for k in range(j + 1):
            b = column[k]
            value = shares[j] * shares[k] * product(h, 3 * RANK * j, w, RANK * (j * lines + k))
            gram[max(a, b), min(a, b)] += value if a != b or j == k else 2.0 * value
    for a in range(c.size):
        gram[a, a] *= 1.0 + _RIDGE


@njit(**BORROWING)
def gather_exact(model, theta, spectrum, exact, small):  # pragma: no cover - compiled
    """Fill c and G from the profiles themselves, their continuum projected out."""
    t, sw, y, flat, rows, overlap, shares, waves, state = exact
    c, gram = small[0], small[1]
    column, lines = model[3], model[3].size
    if model[0] != GAUSSIAN and state[0] == 0.0:
        scale, width = spectrum[1]
        turns(math.pi * (t[1] - t[0]) * scale / width[0], waves[0], waves[1])
        state[0] = 1.0
    fill(model, theta, spectrum[1], t, sw, waves, rows, shares)
    c[:] = 0.0
    gram[:] = 0.0
    for j in range(lines):
        a = column[j]
        c[a] += shares[j] * dot(rows[j], y)
        for d in range(flat.shape[0]):
            overlap[j, d] = dot(rows[j], flat[d])
        for k in range(j + 1):
            b = column[k]
            value = dot(rows[j], rows[k])
            for d in range(flat.shape[0]):
                value -= overlap[j, d] * overlap[k, d]
            value *= shares[j] * shares[k]
            gram[max(a, b), min(a, b)] += value if a != b or j == k else 2.0 * value


@njit(**BORROWING)
def solve(small, prior):  # pragma: no cover - compiled
    """Log of the likelihood, amplitudes integrated, over that of the continuum alone.

    With c = F y, G = F F^T and amplitudes of Gaussian prior N(0, s^2),

        ln = c (G + 1/s^2)^-1 c / 2 - ln |s^2 G + 1| / 2,

    and with a flat one of density 1 / (sqrt(2 pi) s) the same without the ones. A column of which
    the data say less than the prior is left to its prior. Amplitudes that are not negative have
    twice the density, times the probability that all are.
    """
    c, gram, amplitude, dropped = small[0], small[1], small[2], small[3]
    ridge, log_scale = prior[1], prior[2]
    m, least = c.size, math.exp(-2.0 * log_scale)
    kept = 0
    for a in range(m):
        dropped[a] = not gram[a, a] > least
        amplitude[a] = 0.0 if dropped[a] else c[a]
        kept += not dropped[a]
    for a in range(m):
        if dropped[a]:
            for b in range(m):
                gram[max(a, b), min(a, b)] = 0.0
            gram[a, a] = 1.0
        else:
            gram[a, a] += ridge
    if not factor(gram, m):
        return NOWHERE
    forward(gram, m, amplitude)
    gain, root = 0.0, 1.0
    for a in range(m):
        gain += amplitude[a] * amplitude[a]
        root *= gram[a, a]
    value = 0.5 * gain + math.log(root) - kept * log_scale
    if prior[4] > 0.0:
        return value + kept * math.log(2.0) + truncate(gram, amplitude, dropped, small[4])
    backward(gram, m, amplitude)
    return value


@njit(**BORROWING)
def truncate(lower, z, dropped, variance):  # pragma: no cover - compiled
    """Log of the probability that no amplitude is negative; fills means and variances.

    L^T A has independent components of mean z, so amplitudes follow from the last to the first,
    each normal given those after it. These enter by mean and variance, and what a truncation says
    of them goes back by regression (Mendell & Elston 1974, Biometrics 30, 41): exact for columns
    that do not overlap, and to second order in the overlap.
    """
    total = 0.0
    for i in range(z.size - 1, -1, -1):
        if dropped[i]:
            variance[i] = z[i] = 0.0
            continue
        shift, spread = 0.0, 1.0
        for k in range(i + 1, z.size):
            shift += lower[k, i] * z[k]
            spread += lower[k, i] * lower[k, i] * variance[k]
        mean, sigma = (z[i] - shift) * lower[i, i], math.sqrt(spread) * lower[i, i]
        alpha = mean / sigma
        if alpha > _FAR:
            chance = 0.5 * math.erfc(-alpha / math.sqrt(2.0))
            hazard = math.exp(-0.5 * alpha * alpha) / (_ROOT_TWO_PI * chance)
            total += math.log(chance)
            left = 1.0 - hazard * (hazard + alpha)
        else:
            inverse = 1.0 / (alpha * alpha)
            tail = 1.0 - inverse * (1.0 - 3.0 * inverse)
            hazard = -alpha / tail
            total += -0.5 * alpha * alpha + math.log(-tail / (alpha * _ROOT_TWO_PI))
            left = inverse * (1.0 - 6.0 * inverse)
        z[i] = sigma * max(alpha + hazard, 0.0)
        variance[i] = sigma * sigma * max(left, 0.0)
        for k in range(i + 1, z.size):
            slope = -lower[k, i] * lower[i, i] * variance[k] / (sigma * sigma)
            z[k] = max(z[k] + slope * (z[i] - mean), 0.0)
            variance[k] -= slope * slope * (sigma * sigma - variance[i])
    return total


@njit(inline="always", fastmath=_VECTORS)
def _exponential(x):  # pragma: no cover - compiled
    """exp(x), -40 <= x <= 0, to 1e-12: in terms that a loop is vectorised with, as a call is not.

    Taylor's series of x / 256, squared eight times.
    """
    x *= 1.0 / 256.0
    e = 1.0 / 40320.0 + x * (1.0 / 362880.0)
    e = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x * e))
    e = 1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * e))))
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e


@njit(**BORROWING, forceinline=True, fastmath=_VECTORS)
def log_prior(v, b, prior):  # pragma: no cover - compiled
    """Log density of the prior in (v, b), folded at zero broadening where it is a mixture.

    Rows of a mixture, (6, component): log of weight and norm, the two means, and the inverse
    covariance.
    """
    rows = prior[3]
    if rows.shape[1] == 0:
        return prior[0]
    top, total = -np.inf, 0.0
    for k in range(rows.shape[1]):
        d_v, d_b, folded = v - rows[1, k], b - rows[2, k], -b - rows[2, k]
        here = rows[0, k] - 0.5 * rows[3, k] * d_v * d_v
        value = here - d_b * (0.5 * rows[5, k] * d_b + rows[4, k] * d_v)
        other = here - folded * (0.5 * rows[5, k] * folded + rows[4, k] * d_v)
        top = max(top, max(value, other))
    for k in range(rows.shape[1]):
        d_v, d_b, folded = v - rows[1, k], b - rows[2, k], -b - rows[2, k]
        here = rows[0, k] - 0.5 * rows[3, k] * d_v * d_v - top
        value = here - d_b * (0.5 * rows[5, k] * d_b + rows[4, k] * d_v)
        other = here - folded * (0.5 * rows[5, k] * folded + rows[4, k] * d_v)
        total += _exponential(max(value, -40.0)) + _exponential(max(other, -40.0))
    return prior[0] + top + math.log(total)


@njit(**BORROWING)
def _tilted(theta, tilt, small, prior):  # pragma: no cover - compiled
    """Correct the amplitudes of a reduced point; give what its log likelihood lacks."""
    amplitude = small[2]
    for a in range(amplitude.size):
        amplitude[a] += tilt[SHIFTS + a]
        if prior[4] > 0.0:
            amplitude[a] = max(amplitude[a], 0.0)
    value = tilt[OFFSET] + tilt[ALONG] * (theta[0] - tilt[AT_V])
    return value + tilt[ACROSS] * (theta[1] * theta[1] - tilt[AT_SQUARE])


@njit(**BORROWING, forceinline=True)
def density(model, theta, spectrum, exact, tables, small, prior):  # pragma: no cover - compiled
    """Log of prior times likelihood at theta; amplitudes and their factor stay in `small`."""
    theta[1] = max(theta[1], _LEAST)
    code = FOUND + 1
    if spectrum[0] == REDUCED:
        spaxel = spectrum[1], spectrum[2], 0.0
        code = evaluate(model, theta, spaxel, tables[0], tables[1], tables[2], tables[3], False)
    value = NOWHERE
    if code == FOUND:
        _gather_reduced(model, tables[2], small)
        value = solve(small, prior)
        if value > NOWHERE:
            value += _tilted(theta, tables[4], small, prior)
    if value == NOWHERE:  # outside the tables, or singular by their rounding
        gather_exact(model, theta, spectrum, exact, small)
        value = solve(small, prior)
    return max(value + log_prior(theta[0], theta[1], prior), NOWHERE)


@njit(**BORROWING)
def _flux_at_peak_one(model, k, theta, spaxel):  # pragma: no cover - compiled
    """Flux of line k at peak one, integrated over wavelength, as `Emission.peak_fluxes` has it."""
    area = line_area(model, k, theta, spaxel)
    if model[0] != SINC:
        area *= _ROOT_TWO_PI
    return area * 1e8 / spaxel[0] if model[1] else area * spaxel[0]


@njit(**BORROWING)
def fluxes(model, theta, spectrum, small, prior, out):  # pragma: no cover - compiled
    """Fill out[k] with mean and variance of the flux of line k at the last point of `density`.

    A column that its data do not determine has the mean of its prior, zero, and no variance.
    """
    gram, amplitude, dropped, variance = small[1], small[2], small[3], small[4]
    m, unit = amplitude.size, small[5]
    for a in range(m if prior[4] == 0.0 else 0):  # diagonal of (L L^T)^-1 by columns of L^-1
        variance[a] = 0.0
        for b in range(a, m):
            value = 1.0 if a == b else 0.0
            for i in range(a, b):
                value -= gram[b, i] * unit[i]
            unit[b] = value * gram[b, b]
            variance[a] += unit[b] * unit[b]
    for k in range(out.shape[0]):
        a = model[3][k]
        factor_k = model[4][k] * _flux_at_peak_one(model, model[6][k], theta, spectrum[1])
        out[k, 0] = amplitude[a] * factor_k
        out[k, 1] = 0.0 if dropped[a] else variance[a] * factor_k * factor_k


@njit(**BORROWING)
def line_width(model, theta, spaxel):  # pragma: no cover - compiled
    """Give the standard deviation of the first line, the instrument's included [km/s]."""
    centre, _, sigma, own = place(model, 0, theta, spaxel)
    return (
        math.hypot(sigma, own if model[0] == GAUSSIAN else 0.5127 * own) / centre * SPEED_OF_LIGHT
    )
