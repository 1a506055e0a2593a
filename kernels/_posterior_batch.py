"""The compiled loop of `posterior.py`: each spectrum is whitened, mapped, integrated, recorded."""

import numpy as np
from numba import njit

from ._find import reduced_work
from ._posterior import (
    SCALARS,
    cells_space,
    find_modes,
    modes_space,
    noise_floor,
    summarise,
)
from ._posterior_cells import fill_cells, weighted_nodes
from ._posterior_point import EXACT, REDUCED, SHIFTS
from ._posterior_rest import rest_space
from ._reduction import aligned
from ._rows import dot
from .profile import BORROWING, SINC

_ROUNDING = 2e5  # of y y: float32 makes an error of 0.06 of a larger chi2


@njit(**BORROWING)
def whiten(data, weight, noise, polynomials, exact, single):  # pragma: no cover - compiled
    """Fill weights, whitened spectrum less its continuum and the continuum's rows; y y, or NaN.

    Whitened means over the typical noise, so that amplitudes are in its unit.
    """
    _, sw, y, flat = exact[:4]
    used = 0
    for i in range(data.size):
        w = weight[i if weight.size > 1 else 0]
        good = w > 0.0 and np.isfinite(w) and np.isfinite(data[i])
        sw[i] = w * noise if good else 0.0
        y[i] = data[i] * w if good else 0.0
        used += good
    for d in range(polynomials.shape[0]):
        for i in range(data.size):
            flat[d, i] = polynomials[d, i] * sw[i]
        before = dot(flat[d], flat[d])
        for _ in range(2):  # once more, for what rounding left
            for e in range(d):
                overlap = dot(flat[d], flat[e])
                for i in range(data.size):
                    flat[d, i] -= overlap * flat[e, i]
        norm = dot(flat[d], flat[d])
        scale = 1.0 / np.sqrt(norm) if norm > 1e-10 * before else 0.0
        for i in range(data.size):
            flat[d, i] *= scale
        overlap = dot(flat[d], y)
        for i in range(data.size):
            y[i] -= overlap * flat[d, i]
    for i in range(data.size):
        single[i] = y[i]
    return dot(y, y) if used > 2 + polynomials.shape[0] + 1 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def exact_space(channels, terms, lines):  # pragma: no cover - compiled
    """Arrays of the exact engine, but for the axis."""
    return (
        np.zeros(channels),
        np.zeros(channels),
        np.zeros((terms, channels)),
        np.zeros((lines, channels)),
        np.zeros((lines, terms)),
        np.ones(lines),
        (np.zeros(channels), np.zeros(channels)),
        np.zeros(1),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def small_space(lines, m):  # pragma: no cover - compiled
    """Small matrices and vectors of a point."""
    return (
        np.zeros(m),
        np.zeros((m, m)),
        np.zeros(m),
        np.zeros(m, np.bool_),
        np.zeros(m),
        np.zeros(m),
        np.zeros((lines, 2)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def integrate_all(spectra, model, t, polynomials, coarse, engine, box, amplitudes, out):
    """Integrate every spectrum of a batch; `out` receives scalars and fluxes.

    `coarse` is the map: (table of cells, factors, z, constants) or, where weights differ, (table,
    room for factors, room for z, NaN) and the weighted sums. `engine` is (frame, tables, nodes),
    nodes being -1 where the tables do not hold.
    """
    data, weight, noise, start, scale, width, mixture, flat_density, probe = spectra
    table, factors, z_all, constants, products, sizes = coarse
    frame, tables, nodes = engine
    scalars, flux = out
    lines, m, channels = model[2].size, model[5].size, t.size
    work, small = reduced_work(lines, m, 2), small_space(lines, m)
    room = exact_space(channels, polynomials.shape[0], lines)
    exact = (t, room[0], room[1], room[2], room[3], room[4], room[5], room[6], room[7])
    single, theta, tilt = aligned((channels + 7) & ~7), np.zeros(2), np.zeros(SHIFTS + m)
    cells, space, rest = cells_space(table.shape[0]), modes_space(lines), rest_space(lines)
    lower, z = factors, np.zeros((table.shape[0], m))
    weighted = products[0].shape[0] > 0
    for s in range(data.shape[0]):
        scalars[s] = np.nan
        flux[s] = np.nan
        if not (noise[s] > 0.0 and np.isfinite(scale[s] + width[s].sum())):
            continue
        square = whiten(data[s], weight[s], noise[s], polynomials, exact, single)
        if not np.isfinite(square):
            continue
        exact[8][0] = 0.0
        work[6][:] = -1
        reduced = nodes[s] >= 0 and square < _ROUNDING
        spectrum = (REDUCED if reduced else EXACT, (scale[s], width[s]), max(nodes[s], 0))
        prior = (flat_density[s], amplitudes[0], amplitudes[1], mixture[s], amplitudes[2])
        case = (model, theta, spectrum, exact, (frame, tables, work, single, tilt), small, prior)
        if weighted:
            weighted_nodes(s, products, sizes, lower, z)
        else:
            for k in range(z.shape[0]):
                for a in range(m):
                    z[k, a] = z_all[s, k * m + a]
        problem = lower, z, constants
        best = fill_cells(table, problem, scale[s], box, prior, small, cells)
        floor = noise_floor(cells, box)
        count = find_modes(case, start[s], best, cells, box, space, probe[s], scalars[s], floor)
        summarise(case, problem, cells, count, box, space, rest, probe[s], scalars[s], floor,
                  flux[s])  # fmt: skip
        for k in range(lines):
            for i in range(2):
                flux[s, k, i] *= noise[s]
    if model[0] == SINC:
        scalars[:, 5:10] = 0.0
    if scalars.shape[1] != SCALARS:
        raise ValueError("scalars have another width")
