"""The ways to deconvolve: the network, and the classical ones beside it.

Each takes the observations of a batch on the working grid. Bands come from the network, whose
scatter is calibrated, and from the penalised Poisson fit, whose curvature gives them if its prior
of smooth spectra is true; the others have none: their sigma is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.unfold import (
    Problem,
    Unfolded,
    isis,
    pseudo_inverse,
    richardson_lucy,
    tikhonov,
)
from ..kernels.unfold_map import penalised_map
from ..models.deconvolver import Deconvolver

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An intrinsic spectrum.

    Parameters
    ----------
    flux : ndarray, shape (energy,)
        [photons/cm2/s/keV]; the plain inverse and the ISIS estimate may be negative.
    sigma : ndarray, shape (energy,)
        Standard deviation of ln flux; NaN where the method has none.
    in_range : bool
        Whether the method is known to hold for such an observation.
    converged : bool
    freedom : float
        Parameters that follow the counts, as of `kernels.refold.Refold`.
    """

    flux: Array
    sigma: Array
    in_range: bool = True
    converged: bool = True
    freedom: float = 0.0

    @classmethod
    def nothing(cls, energies: int) -> "Estimate":
        """Give the estimate of an observation without counts."""
        return cls(*np.full((2, energies), np.nan), in_range=False)

    @property
    def known(self) -> bool:
        """Whether there is a flux at any energy."""
        return bool(np.isfinite(self.flux).any())

    @property
    def log_flux(self) -> Array:
        """Logarithm of the flux, NaN where it is not positive, shape (energy,)."""
        positive = self.flux > 0
        return np.log(self.flux, out=np.full(self.flux.shape, np.nan), where=positive)


class Method(Protocol):
    """What the recipe asks of a method."""

    @property
    def name(self) -> str:
        """As `--method` has it."""
        ...

    @property
    def about(self) -> str:
        """What it is, for the heading and the table's metadata."""
        ...

    @property
    def provider(self) -> str:
        """What computes it, for the manifest."""
        ...

    @property
    def weights(self) -> str:
        """Digest of the network's weights; "" where there are none."""
        ...

    def estimates(self, problems: Sequence[Problem]) -> list[Estimate]:
        """Deconvolve; no problem's estimate depends on the others."""
        ...


UNFOLDERS: Mapping[str, tuple[str, Callable[[Problem], Unfolded]]] = {
    "map": ("penalised Poisson fit of ln flux", penalised_map),
    "richardson-lucy": ("Richardson-Lucy, stopped at the expected statistic", richardson_lucy),
    "tikhonov": ("non-negative least squares with Tikhonov's penalty", tikhonov),
    "isis": ("counts over the summed response, as ISIS does", isis),
    "inverse": ("pseudo-inverse of the response", pseudo_inverse),
}


@dataclass(frozen=True, slots=True)
class Unfolder:
    """A classical method, one observation after the other."""

    name: str
    weights: str = ""

    @property
    def about(self) -> str:
        """What it is."""
        return UNFOLDERS[self.name][0]

    @property
    def provider(self) -> str:
        """What computes it."""
        return "numpy on cpu"

    def estimates(self, problems: Sequence[Problem]) -> list[Estimate]:
        """Deconvolve."""
        unfold = UNFOLDERS[self.name][1]
        return [_estimate(unfold(problem)) for problem in problems]


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network behind the same call."""

    deconvolver: Deconvolver
    device: str = "cpu"
    name: str = "rim"
    weights: str = ""

    @property
    def about(self) -> str:
        """What it is."""
        return "recurrent inference machine"

    @property
    def provider(self) -> str:
        """What computes it."""
        return f"onnxruntime on {self.device}"

    def estimates(self, problems: Sequence[Problem]) -> list[Estimate]:
        """Deconvolve, all at once."""
        if not problems:
            return []
        counts, background = (
            np.stack([getattr(problem, name) for problem in problems])
            for name in ("counts", "background")
        )
        response = np.stack([problem.matrix for problem in problems])
        found = self.deconvolver.deconvolve(counts, response, background)
        return [
            Estimate(np.exp(log_flux), sigma, bool(in_range), freedom=float(freedom))
            for log_flux, sigma, in_range, freedom in zip(
                found.log_flux.astype(np.float64),
                found.log_flux_sigma.astype(np.float64),
                found.in_range,
                found.freedom,
                strict=True,
            )
        ]


def choose_method(name: str, device: str) -> Method:
    """Open a method.

    Parameters
    ----------
    name : str
        "rim" or a key of `UNFOLDERS`.
    device : str
        Where the network runs: "cpu" or "cuda:0".

    Raises
    ------
    CardError
        If the network's files are not there or not those of its card.
    """
    if name in UNFOLDERS:
        return Unfolder(name)
    from ..models.rim import Rim

    network = Rim(device)
    return Network(network, device, weights=network.card.sha256)


def _estimate(found: Unfolded) -> Estimate:
    """Put what a kernel gives into an estimate."""
    sigma = np.full(found.flux.shape, np.nan) if found.sigma is None else found.sigma
    return Estimate(found.flux, sigma, converged=found.converged, freedom=found.freedom)
