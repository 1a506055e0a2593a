"""What turns counts into an intrinsic spectrum with bands, whichever method does it.

On the working grid of `kernels.response` counts n of an observation expect ``m = A x + b``: A holds
exposure and area, b is the background expected. A deconvolver takes a batch of (n, A, b) and gives
ln x with its standard deviation.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Deconvolved:
    """Intrinsic spectra of a batch.

    Parameters
    ----------
    log_flux : ndarray, shape (observation, energy)
        ln of the photon flux density x [photons/cm2/s/keV].
    log_flux_sigma : ndarray, shape (observation, energy)
        Its standard deviation: 68 % of truths lie within one of it, 95 % within two.
    in_range : ndarray of bool, shape (observation,)
        Whether the observation is like those the method is known to hold for.
    freedom : ndarray, shape (observation,)
        By how much the Cash statistic of the refolded spectrum is expected to be lower than that of
        the true one: the parameters that follow the counts.
    """

    log_flux: Array
    log_flux_sigma: Array
    in_range: NDArray[np.bool_]
    freedom: Array

    def __post_init__(self) -> None:
        """Refuse shapes that disagree."""
        shape = self.log_flux.shape
        found = self.log_flux_sigma.shape, self.in_range.shape, self.freedom.shape
        if found != (shape, shape[:1], shape[:1]):
            raise ValueError(f"log_flux has shape {shape}; sigma, in_range and freedom {found}")

    def __len__(self) -> int:
        """Count the observations."""
        return self.log_flux.shape[0]


class Deconvolver(Protocol):
    """Anything that deconvolves batches."""

    def deconvolve(self, counts: Array, response: Array, background: Array) -> Deconvolved:
        """Give the intrinsic spectra of a batch.

        Parameters
        ----------
        counts : ndarray, shape (observation, detector)
            Poisson counts of the detector bins.
        response : ndarray, shape (observation, detector, energy)
            A of `kernels.response.working_matrix`, float32 or float64.
        background : ndarray, shape (observation, detector)
            Counts expected that are not of the source.

        Returns
        -------
        Deconvolved
            Rows do not depend on the others of the batch. Where nothing can be said, as without
            counts or response, a row is NaN and not in range.
        """
        ...
