"""Mixtures of Gaussians over any number of coordinates, a batch of them at once.

    p(x) = sum_k w_k N(x; m_k, C_k)

Marginal distributions, moments and the distribution conditional on some of the components are
exact. What the coordinates are is not known here. (`kernels/mixture.py` has the two coordinates of
an optical line, folded at zero.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

from .mixture import REACH, invert

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GaussianMixture:
    """One density for each row.

    Parameters
    ----------
    weights : ndarray, shape (n, component)
        Positive or zero, of sum one.
    mean : ndarray, shape (n, component, coordinate)
    covariance : ndarray, shape (n, component, coordinate, coordinate)
        Positive definite.

    Raises
    ------
    ValueError
        If shapes disagree.
    """

    weights: Array
    mean: Array
    covariance: Array

    def __post_init__(self) -> None:
        """Refuse shapes that disagree."""
        n, k = self.weights.shape
        p = self.mean.shape[-1]
        if self.mean.shape != (n, k, p) or self.covariance.shape != (n, k, p, p):
            raise ValueError(
                f"weights {self.weights.shape}, mean {self.mean.shape} and covariance "
                f"{self.covariance.shape} are not those of one mixture"
            )

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.weights)

    def part(self, rows: NDArray) -> "GaussianMixture":
        """Give some rows."""
        return GaussianMixture(self.weights[rows], self.mean[rows], self.covariance[rows])

    def marginal(self, coordinates: slice) -> "GaussianMixture":
        """Give the density over some coordinates, all others integrated out."""
        square = self.covariance[:, :, coordinates, coordinates]
        return GaussianMixture(self.weights, self.mean[:, :, coordinates], square)

    def given(self, components: slice) -> "GaussianMixture":
        """Give the density if the truth is known to be of some components."""
        weights = self.weights[:, components]
        # A row whose components have no weight at all keeps them even.
        total = weights.sum(axis=1, keepdims=True)
        safe = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1 / weights.shape[1])
        return GaussianMixture(safe, self.mean[:, components], self.covariance[:, components])

    def log_density(self, at: ArrayLike) -> Array:
        """Logarithm of the density.

        Parameters
        ----------
        at : array_like, shape (n, point, coordinate)

        Returns
        -------
        ndarray, shape (n, point)
        """
        away = np.asarray(at, np.float64)[:, :, None, :] - self.mean[:, None]
        factor = np.linalg.cholesky(self.covariance)
        inverse = np.linalg.inv(factor)
        scaled = np.einsum("nkij,npkj->npki", inverse, away)
        log_root = np.log(np.einsum("nkii->nki", factor)).sum(axis=2)
        with np.errstate(divide="ignore"):  # a component of no weight
            log_weight = np.log(self.weights)
        terms = (log_weight - log_root)[:, None] - 0.5 * np.square(scaled).sum(axis=3)
        constant = 0.5 * self.mean.shape[-1] * np.log(2 * np.pi)
        return np.asarray(logsumexp(terms, axis=2)) - constant

    def moments(self) -> tuple[Array, Array]:
        """Give means and standard deviations, each of shape (n, coordinate)."""
        weights = self.weights[:, :, None]
        mean = (weights * self.mean).sum(axis=1)
        variance = np.einsum("nkii->nki", self.covariance)
        spread = (weights * (variance + np.square(self.mean - mean[:, None]))).sum(axis=1)
        return mean, np.sqrt(spread)

    def cdf(self, at: ArrayLike) -> Array:
        """Probability of each coordinate to lie below a point.

        Parameters
        ----------
        at : array_like, shape (n, coordinate)

        Returns
        -------
        ndarray, shape (n, coordinate)
        """
        sigma = np.sqrt(np.einsum("nkii->nki", self.covariance))
        below = ndtr((np.asarray(at, np.float64)[:, None] - self.mean) / sigma)
        return (self.weights[:, :, None] * below).sum(axis=1)

    def quantile(self, probability: float) -> Array:
        """Point below which this part of the probability lies, shape (n, coordinate)."""
        reach = REACH * np.sqrt(np.einsum("nkii->nki", self.covariance))
        low, high = (self.mean - reach).min(axis=1), (self.mean + reach).max(axis=1)
        return invert(self.cdf, probability, low, high)
