"""One problem, three engines: scipy one spectrum at a time, numpy in batches, the numba kernel.

The problem is that of a SITELLE cube in the SN3 filter: five lines of one velocity and broadening
on a constant, 364 of 842 channels, R 4900. scipy and numpy share the plain profile written here,
with its derivatives in closed form; the numba engine is the kernel that `stream-fit optical` runs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import erf, wofz

from ..kernels.axis import SPEED_OF_LIGHT, fts_grid, ils_width
from ..kernels.emission import Continuum, Shape, tie
from ..kernels.lines import REST_AIR_NM
from ..kernels.varpro import Bounds, Geometry, fit

Array = NDArray[np.float64]

LINES = ("Halpha", "NII6548", "NII6583", "SII6716", "SII6731")
WINDOW = (14750.0, 15500.0)  # [cm-1]
BOUNDS = Bounds((-1000.0, 1000.0), (1.0, 300.0))  # [km/s]
_ROOT_PI = np.sqrt(np.pi)
_GAIN = 5e-4  # in chi2: the numpy engine ends where the kernel does
_BLOCK = 64  # spectra the numpy engine holds at once: their profiles fit a core's cache
_SHARE = 512  # spectra a thread takes at once


@dataclass(frozen=True, slots=True)
class Problem:
    """Spectra and where their fits start.

    Parameters
    ----------
    axis : ndarray, shape (channel,)
        Wavenumbers [cm-1].
    rest : ndarray, shape (line,)
        Wavenumbers of the lines at rest [cm-1].
    width : float
        Of the sinc [cm-1].
    data : ndarray, shape (spaxel, channel)
    noise : ndarray, shape (spaxel,)
        Standard deviation of each spectrum's channels.
    start : ndarray, shape (spaxel, 2)
        Velocity and broadening [km/s]: the truth + 15 km/s rms.
    """

    axis: Array
    rest: Array
    width: float
    data: Array
    noise: Array
    start: Array

    def part(self, rows: slice, *, copies: int = 1) -> "Problem":
        """Give some of the spectra, several times over."""
        return replace(
            self,
            data=np.tile(self.data[rows], (copies, 1)),
            noise=np.tile(self.noise[rows], copies),
            start=np.tile(self.start[rows], (copies, 1)),
        )


def synthetic(count: int, *, seed: int) -> Problem:
    """Draw spectra of Halpha peak 1 and SNR log-uniform from 3 to 100."""
    rng = np.random.default_rng(seed)
    corr = 1 / np.cos(np.deg2rad(11.96))  # at the middle of the field
    grid = fts_grid(channels=842, step_nm=2943.0, order=8, corr=corr).coordinates()
    width = float(ils_width(step_nm=2943.0, step_nb=842, zpd_index=169, corr=corr))
    rest = np.array([1e7 / REST_AIR_NM[name] for name in LINES])
    axis = grid[(grid > WINDOW[0]) & (grid < WINDOW[1])]
    theta = np.stack([rng.uniform(-500, 500, count), rng.uniform(10, 100, count)], axis=1)
    nitrogen, sulphur = rng.uniform(0.1, 1.2, count), rng.uniform(0.1, 0.5, count)
    weaker = sulphur * rng.uniform(0.7, 1.0, count)
    amplitude = np.stack([np.ones(count), nitrogen / 3, nitrogen, sulphur, weaker], axis=1)
    noise = 1 / np.exp(rng.uniform(np.log(3.0), np.log(100.0), count))
    start = theta + 15 * rng.standard_normal(theta.shape)
    start[:, 1] = np.clip(start[:, 1], 5, 150)
    data = noise[:, None] * rng.standard_normal((count, axis.size))
    data += rng.uniform(0, 0.3, count)[:, None]
    problem = Problem(axis, rest, width, data, noise, start)
    for s in range(count):
        data[s] += amplitude[s] @ profile(problem, theta[s])
    return problem


def profile(problem: Problem, theta: Array) -> Array:
    """Sincgauss of every line, peak one.

    Parameters
    ----------
    problem : Problem
        Axis and lines.
    theta : ndarray, shape (..., 2)
        Velocity and broadening [km/s].

    Returns
    -------
    ndarray, shape (..., line, channel)

    Notes
    -----
    The formula of `kernels/ils.py`.
    """
    _, a, u = _place(problem, theta)
    return _shape(a, u, np.cos(u), np.sin(u))


def profiles(problem: Problem, theta: Array) -> tuple[Array, Array, Array]:
    """Profile and its slopes by velocity and broadening, each as `profile` gives it.

    The formulas of `kernels/profile.py`.
    """
    centre, a, u = _place(problem, theta)
    q, cosine, sine = a * a, np.cos(u), np.sin(u)
    f = _shape(a, u, cosine, sine)
    edge = 2 * a / _ROOT_PI * np.exp(-q) / erf(a)
    by_u = (edge * sine - u * f) / (2 * q)
    by_q = (edge * cosine - f - u * by_u) / (2 * q) - f * (edge - 1) / (2 * q)
    along = SPEED_OF_LIGHT + theta[..., None, None, 0]
    by_v = by_u * np.pi / problem.width * centre / along - by_q * 2 * q / along
    return f, by_v, by_q * 2 * q / theta[..., None, None, 1]


def _place(problem: Problem, theta: Array) -> tuple[Array, Array, Array]:
    """Centre [cm-1] and a of each line, shape (..., line, 1), and u of its channels."""
    v, b = theta[..., None, None, 0], theta[..., None, None, 1]
    centre = problem.rest[:, None] / (1 + v / SPEED_OF_LIGHT)
    a = np.pi / problem.width * b / SPEED_OF_LIGHT * centre / np.sqrt(2)
    return centre, a, np.pi / problem.width * (problem.axis - centre)


def _shape(a: Array, u: Array, cosine: Array, sine: Array) -> Array:
    turn = u / (2 * a)
    w = wofz(turn + 1j * a)
    return (np.exp(-turn * turn) - np.exp(-a * a) * (cosine * w.real - sine * w.imag)) / erf(a)


def fit_scipy(problem: Problem, *, shared: bool = False, tolerance: float = 1e-10) -> Array:
    """Fit one spectrum after another with `scipy.optimize.least_squares`; chi2, shape (spaxel,).

    All eight parameters are searched together, from the best amplitudes at the start.

    Parameters
    ----------
    problem : Problem
    shared : bool
        Evaluate the profile once for residuals and Jacobian, and keep the Jacobian until it is
        asked for; else each is a function of its own, as scipy takes them.
    tolerance : float
        ftol, xtol and gtol.
    """
    box = np.full((3 + problem.rest.size, 2), [-np.inf, np.inf])
    box[:2] = BOUNDS
    chi2 = np.empty(len(problem.data))
    for s, (y, noise) in enumerate(zip(problem.data, problem.noise, strict=True)):
        residuals, slopes = _functions(problem, y, noise, shared)
        rows = np.vstack([profile(problem, problem.start[s]), np.ones_like(y)])
        result = least_squares(
            residuals,
            np.r_[problem.start[s], np.linalg.solve(rows @ rows.T, rows @ y)],
            jac=slopes,  # pyright: ignore[reportArgumentType]  # scipy takes a callable
            bounds=(box[:, 0], box[:, 1]),
            x_scale=np.r_[10.0, 10.0, np.full(len(box) - 2, 0.05)],
            ftol=tolerance,
            xtol=tolerance,
            gtol=tolerance,
            max_nfev=200,
        )
        chi2[s] = 2 * result.cost
    return chi2


def _functions(
    problem: Problem, y: Array, noise: float, shared: bool
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Residuals and Jacobian of one spectrum."""
    jacobian = np.empty((y.size, 3 + problem.rest.size))

    def both(p: Array) -> Array:
        f, by_v, by_b = profiles(problem, p[:2])
        jacobian[:, 0], jacobian[:, 1] = p[2:-1] @ by_v, p[2:-1] @ by_b
        jacobian[:, 2:-1], jacobian[:, -1] = f.T, 1.0
        return (p[2:-1] @ f + p[-1] - y) / noise

    def residuals(p: Array) -> Array:
        return (p[2:-1] @ profile(problem, p[:2]) + p[-1] - y) / noise

    def slopes(p: Array) -> Array:
        if not shared:
            both(p)
        return jacobian / noise  # asked for only where residuals were asked for last

    return both if shared else residuals, slopes


