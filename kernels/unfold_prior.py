"""Poisson fit of ln flux under a Gaussian prior that was learned from many spectra.

Spectra of nature are few among all smooth ones. With the mean mu and the leading eigenvectors Phi
of the covariance of ln x over simulated spectra, each scaled by the root of its eigenvalue,

    x = c exp(mu + Phi z),   z ~ N(0, 1),   m = A x + b,

the likeliest z of counts n is found by Fisher scoring (Rodgers 2000, Inverse Methods for
Atmospheric Sounding, eq. 5.8, with the Poisson information in place of the Gaussian one):

    B = A diag(x) Phi,  g = B^T (n / m - 1) - z,  H = 1 + B^T diag(1 / m) B,  z <- z + H^-1 g.

Of the z as many follow the counts as the trace of the influence matrix B H^-1 B^T diag(1 / m),
which is that of 1 - H^-1.

The level c gives as many counts as were observed. H^-1 is the covariance of z, and Phi H^-1 Phi^T
that of ln x, as far as the prior is Gaussian. A batch is solved at once, a fixed number of steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_STEEPEST = 2.0  # ln flux changes by no more in one step
_FAINTEST = 1e-9  # counts expected in a bin, under which it is not divided by
_FEWEST = 10.0  # counts the level is set from


@dataclass(frozen=True, slots=True)
class SpectralPrior:
    """What spectra are expected to look like.

    Parameters
    ----------
    mean : ndarray, shape (energy,)
        Of ln x, but for a constant.
    basis : ndarray, shape (energy, component)
        Eigenvectors times the roots of their eigenvalues.
    """

    mean: Array
    basis: Array

    def __post_init__(self) -> None:
        """Refuse shapes that disagree."""
        if self.basis.ndim != 2 or self.basis.shape[0] != self.mean.size:
            raise ValueError(f"mean has shape {self.mean.shape}, the basis {self.basis.shape}")


@dataclass(frozen=True, slots=True)
class PriorFit:
    """The likeliest spectra of a batch.

    Parameters
    ----------
    log_flux : ndarray, shape (..., energy)
        ln x.
    level : ndarray, shape (...)
        ln c.
    covariance : ndarray, shape (..., component, component)
        H^-1.
    """

    log_flux: Array
    level: Array
    covariance: Array

    @property
    def freedom(self) -> Array:
        """Parameters that follow the counts, tr(1 - H^-1), shape (...)."""
        components = self.covariance.shape[-1]
        return components - np.trace(self.covariance, axis1=-2, axis2=-1)

    def sigma(self, prior: SpectralPrior) -> Array:
        """Give the standard deviation of ln x, shape (..., energy)."""
        return np.sqrt(
            np.einsum("ek,...ek->...e", prior.basis, np.matmul(prior.basis, self.covariance))
        )


def fit_prior(
    prior: SpectralPrior, counts: Array, matrix: Array, background: Array, *, steps: int = 6
) -> PriorFit:
    """Find the likeliest spectra.

    Parameters
    ----------
    prior : SpectralPrior
    counts, background : ndarray, shape (..., detector)
    matrix : ndarray, shape (..., detector, energy)
    steps : int

    Returns
    -------
    PriorFit
    """
    kind = prior.basis.dtype
    shape = np.exp(prior.mean)
    left = np.maximum((counts - background).sum(axis=-1), _FEWEST)
    level = np.log(left / np.matmul(matrix, shape).sum(axis=-1)).astype(kind)
    z = np.zeros((*counts.shape[:-1], prior.basis.shape[1]), kind)
    eye = np.eye(prior.basis.shape[1], dtype=kind)
    centre = prior.mean + level[..., None]
    covariance = np.broadcast_to(eye, (*z.shape, eye.shape[0]))
    for _ in range(steps):
        flux = np.exp(centre + z @ prior.basis.T)
        model = np.matmul(matrix, flux[..., None])[..., 0] + background
        inverse = 1.0 / np.maximum(model, kind.type(_FAINTEST))
        slope = np.matmul(matrix, flux[..., None] * prior.basis)
        gradient = np.matmul((counts * inverse - 1.0)[..., None, :], slope)[..., 0, :] - z
        half = slope * np.sqrt(inverse)[..., None]
        covariance = np.linalg.inv(np.matmul(half.swapaxes(-1, -2), half) + eye)
        change = np.matmul(covariance, gradient[..., None])[..., 0]
        steepest = np.abs(change @ prior.basis.T).max(axis=-1, keepdims=True)
        z = z + change * np.minimum(1.0, _STEEPEST / np.maximum(steepest, 1e-12)).astype(kind)
    return PriorFit(centre + z @ prior.basis.T, level, covariance)
