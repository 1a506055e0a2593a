"""An independent fit of emission lines: plain numpy and scipy, one spectrum at a time.

Nothing of `streamfit.kernels` is used: profiles come from scipy's Faddeeva function, all parameters
are searched together by `scipy.optimize.least_squares` with an analytic Jacobian, and fixed flux
ratios enter with their full derivatives. Parameters are ordered v_1, b_1, v_2, b_2, ..., then the
free amplitudes, then the Legendre terms of each continuum window.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import OptimizeResult, least_squares
from scipy.special import erf, eval_legendre, wofz

C = 299792.458  # [km/s]
ROOT_PI = np.sqrt(np.pi)


@dataclass(frozen=True)
class Lines:
    """Lines on the axis of one spectrum.

    Parameters
    ----------
    coordinate : ndarray, shape (channel,)
        Wavenumbers or wavelengths.
    rest, width : ndarray, shape (line,)
        Rest coordinate; width of the sinc or standard deviation of the instrument's Gaussian.
    shape : {"gaussian", "sinc", "sincgauss"}
    wavenumber : bool
    group : sequence of int, one per line
        Kinematic group.
    fixed : mapping of line to (lead, ratio)
        The flux of a line is `ratio` times that of its lead, which is free.
    windows, degree
        A Legendre polynomial of this degree in each (low, high).
    """

    coordinate: np.ndarray
    rest: np.ndarray
    width: np.ndarray
    shape: str = "sincgauss"
    wavenumber: bool = True
    group: tuple[int, ...] = ()
    fixed: dict[int, tuple[int, float]] = field(default_factory=dict)
    windows: tuple[tuple[float, float], ...] = ()
    degree: int = 0

    @property
    def groups(self) -> np.ndarray:
        return np.array(self.group or [0] * len(self.rest))

    @property
    def leads(self) -> list[int]:
        return [k for k in range(len(self.rest)) if k not in self.fixed]

    def parameters(self) -> int:
        continuum = len(self.windows) * (self.degree + 1)
        return 2 * (self.groups.max() + 1) + len(self.leads) + continuum

    def continuum(self) -> np.ndarray:
        rows = []
        for low, high in self.windows:
            inside = (self.coordinate >= low) & (self.coordinate <= high)
            unit = 2 * (self.coordinate - low) / (high - low) - 1
            rows += [inside * eval_legendre(n, unit) for n in range(self.degree + 1)]
        return np.array(rows).reshape(-1, self.coordinate.size)

    def place(self, theta: np.ndarray) -> tuple[np.ndarray, ...]:
        """Centre and sigma of every line, d centre / dv, d sigma / dv, d sigma / db."""
        v, b = theta[2 * self.groups], theta[2 * self.groups + 1]
        if self.wavenumber:
            centre = self.rest / (1 + v / C)
            moved = -self.rest / (1 + v / C) ** 2 / C
        else:
            centre = self.rest * (1 + v / C)
            moved = self.rest / C
        return centre, b * centre / C, moved, b * moved / C, centre / C

    def profile(self, centre, sigma, width) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Profile of one line, peak one, and its derivatives by centre and sigma."""
        offset = self.coordinate - centre
        if self.shape == "gaussian":
            total = np.hypot(sigma, width)
            f = np.exp(-0.5 * (offset / total) ** 2)
            return f, f * offset / total**2, f * offset**2 / total**3 * sigma / total
        u = np.pi * offset / width
        if self.shape == "sinc":
            safe = np.where(np.abs(u) > 1e-3, u, 1.0)
            f = np.where(np.abs(u) > 1e-3, np.sin(safe) / safe, 1 - u**2 / 6)
            by_u = np.where(np.abs(u) > 1e-3, (np.cos(safe) - f) / safe, -u / 3)
            return f, -np.pi / width * by_u, np.zeros_like(f)
        a = np.pi * sigma / (np.sqrt(2) * width)
        f, by_u, by_a = sincgauss(u, a)
        return f, -np.pi / width * by_u, by_a * a / sigma

    def log_flux(self, centre, sigma) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log of the flux at peak one, up to a constant; derivatives by centre and sigma."""
        if self.shape == "gaussian":
            total = np.hypot(sigma, self.width)
            flux, by_sigma = np.log(total), sigma / total**2
        elif self.shape == "sinc":
            flux, by_sigma = np.log(self.width), np.zeros_like(sigma)
        else:
            a = np.pi * sigma / (np.sqrt(2) * self.width)
            flux = np.log(sigma / erf(a))
            by_sigma = (1 - 2 * a / ROOT_PI * np.exp(-a * a) / erf(a)) / sigma
        if not self.wavenumber:
            return flux, np.zeros_like(sigma), by_sigma
        return flux - 2 * np.log(centre), -2 / centre, by_sigma

    def evaluate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Model, shape (channel,), and Jacobian, shape (channel, parameter)."""
        count = 2 * (self.groups.max() + 1)
        centre, sigma, moved, widened, broadened = self.place(p[:count])
        flux, flux_c, flux_s = self.log_flux(centre, sigma)
        jacobian = np.zeros((self.coordinate.size, self.parameters()))
        for k, g in enumerate(self.groups):
            lead, ratio = self.fixed.get(k, (k, 1.0))
            column = count + self.leads.index(lead)
            f, by_centre, by_sigma = self.profile(centre[k], sigma[k], self.width[k])
            share = ratio * np.exp(flux[lead] - flux[k])
            slope = share * p[column]
            drift = flux_c * moved + flux_s * widened  # d log flux / dv of every line
            swell = flux_s * broadened
            by_v = by_centre * moved[k] + by_sigma * widened[k] + f * (drift[lead] - drift[k])
            by_b = by_sigma * broadened[k] + f * (swell[lead] - swell[k])
            jacobian[:, 2 * g] += slope * by_v
            jacobian[:, 2 * g + 1] += slope * by_b
            jacobian[:, column] += share * f
        terms = self.continuum()
        jacobian[:, jacobian.shape[1] - len(terms) :] = terms.T
        return jacobian[:, count:] @ p[count:], jacobian