def fit_numpy(problem: Problem) -> Array:
    """Fit batches by variable projection in plain numpy; chi2, shape (spaxel,)."""
    parts = [slice(s, s + _BLOCK) for s in range(0, len(problem.data), _BLOCK)]
    return np.concatenate([_fit_block(problem.part(rows)) for rows in parts])


def _fit_block(problem: Problem) -> Array:
    """Levenberg-Marquardt on the spectra that still gain; the equations of `kernels/varpro.py`."""
    theta, chi2 = problem.start.copy(), np.empty(len(problem.data))
    low, high = np.transpose(BOUNDS)
    active, damping = np.arange(len(theta)), np.full(len(theta), 1e-3)
    whitened = problem.data / problem.noise[:, None]
    chi2[:], g, H = _evaluate(problem, theta, whitened, problem.noise)
    for _ in range(40):
        lifted = H[active] * (1 + damping[active, None, None] * np.eye(2))
        step = np.linalg.solve(lifted, g[active][:, :, None])[:, :, 0]
        gain = (step * g[active]).sum(axis=1)
        done = gain < _GAIN
        chi2[active[done]] -= gain[done]
        active, step = active[~done], step[~done]
        if not active.size:
            break
        trial = np.clip(theta[active] + step, low, high)
        value, slope, bend = _evaluate(problem, trial, whitened[active], problem.noise[active])
        better = value <= chi2[active] + 1e-9
        rows = active[better]
        theta[rows], chi2[rows], g[rows], H[rows] = (
            part[better] for part in (trial, value, slope, bend)
        )
        damping[active] = np.where(better, damping[active] * 0.1, damping[active] * 10)
    return chi2


