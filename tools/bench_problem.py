"""The problem that `bench fit` times: spectra as SITELLE takes them in the SN3 filter.

Five lines of one velocity and broadening on a constant, 364 of 842 channels, R 4900. The axis is
that of a resampled cube, one for all. The instrument's line is not: each spectrum has the width of
a spaxel of its own, drawn over the angles of the field. The plain profile written here, with its
derivatives in closed form, is what scipy and numpy are given.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, wofz

from ..kernels.axis import SPEED_OF_LIGHT, fts_grid, ils_width
from ..kernels.lines import REST_AIR_NM
from ..kernels.varpro import Bounds

Array = NDArray[np.float64]

LINES = ("Halpha", "NII6548", "NII6583", "SII6716", "SII6731")
WINDOW = (14750.0, 15500.0)  # [cm-1]
BOUNDS = Bounds((-1000.0, 1000.0), (1.0, 300.0))  # [km/s]
CORR = (1.021, 1.061)  # 1 / cos(theta) from one edge of SITELLE's field to the far corners
_CENTRE = np.deg2rad(11.96)  # angle whose axis the cube is resampled to
_ROOT_PI = np.sqrt(np.pi)


@dataclass(frozen=True, slots=True)
class Problem:
    """Spectra and where their fits start.

    Parameters
    ----------
    axis : ndarray, shape (channel,)
        Wavenumbers [cm-1].
    rest : ndarray, shape (line,)
        Wavenumbers of the lines at rest [cm-1].
    width : ndarray, shape (spaxel,)
        Of the sinc [cm-1].
    data : ndarray, shape (spaxel, channel)
        Rounded to float32, as a cube holds them.
    noise : ndarray, shape (spaxel,)
        Standard deviation of each spectrum's channels.
    truth : ndarray, shape (spaxel, 2)
        Velocity and broadening [km/s].
    start : ndarray, shape (spaxel, 2)
        The truth + 15 km/s rms.
    """

    axis: Array
    rest: Array
    width: Array
    data: Array
    noise: Array
    truth: Array
    start: Array

    def part(self, rows: slice | NDArray[np.integer]) -> "Problem":
        """Give some of the spectra."""
        names = ("width", "data", "noise", "truth", "start")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def repeated(self, copies: int) -> "Problem":
        """Give all spectra several times over, each copy but the first with starts of its own.

        No two searches are the same then, so no processor learns their turns by heart.
        """
        count = len(self.data)
        again = self.part(np.tile(np.arange(count), copies))
        again.start[count:] = _starts(again.truth[count:], np.random.default_rng(copies))
        return again


def synthetic(count: int, *, seed: int) -> Problem:
    """Draw spectra of Halpha peak 1 and SNR log-uniform from 3 to 100."""
    rng = np.random.default_rng(seed)
    grid = fts_grid(channels=842, step_nm=2943.0, order=8, corr=1 / np.cos(_CENTRE)).coordinates()
    rest = np.array([1e7 / REST_AIR_NM[name] for name in LINES])
    axis = grid[(grid > WINDOW[0]) & (grid < WINDOW[1])]
    theta = np.stack([rng.uniform(-500, 500, count), rng.uniform(10, 100, count)], axis=1)
    nitrogen, sulphur = rng.uniform(0.1, 1.2, count), rng.uniform(0.1, 0.5, count)
    weaker = sulphur * rng.uniform(0.7, 1.0, count)
    amplitude = np.stack([np.ones(count), nitrogen / 3, nitrogen, sulphur, weaker], axis=1)
    noise = 1 / np.exp(rng.uniform(np.log(3.0), np.log(100.0), count))
    start = _starts(theta, rng)
    data = noise[:, None] * rng.standard_normal((count, axis.size))
    data += rng.uniform(0, 0.3, count)[:, None]
    corr = rng.uniform(*CORR, count)
    width = ils_width(step_nm=2943.0, step_nb=842, zpd_index=169, corr=corr)
    problem = Problem(axis, rest, width, data, noise, theta, start)
    for s in range(count):
        data[s] += amplitude[s] @ profile(problem, theta[s], width[s])
    data[:] = data.astype(np.float32)
    return problem


def _starts(truth: Array, rng: np.random.Generator) -> Array:
    """Draw first guesses about the truth."""
    start = truth + 15 * rng.standard_normal(truth.shape)
    start[:, 1] = np.clip(start[:, 1], 5, 150)
    return start


def profile(problem: Problem, theta: Array, width: Array) -> Array:
    """Sincgauss of every line, peak one.

    Parameters
    ----------
    problem : Problem
        Axis and lines.
    theta : ndarray, shape (..., 2)
        Velocity and broadening [km/s].
    width : ndarray, shape (...)
        Of the sinc [cm-1].

    Returns
    -------
    ndarray, shape (..., line, channel)

    Notes
    -----
    The formula of `kernels/ils.py`.
    """
    _, a, u, _ = _place(problem, theta, width)
    return _shape(a, u, np.cos(u), np.sin(u))


def profiles(problem: Problem, theta: Array, width: Array) -> tuple[Array, Array, Array]:
    """Profile and its slopes by velocity and broadening, each as `profile` gives it.

    The formulas of `kernels/profile.py`.
    """
    centre, a, u, to_u = _place(problem, theta, width)
    q, cosine, sine = a * a, np.cos(u), np.sin(u)
    f = _shape(a, u, cosine, sine)
    edge = 2 * a / _ROOT_PI * np.exp(-q) / erf(a)
    by_u = (edge * sine - u * f) / (2 * q)
    by_q = (edge * cosine - f - u * by_u) / (2 * q) - f * (edge - 1) / (2 * q)
    along = SPEED_OF_LIGHT + theta[..., None, None, 0]
    by_v = by_u * to_u * centre / along - by_q * 2 * q / along
    return f, by_v, by_q * 2 * q / theta[..., None, None, 1]


def _place(problem: Problem, theta: Array, width: Array) -> tuple[Array, Array, Array, Array]:
    """Centre [cm-1] and a of each line, shape (..., line, 1), u of its channels, pi / width."""
    v, b = theta[..., None, None, 0], theta[..., None, None, 1]
    to_u = np.pi / width[..., None, None]
    centre = problem.rest[:, None] / (1 + v / SPEED_OF_LIGHT)
    a = to_u * b / SPEED_OF_LIGHT * centre / np.sqrt(2)
    return centre, a, to_u * (problem.axis - centre), to_u


def _shape(a: Array, u: Array, cosine: Array, sine: Array) -> Array:
    turn = u / (2 * a)
    w = wofz(turn + 1j * a)
    return (np.exp(-turn * turn) - np.exp(-a * a) * (cosine * w.real - sine * w.imag)) / erf(a)
