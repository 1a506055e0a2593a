"""Densities over velocity and broadening as mixtures of Gaussians, folded at zero broadening.

A line's profile depends on the square of its broadening, so a likelihood is the same for b and -b
and level at zero. A Gaussian component N over (v, b) on the whole plane is therefore folded,

    p(v, b) = sum_k w_k [N_k(v, b) + N_k(v, -b)],   b >= 0,

which is normalised on the half plane and level at zero whatever the component. Everything is in
km/s; moments, marginal distributions and draws are exact. What a network or a posterior puts into
the components is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

Array = NDArray[np.float64]

_SWEEPS = 60  # of bisection: 1e-16 of the bracket
REACH = 12.0
"""Standard deviations that bracket any quantile wanted."""


class Moments(NamedTuple):
    """Means and standard deviations, each of shape (spaxel,) [km/s]."""

    velocity: Array
    velocity_sigma: Array
    broadening: Array
    broadening_sigma: Array


@dataclass(frozen=True, slots=True)
class Mixture:
    """Density over (velocity, broadening) of each spaxel.

    Parameters
    ----------
    weights : ndarray, shape (spaxel, component)
        Positive or zero, of sum one.
    mean : ndarray, shape (spaxel, component, 2)
        Velocity and broadening before folding; the latter may be negative [km/s].
    covariance : ndarray, shape (spaxel, component, 2, 2)
        Positive definite, before folding [km2/s2].

    Raises
    ------
    ValueError
        If shapes disagree.
    """

    weights: Array
    mean: Array
    covariance: Array

    def __post_init__(self) -> None:
        """Check shapes."""
        n, k = self.weights.shape
        if self.mean.shape != (n, k, 2) or self.covariance.shape != (n, k, 2, 2):
            raise ValueError(
                f"weights {self.weights.shape}, mean {self.mean.shape} and covariance "
                f"{self.covariance.shape} are not those of one mixture"
            )

    def __len__(self) -> int:
        """Count the spaxels."""
        return len(self.weights)

    def part(self, rows: NDArray) -> "Mixture":
        """Give some spaxels."""
        return Mixture(self.weights[rows], self.mean[rows], self.covariance[rows])

    def widened(self, factor: float) -> "Mixture":
        """Multiply every component's standard deviations by `factor`."""
        return Mixture(self.weights, self.mean, self.covariance * factor**2)

    def log_density(self, velocity: ArrayLike, broadening: ArrayLike) -> Array:
        """Logarithm of the density.

        Parameters
        ----------
        velocity, broadening : array_like, shape (spaxel, point)
            Where [km/s]; broadening at least zero.

        Returns
        -------
        ndarray, shape (spaxel, point)
            Per (km/s)^2.
        """
        v, b = np.broadcast_arrays(
            np.asarray(velocity, dtype=np.float64), np.asarray(broadening, dtype=np.float64)
        )
        terms = np.concatenate([self._log_terms(v, b), self._log_terms(v, -b)], axis=-1)
        return np.asarray(logsumexp(terms, axis=-1))

    def _log_terms(self, v: Array, b: Array) -> Array:
        """Logarithm of every component before folding, shape (spaxel, point, component)."""
        s_v, s_b, r = (x[:, None, :] for x in self._scales())
        z_v = (v[:, :, None] - self.mean[:, None, :, 0]) / s_v
        z_b = (b[:, :, None] - self.mean[:, None, :, 1]) / s_b
        left = 1.0 - r * r
        with np.errstate(divide="ignore"):  # a component of no weight
            log_weight = np.log(self.weights)[:, None, :]
        square = (z_v * z_v - 2 * r * z_v * z_b + z_b * z_b) / left
        return log_weight - 0.5 * square - np.log(2 * np.pi * s_v * s_b * np.sqrt(left))

    def _scales(self) -> tuple[Array, Array, Array]:
        """Give deviations and correlation of every component, shape (spaxel, component)."""
        s_v = np.sqrt(self.covariance[:, :, 0, 0])
        s_b = np.sqrt(self.covariance[:, :, 1, 1])
        return s_v, s_b, self.covariance[:, :, 0, 1] / (s_v * s_b)

    def moments(self) -> Moments:
        """Means and standard deviations of the folded density.

        Notes
        -----
        A folded Gaussian has the mean m (1 - 2 ndtr(-m/s)) + s sqrt(2/pi) exp(-m^2 / 2s^2) and the
        mean square m^2 + s^2 (Leone, Nelson & Nottingham 1961, Technometrics 3, 543).
        """
        w, (v, b) = self.weights, np.moveaxis(self.mean, -1, 0)
        mean = (w * v).sum(axis=1)
        around = np.square(v - mean[:, None]) + self.covariance[:, :, 0, 0]
        variance = self.covariance[:, :, 1, 1]
        s = np.sqrt(variance)
        folded = b * (1 - 2 * ndtr(-b / s))
        folded += s * np.sqrt(2 / np.pi) * np.exp(-0.5 * np.square(b / s))
        width = (w * folded).sum(axis=1)
        spread = variance + b * b - np.square(folded)  # of each component
        within = np.maximum(spread, 0.0) + np.square(folded - width[:, None])
        return Moments(
            mean, np.sqrt((w * around).sum(axis=1)), width, np.sqrt((w * within).sum(axis=1))
        )

    def velocity_cdf(self, velocity: ArrayLike) -> Array:
        """Probability of a velocity below the one given, shape (spaxel,)."""
        s_v = np.sqrt(self.covariance[:, :, 0, 0])
        below = ndtr((np.asarray(velocity)[:, None] - self.mean[:, :, 0]) / s_v)
        return (self.weights * below).sum(axis=1)

    def broadening_cdf(self, broadening: ArrayLike) -> Array:
        """Probability of a broadening below the one given, shape (spaxel,)."""
        s_b, b = np.sqrt(self.covariance[:, :, 1, 1]), np.asarray(broadening)[:, None]
        m = self.mean[:, :, 1]
        below = np.where(b > 0, ndtr((b - m) / s_b) - ndtr((-b - m) / s_b), 0.0)
        return (self.weights * below).sum(axis=1)

    def velocity_quantile(self, probability: float) -> Array:
        """Velocity below which this share of the probability lies, shape (spaxel,)."""
        reach = REACH * np.sqrt(self.covariance[:, :, 0, 0])
        low = (self.mean[:, :, 0] - reach).min(axis=1)
        high = (self.mean[:, :, 0] + reach).max(axis=1)
        return invert(self.velocity_cdf, probability, low, high)

    def broadening_quantile(self, probability: float) -> Array:
        """Broadening below which this share of the probability lies, shape (spaxel,)."""
        reach = REACH * np.sqrt(self.covariance[:, :, 1, 1])
        high = (np.abs(self.mean[:, :, 1]) + reach).max(axis=1)
        return invert(self.broadening_cdf, probability, np.zeros_like(high), high)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Draw independent points, shape (spaxel, count, 2)."""
        spaxels = len(self)
        cumulative = np.cumsum(self.weights, axis=1)
        uniform = generator.uniform(size=(spaxels, count)) * cumulative[:, -1:]
        chosen = (uniform[:, :, None] > cumulative[:, None, :-1]).sum(axis=2)
        row = np.arange(spaxels)[:, None]
        factor = np.linalg.cholesky(self.covariance)[row, chosen]
        normal = generator.standard_normal((spaxels, count, 2))
        points = self.mean[row, chosen] + (factor @ normal[..., None])[..., 0]
        points[..., 1] = np.abs(points[..., 1])
        return points


def invert(cdf: Callable[[Array], Array], probability: float, low: Array, high: Array) -> Array:
    """Find by bisection where rising functions reach a value.

    Parameters
    ----------
    cdf : callable
        Gives the functions' values, each at a point of its own; shape of `low`.
    probability : float
        Wanted of all.
    low, high : ndarray
        Brackets.

    Returns
    -------
    ndarray, shape of `low`
    """
    for _ in range(_SWEEPS):
        middle = 0.5 * (low + high)
        below = cdf(middle) < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
