"""Fits of X-ray spectra with XSPEC's own models and scipy, to hold ours against.

Nothing of our plasma table, folding or search is used: photons come from the models of XSPEC's
library (mekal, powerlaw, tbabs, phabs) on the energy bins of the response itself, and the Cash or W
statistic, the sum of the squares of deviance residuals, is brought to its least by
`scipy.optimize.least_squares`. Errors are from the slopes of those residuals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import kl_div

from ..kernels.likelihood import background_in_source
from ..kernels.xray_fit import Member
from .xspec_library import XspecLibrary

Array = NDArray[np.float64]

_LEAST_ENERGY = 1e-3  # keV; XSPEC takes no edge at zero
_NOTHING = 1e-9  # counts


@dataclass(frozen=True, slots=True)
class XspecFit:
    """A fit in the order of the parameters of `kernels.xray_model`."""

    values: Array
    errors: Array
    statistic: float
    evaluations: int


class XspecFitter:
    """Fits ``tbabs * mekal`` or ``tbabs * powerlaw``.

    Parameters
    ----------
    library : XspecLibrary
    absorber : {"tbabs", "phabs"}
        Abundances are those of the table shipped for tbabs (wilm), and angr for phabs.
    """

    def __init__(
        self, library: XspecLibrary, absorber: Literal["tbabs", "phabs"] = "tbabs"
    ) -> None:
        self.library, self.absorber = library, absorber

    def fit(self, member: Member, model: str, start: Array, *, redshift: float = 0.0) -> XspecFit:
        """Fit one observation.

        Parameters
        ----------
        member : Member
        model : {"apec1", "powerlaw"}
            In our words; the plasma is MEKAL.
        start : ndarray, shape (parameter,)
            Values, all but the index positive.
        redshift : float

        Returns
        -------
        XspecFit
        """
        edges = np.maximum(member.energy_edges, _LEAST_ENERGY)
        photons = self._source(edges, model, redshift)
        kinds = np.array(_KINDS[model])
        plain = kinds != "log"
        least = np.where(kinds == "line", 0.0, -np.inf)  # abundance and column

        def values(point: Array) -> Array:
            return np.where(plain, point, np.exp(np.where(plain, 0.0, point)))

        def residuals(point: Array) -> Array:
            return deviance(member, member.matrix @ photons(values(point)))

        begin = np.where(plain, start, np.log(np.where(plain, 1.0, start)))
        found = least_squares(
            residuals, begin, bounds=(least, np.inf), diff_step=3e-3, x_scale="jac", xtol=1e-8
        )
        sigma = np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac)))
        best = values(found.x)
        return XspecFit(best, np.where(plain, sigma, best * sigma), 2.0 * found.cost, found.nfev)

    def _source(self, edges: Array, model: str, redshift: float) -> Callable[[Array], Array]:
        """Give photons of values on the energy bins."""
        # Absorption is exp(-nH sigma): one column tells sigma, with the abundances it is to have.
        library, thin = self.library, 1e-2
        library.abundances("wilm" if self.absorber == "tbabs" else "angr")
        depth = -np.log(np.maximum(getattr(library, self.absorber)(edges, thin), 1e-300)) / thin
        library.abundances("angr")
        if model == "powerlaw":
            return lambda v: v[2] * library.powerlaw(edges, v[0]) * np.exp(-v[1] * depth)
        return lambda v: v[3] * library.mekal(edges, v[0], v[1], redshift) * np.exp(-v[2] * depth)


_KINDS = {"apec1": ("log", "line", "line", "log"), "powerlaw": ("free", "line", "log")}


def deviance(member: Member, source: Array) -> Array:
    """Give signed roots of the statistic of each channel, shape (channel,)."""
    source = np.maximum(source, _NOTHING)
    known = np.zeros(source.size) if member.known is None else member.known
    beside, scale = member.background, member.scale
    other = 0.0
    if beside is not None and scale is not None:
        known = background_in_source(member.counts, source, beside, scale)
        other = kl_div(beside, known / scale)
    total = source + known
    square = 2.0 * (kl_div(member.counts, total) + other)
    return np.sign(total - member.counts) * np.sqrt(np.maximum(square, 1e-24))