def _evaluate(
    problem: Problem, theta: Array, whitened: Array, noise: Array
) -> tuple[Array, Array, Array]:
    """Give chi2, shape (spaxel,), gradient (spaxel, 2) and Schur complement (spaxel, 2, 2)."""
    f, by_v, by_b = profiles(problem, theta)
    rows = np.concatenate([f, np.ones_like(f[:, :1])], axis=1) / noise[:, None, None]
    gram, right = rows @ rows.transpose(0, 2, 1), rows @ whitened[:, :, None]
    amplitude = np.linalg.solve(gram, right)
    chi2 = (whitened**2).sum(axis=1) - (right * amplitude).sum(axis=(1, 2))
    lines = amplitude[:, None, :-1, 0]
    M = np.concatenate([lines @ by_v, lines @ by_b], axis=1) / noise[:, None, None]
    S = rows @ M.transpose(0, 2, 1)
    g = M @ whitened[:, :, None] - S.transpose(0, 2, 1) @ amplitude
    H = M @ M.transpose(0, 2, 1) - S.transpose(0, 2, 1) @ np.linalg.solve(gram, S)
    return chi2, g[:, :, 0], H


def numba_engine(problem: Problem, threads: int) -> Callable[[], Array]:
    """Prepare the kernel of `stream-fit optical`; the function returned fits all and gives chi2.

    Parameters
    ----------
    problem : Problem
    threads : int
        Python threads that share the spectra; the compiled loop holds no lock.
    """
    rest: dict[str, float] = dict(zip(LINES, problem.rest.tolist(), strict=True))
    emission = tie(rest, shape=Shape.SINCGAUSS, wavenumber=True)
    continuum = Continuum((WINDOW,), 0)
    weight = np.repeat(1 / problem.noise[:, None], problem.axis.size, axis=1)

    def share(first: int) -> Array:
        rows = slice(first, first + _SHARE)
        data, start = problem.data[rows], problem.start[rows]
        width = np.full((len(data), len(LINES)), problem.width)
        return fit(
            data,
            weight[rows],
            emission,
            continuum,
            Geometry(problem.axis, np.ones(len(data)), width),
            start=(start[:, :1], start[:, 1:]),
            bounds=BOUNDS,
        ).chi2

    def run() -> Array:
        firsts = range(0, len(problem.data), _SHARE)
        if threads == 1:
            return np.concatenate([share(first) for first in firsts])
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(share, firsts)))

    return run
