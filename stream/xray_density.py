"""What the network says of a deconvolved spectrum, in the words of the source model to be fitted.

It knows one plasma and two. Its components are starts of the fit and a proposal of the sampler; a
prior only with their standard deviations widened, since the network has seen the counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..kernels.xray_model import SourceModel, to_values
from ..kernels.xray_posterior import Proposal
from ..models.card import CardError
from ..models.xray_mdn import GRAPH, XrayNetwork

Array = NDArray[np.float64]

PLASMAS = {"apec1": 1, "apec2": 2}
"""Models the network knows, and how many plasmas they have."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a source beside its spectrum.

    Parameters
    ----------
    counts, background : float
        Of 0.5 to 7 keV; expected of the background.
    redshift : float
    nH, sigma : float
        Galactic column [1e22 cm-2] and the standard deviation of its logarithm; NaN where free.
    """

    counts: float
    background: float
    redshift: float
    nH: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Density:
    """The network's density of one source.

    Parameters
    ----------
    mixtures : dict
        For one plasma and for two.
    second : float
        Probability of a second plasma.
    in_range : bool
        Whether the network was trained on such observations.
    """

    mixtures: dict[int, Proposal]
    second: float
    in_range: bool

    def of(self, model: SourceModel) -> Proposal | None:
        """Give the mixture over a model's coordinates; None where it is not known or not meant."""
        return self.mixtures.get(PLASMAS.get(model.name, 0)) if self.in_range else None

    def starts(self, model: SourceModel) -> Array:
        """Give the means of the components, the likeliest first, shape (start, parameter)."""
        found = self.of(model)
        if found is None:
            return np.empty((0, len(model.parameters)))
        return to_values(model, found.mean[np.argsort(-found.weights, kind="stable")])


def open_network(device: str, *, required: bool) -> XrayNetwork | None:
    """Open the network of plasma parameters; None where it is not shipped and not required.

    Raises
    ------
    InputError
        If its files are not there though required, or are not those of its card.
    """
    if not GRAPH.is_file() and not required:
        return None
    try:
        return XrayNetwork(device)
    except CardError as error:
        raise InputError(
            f"the network of plasma parameters cannot be used: {error}, or give --prior flat"
        ) from error


def read_density(network: XrayNetwork, log_flux: Array, sigma: Array, known: Known) -> Density:
    """Ask the network about one spectrum.

    Parameters
    ----------
    network : XrayNetwork
    log_flux, sigma : ndarray, shape (energy,)
        As the recurrent inference machine deconvolved it.
    known : Known
    """
    told = {
        "counts": np.array([known.counts]),
        "background": np.array([known.background]),
        "redshift": np.array([known.redshift]),
        "column": np.log([known.nH]),
        "column_sigma": np.array([known.sigma]),
    }
    spectrum = log_flux[None], sigma[None]
    found = network.density(*spectrum, **told)
    usable = not bool(network.out_of_range(*spectrum, **told)[0])
    mixtures = {
        plasmas: Proposal(one.weights[0], one.mean[0], one.covariance[0])
        for plasmas, one in ((1, found.one), (2, found.two))
    }
    finite = all(np.isfinite(one.mean).all() for one in mixtures.values())
    return Density(mixtures, float(found.second[0]), usable and finite)


def centre(model: SourceModel, found: Proposal) -> tuple[Array, Array]:
    """Give the centre of a mixture and its standard deviation, in values, shape (parameter,).

    Of a parameter whose coordinate is the logarithm the centre is exp of the mean logarithm, and
    the deviation that of the logarithm times the centre.
    """
    mean = found.weights @ found.mean
    second = np.einsum("kii->ki", found.covariance) + np.square(found.mean)
    deviation = np.sqrt(np.maximum(found.weights @ second - np.square(mean), 0.0))
    values = to_values(model, mean)
    logarithmic = np.array([one.logarithmic for one in model.parameters])
    return values, np.where(logarithmic, values * deviation, deviation)
