"""The engines that `bench fit` holds the kernels against: scipy, and numpy in batches.

scipy takes one spectrum at a time and searches all its parameters, as `scipy.optimize` is used;
numpy takes batches and projects the linear ones out, as `kernels/varpro.py` does.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from .bench_problem import BOUNDS, Problem, profile, profiles

Array = NDArray[np.float64]

_GAIN = 5e-4  # in chi2: the numpy engine ends where the kernel does
_BLOCK = 64  # spectra the numpy engine holds at once: their profiles fit a core's cache


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
    for s, y in enumerate(problem.data):
        residuals, slopes = _functions(problem, s, shared)
        rows = np.vstack([profile(problem, problem.start[s], problem.width[s]), np.ones_like(y)])
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
    problem: Problem, spaxel: int, shared: bool
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Residuals and Jacobian of one spectrum."""
    y, noise, width = problem.data[spaxel], problem.noise[spaxel], problem.width[spaxel]
    jacobian = np.empty((y.size, 3 + problem.rest.size))

    def both(p: Array) -> Array:
        f, by_v, by_b = profiles(problem, p[:2], width)
        jacobian[:, 0], jacobian[:, 1] = p[2:-1] @ by_v, p[2:-1] @ by_b
        jacobian[:, 2:-1], jacobian[:, -1] = f.T, 1.0
        return (p[2:-1] @ f + p[-1] - y) / noise

    def residuals(p: Array) -> Array:
        return (p[2:-1] @ profile(problem, p[:2], width) + p[-1] - y) / noise

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
    chi2[:], g, H = _evaluate(problem, active, theta, whitened)
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
        value, slope, bend = _evaluate(problem, active, trial, whitened[active])
        better = value <= chi2[active] + 1e-9
        rows = active[better]
        theta[rows], chi2[rows], g[rows], H[rows] = (
            part[better] for part in (trial, value, slope, bend)
        )
        damping[active] = np.where(better, damping[active] * 0.1, damping[active] * 10)
    return chi2


def _evaluate(
    problem: Problem, spaxels: NDArray[np.intp], theta: Array, whitened: Array
) -> tuple[Array, Array, Array]:
    """Give chi2, shape (spaxel,), gradient (spaxel, 2) and Schur complement (spaxel, 2, 2)."""
    noise = problem.noise[spaxels]
    f, by_v, by_b = profiles(problem, theta, problem.width[spaxels])
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
