"""What became of a group of observations in the stage `fit`, and what is to be said of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.results import FitStatus
from ..kernels.stack import Stack
from ..kernels.xray_fit import Outcome, XrayFit
from ..kernels.xray_model import SourceModel
from ..kernels.xray_posterior import XrayPosterior
from .xray_density import Density
from .xray_group import Gathered
from .xray_methods import Estimate
from .xray_norms import FREE, TIED, Norms

Array = NDArray[np.float64]

POOR = 5.0
"""Standard deviations of the statistic above its mean from which a fit is called poor."""

APART = 1.5
"""Standard deviations, in the median, between stacked and joint spectrum from which it is told."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of a group.

    Parameters
    ----------
    gathered : Gathered
    model : SourceModel
    estimate : Estimate or None
        Its deconvolved spectrum, of all counts at once; None where it was not needed.
    stack : Stack or None
    density : Density or None
        Of the network.
    fit : XrayFit
    posterior : XrayPosterior or None
    refined : bool
        Whether the posterior is that of nested sampling.
    log_bayes_factor : float
    norms : Norms or None
        Of several members.
    tied : bool
        Whether the fit gives them one norm; else factors follow the model's parameters in `fit`
        and `posterior`.
    """

    gathered: Gathered
    model: SourceModel
    estimate: Estimate | None
    stack: Stack | None
    density: Density | None
    fit: XrayFit
    posterior: XrayPosterior | None = None
    refined: bool = False
    log_bayes_factor: float = float("nan")
    norms: Norms | None = None
    tied: bool = True

    @property
    def factors(self) -> Array | None:
        """What stack and joint spectrum are made with; None where members have one norm."""
        return None if self.tied or self.norms is None else self.norms.factors

    @property
    def z(self) -> float:
        """Standard deviations of the statistic above its mean."""
        found = self.fit
        return (
            (found.statistic - found.expected) / found.scatter
            if found.scatter > 0
            else float("nan")
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be left out or assumed, and what is odd."""
        found = self.gathered.notes
        if self.norms is not None:
            names = [one.name for one in self.gathered.observations]
            found += self.norms.notes(names, TIED if self.tied else FREE)
        if self.posterior is not None and not self.posterior.settled:
            found += ("rounds of the sampler disagree in the evidence; give --refine",)
        if self.stack is None or self.estimate is None or len(self.gathered.members) < 2:
            return found
        away = np.abs(self.stack.log_flux - self.estimate.log_flux)
        known = np.isfinite(away) & (self.stack.sigma > 0)
        if not known.any():
            return found
        apart = float(np.median(away[known] / self.stack.sigma[known]))
        if apart < APART:
            return found
        return (
            *found,
            f"the stacked spectrum lies {apart:.1f} of its standard deviations from that of all "
            "counts at once: members of few counts are drawn to what is expected of such; take "
            "joint_log_photon_flux",
        )

    @property
    def status(self) -> FitStatus:
        """What is to be said of it."""
        posterior, outcome = self.posterior, Outcome(self.fit.outcome)
        rough = posterior is not None and not self.refined and not posterior.trusted
        bits = (
            (FitStatus.NO_SIGNAL, not self.gathered.signal),
            (FitStatus.MDN_OUT_OF_RANGE, self.density is not None and not self.density.in_range),
            (FitStatus.SEEDS_DISAGREE, len(self.fit.rivals) > 0),
            (FitStatus.MAX_ITERATIONS, Outcome.MAX_ITERATIONS in outcome),
            (FitStatus.AT_BOUND, Outcome.AT_BOUND in outcome),
            (FitStatus.SINGULAR, Outcome.SINGULAR in outcome),
            (FitStatus.NO_DATA, Outcome.NO_DATA in outcome),
            (FitStatus.POOR_FIT, self.z > POOR),
            (FitStatus.POSTERIOR_ROUGH, rough),
        )
        return self.gathered.carried | FitStatus(sum(bit for bit, holds in bits if holds))
