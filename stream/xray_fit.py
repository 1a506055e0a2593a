"""The X-ray recipe of the stage `fit`: density, exact fit, posterior, evidence, one row a group.

The network reads the deconvolved spectrum and says where to start; the fit itself never sees that
spectrum, but the counts of all members on their native channels, through their own responses. The
posterior is sampled with the fit and the network's density as proposal. A group of which nothing
can be fitted keeps its row: NaN, with the reason in words.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.group_source import Group, GroupBatch, GroupMember
from ..io.xray_fit_columns import FitLayout, Quantity, fit_schema
from ..kernels.plasma import PlasmaTable
from ..kernels.response import ENERGY_EDGES
from ..kernels.xray_fit import ColumnPrior, Task, XrayFit, default_starts, fit
from ..kernels.xray_model import SourceModel
from ..kernels.xray_posterior import XrayPosterior, nested, sample
from ..models.xray_mdn import XrayNetwork
from .xray_density import PLASMAS, Density, Known, read_density
from .xray_fit_rows import arrays, fitted_row, refused_row
from .xray_fitted import Fitted
from .xray_group import Gathered, gather
from .xray_methods import Estimate, Method
from .xray_norms import Norms

Array = NDArray[np.float64]

_WORK_NBYTES = 64 << 20  # of a fit: blocks of photons, draws and folded counts


@dataclass(frozen=True, slots=True)
class Choices:
    """What is fitted, and how far.

    Parameters
    ----------
    model : SourceModel
    against : SourceModel or None
        Whose evidence is compared.
    bayes, refine : bool
    prior_width : float or None
        Of the network's density as a prior; None for the broad one.
    stacked : bool
        Whether groups have a stacked spectrum.
    tied : bool
        Whether members of a group have one norm.
    seed : int
    """

    model: SourceModel
    against: SourceModel | None = None
    bayes: bool = False
    refine: bool = False
    prior_width: float | None = None
    stacked: bool = False
    tied: bool = True
    seed: int = 0


class XrayFitRecipe:
    """Fits every group.

    Parameters
    ----------
    choices : Choices
    table : PlasmaTable
    method : Method
        That deconvolves all counts of a group at once.
    network : XrayNetwork or None
    told : dict
        What the table's metadata say: plasma table, prior, weights.
    """

    def __init__(
        self,
        choices: Choices,
        table: PlasmaTable,
        method: Method,
        network: XrayNetwork | None,
        told: dict[str, str],
    ) -> None:
        self.choices, self.table, self.method = choices, table, method
        # The network has learned from what the recurrent inference machine gives.
        usable = choices.model.name in PLASMAS and method.name == "rim"
        self.network = network if usable else None
        model = choices.model
        self.layout = FitLayout(
            tuple(Quantity(one.name, one.unit, one.meaning) for one in model.parameters),
            network=model.names if self.network is not None else (),
            bayes=choices.bayes,
            against=choices.against.name if choices.against else "",
            stacked=ENERGY_EDGES.size - 1 if choices.stacked else 0,
            tied=choices.tied,
        )
        self.schema = fit_schema(self.layout, ENERGY_EDGES, {"model": model.name, **told})

    @property
    def spaxel_work_nbytes(self) -> int:
        """Memory the fit of one group takes beside its batch."""
        return _WORK_NBYTES

    def prepare(self) -> None:
        """Nothing is compiled."""

    def fit(self, batch: GroupBatch) -> pa.RecordBatch:
        """Give one row for every group of a batch, in its order."""
        rows = [
            self._row(group, members, batch.key.start + place)
            for place, (group, members) in enumerate(zip(batch.groups, batch.members, strict=True))
        ]
        return arrays(rows, self.schema)

    def explain(self, gathered: Gathered, place: int) -> Fitted:
        """Fit one group; `place` among all groups seeds its draws."""
        choices, several = self.choices, len(gathered.members) > 1
        free, factors = self._unlike(gathered) if several else (None, None)
        used = None if choices.tied else factors
        estimate = stacked = None
        if choices.stacked or self.network is not None:
            estimate = gathered.estimate(self.method, used)
        if choices.stacked:
            stacked = gathered.stack(used)
        density = self._density(gathered, estimate)
        task = self.task(gathered, choices.model)
        found = self._fit(task, density, free if task.model.factors else None)
        norms = None if free is None else self._norms(gathered, found, free)
        fitted = Fitted(
            gathered,
            choices.model,
            estimate,
            stacked,
            density,
            found,
            norms=norms,
            tied=not task.model.factors,
        )
        return self._with_posterior(fitted, task, place) if choices.bayes else fitted

    def _unlike(self, gathered: Gathered) -> tuple[XrayFit, Array]:
        """Fit with a norm for each member; give the factors too, 1 for the first."""
        task = self._task(gathered, self.choices.model, tied=False)
        free = fit(task, default_starts(task))
        return free, np.append(1.0, free.values[task.model.own :])

    def _norms(self, gathered: Gathered, found: XrayFit, free: XrayFit) -> Norms:
        """Hold the fit with one norm against that with factors, each climbed on from the other."""
        own = self.choices.model.own
        if found.values.size == own:
            task = self._task(gathered, self.choices.model, tied=False)
            starts = np.stack([free.values, np.append(found.values, free.values[own:])])
            return Norms.of(found, fit(task, starts), own)
        task = self._task(gathered, self.choices.model, tied=True)
        starts = np.concatenate([found.values[None, :own], default_starts(task)])
        return Norms.of(fit(task, starts), found, own)

    def row_of(self, gathered: Gathered, place: int) -> dict[str, object]:
        """Give the columns of one group."""
        if gathered.reason:
            return refused_row(gathered, self.schema, self.choices.model)
        return fitted_row(self.explain(gathered, place), self.layout)

    def task(self, gathered: Gathered, model: SourceModel) -> Task:
        """Give what is to be fitted."""
        return self._task(gathered, model, tied=self.choices.tied)

    def _task(self, gathered: Gathered, model: SourceModel, *, tied: bool) -> Task:
        """Give it with one norm, or one for each member."""
        group = gathered.group
        model = model if tied else model.with_factors(len(gathered.members))
        column = None if group.nH is None else ColumnPrior(group.nH)
        return Task(gathered.members, model, self.table, group.redshift, column)

    def _row(self, group: Group, members: tuple[GroupMember, ...], place: int) -> dict[str, object]:
        """Fit a group, or say why that cannot be."""
        return self.row_of(gather(group, members), place)

    def _density(self, gathered: Gathered, estimate: Estimate | None) -> Density | None:
        """Ask the network."""
        if self.network is None or estimate is None:
            return None
        group = gathered.group
        column = ColumnPrior(np.nan, np.nan) if group.nH is None else ColumnPrior(group.nH)
        return read_density(
            self.network,
            estimate.log_flux,
            estimate.sigma,
            Known(gathered.counts, gathered.background, group.redshift, column.nH, column.sigma),
        )

    def _fit(self, task: Task, density: Density | None, near: XrayFit | None = None) -> XrayFit:
        """Fit from the network's means, from those of a grid, and from a fit made before."""
        starts = default_starts(task)
        if density is not None:
            means = density.starts(task.model)
            # Factors follow from the counts, whatever they start from.
            ones = np.ones((len(means), task.model.factors))
            starts = np.concatenate([np.column_stack([means, ones]), starts])
        if near is not None:
            starts = np.concatenate([near.values[None], starts])
        return fit(task, starts)

    def _with_posterior(self, fitted: Fitted, task: Task, place: int) -> Fitted:
        """Sample the posterior, and that of the other model."""
        posterior, refined = self._sample(task, fitted.fit, fitted.density, place)
        fitted = replace(fitted, posterior=posterior, refined=refined)
        if self.choices.against is None:
            return fitted
        other = self.task(fitted.gathered, self.choices.against)
        rival, _ = self._sample(other, self._fit(other, fitted.density), fitted.density, place)
        return replace(fitted, log_bayes_factor=posterior.log_evidence - rival.log_evidence)

    def _sample(
        self, task: Task, found: XrayFit, density: Density | None, place: int
    ) -> tuple[XrayPosterior, bool]:
        """Sample one posterior; again, by nested sampling, where that is asked for and needed."""
        choices = self.choices
        proposal = density.of(task.model) if density is not None else None
        if proposal is not None and task.model.factors:
            proposal = proposal.extended(found.coordinates, found.covariance)
        wide = choices.prior_width
        prior = proposal.widened(wide) if proposal is not None and wide is not None else None
        seed = int(np.random.SeedSequence([choices.seed, place]).generate_state(1)[0])
        posterior = sample(task, found, proposal=proposal, prior=prior, seed=seed)
        if not choices.refine or posterior.trusted:
            return posterior, False
        return nested(task, prior=prior, seed=seed), True
