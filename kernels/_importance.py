"""The compiled loop of `target.py`: the density of `posterior.py` at given points of each spectrum.

Any number of groups, on exact profiles.

Where two components of a model come to coincide, or one leaves the data, the data determine their
sum alone, and a flat prior of unbounded amplitudes would make an infinite density of that. As
`_posterior_point.solve` leaves a column of which the data say less than its prior to that prior,
so here does the factor of G with each pivot, which is what the data say of a column once those
before it are known: two coincident components have the density of one.
"""

import math

import numpy as np
from numba import njit

from ._posterior_batch import exact_space, small_space, whiten
from ._posterior_point import EXACT, NOWHERE, fluxes, gather_exact, truncate
from ._reduction import aligned
from .cholesky import backward, forward
from .profile import BORROWING


@njit(**BORROWING)
def _factor_determined(gram, least, dropped):  # pragma: no cover - compiled
    """Replace G by its Cholesky factor; columns whose pivot is below `least` stand alone."""
    m = gram.shape[0]
    for j in range(m):
        total = gram[j, j]
        for k in range(j):
            total -= gram[j, k] * gram[j, k]
        dropped[j] = not total > least
        if dropped[j]:
            for k in range(j):
                gram[j, k] = 0.0
            gram[j, j] = 1.0
            for i in range(j + 1, m):
                gram[i, j] = 0.0
            continue
        inverse = 1.0 / math.sqrt(total)
        gram[j, j] = inverse
        for i in range(j + 1, m):
            total = gram[i, j]
            for k in range(j):
                total -= gram[i, k] * gram[j, k]
            gram[i, j] = total * inverse


@njit(**BORROWING)
def solve_determined(small, prior):  # pragma: no cover - compiled
    """Log of the likelihood, amplitudes integrated, over that of the continuum alone."""
    gram, amplitude, dropped = small[1], small[2], small[3]
    log_scale, m = prior[2], amplitude.size
    _factor_determined(gram, math.exp(-2.0 * log_scale), dropped)
    for a in range(m):
        amplitude[a] = 0.0 if dropped[a] else small[0][a]
    forward(gram, m, amplitude)
    value = 0.0
    for a in range(m):
        if not dropped[a]:
            value += 0.5 * amplitude[a] * amplitude[a] + math.log(gram[a, a]) - log_scale
    if prior[4] > 0.0:
        for a in range(m):
            value += 0.0 if dropped[a] else math.log(2.0)
        return value + truncate(gram, amplitude, dropped, small[4])
    backward(gram, m, amplitude)
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def densities(spectra, model, t, polynomials, amplitudes, theta, out):  # pragma: no cover
    """Fill log likelihoods, (spaxel, draw), and fluxes, (spaxel, draw, line, 2).

    `theta`, (spaxel, draw, parameter), alternates velocity and broadening; a NaN has no density.
    Fluxes are mean and variance, in units of the noise.
    """
    data, weight, noise, scale, width = spectra
    values, flux = out
    lines, m, channels = model[2].size, model[5].size, t.size
    small = small_space(lines, m)
    room = exact_space(channels, polynomials.shape[0], lines)
    exact = (t, room[0], room[1], room[2], room[3], room[4], room[5], room[6], room[7])
    single = aligned((channels + 7) & ~7)
    point = np.zeros(theta.shape[2])
    prior = (0.0, amplitudes[0], amplitudes[1], np.zeros((6, 0)), amplitudes[2])
    for s in range(theta.shape[0]):
        values[s] = NOWHERE
        flux[s] = 0.0
        if not (noise[s] > 0.0 and np.isfinite(scale[s] + width[s].sum())):
            continue
        if not np.isfinite(whiten(data[s], weight[s], noise[s], polynomials, exact, single)):
            continue
        exact[8][0] = 0.0
        spectrum = (EXACT, (scale[s], width[s]), 0)
        for i in range(theta.shape[1]):
            point[:] = theta[s, i]
            if not np.isfinite(point.sum()):
                continue
            gather_exact(model, point, spectrum, exact, small)
            values[s, i] = solve_determined(small, prior)
            fluxes(model, point, spectrum, small, prior, flux[s, i])