def sincgauss(u: np.ndarray, a: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """I(u, a) / I(0, a) of I = int_0^1 exp(-a^2 t^2) cos(ut) dt; derivatives by u and a."""
    b = u / (2 * a)
    w = wofz(b + 1j * a)
    edge = np.exp(-a * a)
    whole = np.exp(-b * b) - edge * (np.cos(u) * w.real - np.sin(u) * w.imag)
    total = ROOT_PI / (2 * a) * whole
    norm = ROOT_PI / (2 * a) * erf(a)
    total_u = (edge * np.sin(u) - u * total) / (2 * a * a)
    total_a = (edge * np.cos(u) - total - u * total_u) / a
    norm_a = (edge - norm) / a
    f = total / norm
    return f, total_u / norm, (total_a - f * norm_a) / norm


def amplitudes(lines: Lines, theta: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Best linear parameters for given velocities and broadenings."""
    p = np.r_[theta, np.ones(lines.parameters() - len(theta))]
    rows = lines.evaluate(p)[1][:, len(theta) :]
    return np.linalg.lstsq(rows * weight[:, None], y * weight, rcond=None)[0]


def fit(
    lines: Lines,
    y: np.ndarray,
    weight: np.ndarray,
    theta: np.ndarray,
    bounds: tuple[tuple[float, float], tuple[float, float]],
) -> OptimizeResult:
    """Fit one spectrum from velocities and broadenings `theta`; `.x`, `.chi2`, `.covariance`.

    Channels of weight zero are left out. Amplitudes start at their best for `theta`.
    """
    good = weight > 0
    y, weight = np.where(good, y, 0.0), np.where(good, weight, 0.0)
    start = np.r_[theta, amplitudes(lines, theta, y, weight)]
    kept: dict[str, np.ndarray] = {}

    def residuals(p: np.ndarray) -> np.ndarray:
        model, jacobian = lines.evaluate(p)
        kept["jacobian"] = (jacobian * weight[:, None])[good]
        return ((model - y) * weight)[good]

    residuals(start)
    size = np.linalg.norm(kept["jacobian"], axis=0)
    box = np.array([*bounds] * (len(theta) // 2)).reshape(-1, 2)
    free = np.full(start.size - len(theta), np.inf)
    result = least_squares(
        residuals,
        start,
        jac=lambda p: (residuals(p), kept["jacobian"])[1],
        bounds=(np.r_[box[:, 0], -free], np.r_[box[:, 1], free]),
        x_scale=np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 1.0),
        ftol=1e-10,
        xtol=1e-10,
        gtol=1e-10,
        max_nfev=400,
    )
    residuals(result.x)
    result.chi2 = 2 * result.cost
    result.covariance = np.linalg.pinv(kept["jacobian"].T @ kept["jacobian"], hermitian=True)
    return result
