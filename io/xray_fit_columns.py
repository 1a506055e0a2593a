"""What the table of fitted X-ray sources says: one declaration per column.

A row is a group of observations that are taken to be of one source; without stacking each is a
group of its own. The columns kT, abundance, nH and norm are there whatever the model, NaN where it
has no such parameter. Lists of the stacked spectrum have the grid of the stage `deconvolve`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .results import STATUS_TEXT, Column, FitStatus, arrow_schema
from .xray_columns import ENERGY_EDGES

XRAY_FIT_STATUS_TEXT: Mapping[FitStatus, str] = {
    **STATUS_TEXT,
    FitStatus.NO_DATA: "nothing was fitted; the column reason says why",
    FitStatus.NONFINITE: "channels of bad quality were left out; the others were used",
    FitStatus.NO_SIGNAL: "no more counts than the background gives by chance: the values are "
    "limits",
    FitStatus.MDN_OUT_OF_RANGE: "outside what the network was trained on; its columns are not used",
    FitStatus.SEEDS_DISAGREE: "another minimum is nearly as deep: other values are possible",
    FitStatus.AT_BOUND: "a parameter ends on the range of its prior: its value is a limit",
    FitStatus.SINGULAR: "the counts do not tell some parameter: its error is that of the prior",
    FitStatus.POOR_FIT: "the statistic is far above its expectation: another --model may do better",
    FitStatus.POSTERIOR_ROUGH: "k_hat is above 0.7: the post_* columns are rough; --refine samples "
    "such rows anew",
}
"""What the bits mean of a fitted row."""

_QUANTILES = {"q16": "15.87 %", "q50": "50 %", "q84": "84.13 %"}
_ALWAYS = (
    ("kT", "keV", "temperature of the plasma"),
    ("abundance", "", "of the metals, in solar units"),
    ("nH", "1e22 cm-2", "column of cold gas at redshift zero"),
    ("norm", "1e-14 cm-5", "of the source, as in XSPEC"),
)
_UCD = {
    "kT": "phys.temperature",
    "kT2": "phys.temperature",
    "abundance": "phys.abund",
    "nH": "phys.columnDensity",
    "index": "spect.index",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A parameter of the model, as `kernels.xray_model.Parameter` declares it.

    Parameters
    ----------
    name, unit, meaning : str
    """

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class FitLayout:
    """What the columns of a run depend on.

    Parameters
    ----------
    parameters : tuple of Quantity
        Of the model.
    network : tuple of str
        Parameters the network has a density of; empty without it.
    bayes : bool
        Posteriors and evidence.
    against : str
        Another model whose evidence is compared; "" for none.
    stacked : int
        Energies of the stacked spectra; 0 where observations are not stacked.
    tied : bool
        Whether members of a group were fitted with one norm.
    """

    parameters: tuple[Quantity, ...]
    network: tuple[str, ...] = ()
    bayes: bool = False
    against: str = ""
    stacked: int = 0
    tied: bool = True

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The parameters a table always has, in the model's own words where it has them."""
        own = {one.name: one for one in self.parameters}
        first = [own.pop(name, Quantity(name, *rest)) for name, *rest in _ALWAYS]
        return (*first, *own.values())


def fit_columns(layout: FitLayout) -> list[Column]:
    """Declare the table of the stage `fit`."""
    columns = [*_group_columns(), *_statistic_columns()]
    for one in layout.quantities:
        ucd = _UCD.get(one.name, "stat.fit.param")
        columns += [
            _number(one.name, one.unit, one.meaning, ucd),
            _number(
                f"{one.name}_err",
                one.unit,
                f"its standard error: {one.meaning}",
                f"stat.error;{ucd}",
            ),
        ]
    known = {one.name: one for one in layout.parameters}
    if layout.network:
        text = "probability of a second plasma, both being as probable before, by the network"
        columns.append(_number("mdn_two", "", text, "stat.probability"))
    for one in (known[name] for name in layout.network):
        mean = f"centre of the network's density: {one.meaning}"
        columns += [
            _number(f"mdn_{one.name}", one.unit, mean, "stat.mean"),
            _number(f"mdn_{one.name}_sigma", one.unit, "its standard deviation", "stat.stdev"),
        ]
    columns += _posterior_columns(layout) if layout.bayes else []
    if not layout.stacked:
        return columns
    return [*columns, *_norm_columns(layout), *_stack_columns(layout.stacked)]


def fit_schema(
    layout: FitLayout, edges: NDArray[np.float64], metadata: Mapping[str, str]
) -> pa.Schema:
    """Build the schema of the stage `fit`.

    Parameters
    ----------
    layout : FitLayout
    edges : ndarray, shape (energy + 1,)
        Of the deconvolved spectra [keV].
    metadata : mapping
        What else a reader must know of the whole table.
    """
    told = {ENERGY_EDGES: json.dumps(edges.tolist()), **metadata}
    return arrow_schema(fit_columns(layout), told)


def _group_columns() -> list[Column]:
    """Declare what was fitted."""
    return [
        Column("group", pa.string(), "", "what the observations were stacked by", "meta.id"),
        Column("members", pa.list_(pa.string()), "", "observations fitted together", "meta.id;obs"),
        Column("target", pa.string(), "", "OBJECT of the headers, where they agree", "meta.id;src"),
        Column("status", pa.int32(), "", "FitStatus bits, 0 is good", "meta.code.status"),
        Column("reason", pa.string(), "", "why nothing was fitted; empty otherwise", "meta.note"),
        Column(
            "notes", pa.string(), "", "members left out, and what had to be assumed", "meta.note"
        ),
        _number("exposure", "s", "of all members", "time.duration;obs.exposure"),
        _number("counts", "count", "of the good channels of 0.5 to 7 keV", "phot.count"),
        _number(
            "background_counts",
            "count",
            "counts of the background expected among them",
            "phot.count;instr.background",
        ),
        Column("model", pa.string(), "", "source model", "meta.modelled"),
        _number("redshift", "", "given, of the plasma", "src.redshift"),
        _number("redshift_err", "", "0: it is given, not fitted", "stat.error;src.redshift"),
    ]


def _statistic_columns() -> list[Column]:
    """Declare how well it fits."""
    return [
        Column(
            "statistic",
            pa.string(),
            "",
            "cash, w where the background was measured beside the source, or cash+w",
            "meta.code",
        ),
        _number("cstat", "", "the statistic at the fit, over native channels", "stat.fit.goodness"),
        _number("cstat_expected", "", "its mean if the fit is true (Kaastra 2017)", "stat.mean"),
        _number("cstat_z", "", "standard deviations above the mean", "stat.fit.goodness"),
        Column("dof", pa.int32(), "", "channels less parameters", "stat.fit.dof"),
    ]


def _posterior_columns(layout: FitLayout) -> list[Column]:
    """Declare the posterior and the evidence."""
    columns = []
    for one in layout.parameters:
        columns += [
            _number(
                f"post_{one.name}", one.unit, f"mean of the posterior: {one.meaning}", "stat.mean"
            ),
            _number(f"post_{one.name}_sigma", one.unit, "its standard deviation", "stat.stdev"),
        ]
        columns += [
            _number(f"post_{one.name}_{key}", one.unit, f"{share} quantile", "stat.value")
            for key, share in _QUANTILES.items()
        ]
    columns += [
        _number(
            "log_evidence",
            "",
            "ln of the probability of the counts, but for a constant of the data: -cstat / 2 "
            "averaged over the prior",
            "stat.likelihood",
        ),
        _number("log_evidence_err", "", "its standard error", "stat.error;stat.likelihood"),
        _number(
            "k_hat",
            "",
            "shape of the tail of the importance weights: below 0.7 the sums hold; NaN of nested "
            "sampling",
            "stat.param",
        ),
        Column(
            "post_method",
            pa.string(),
            "",
            "importance, or nested where --refine sampled anew",
            "meta.code",
        ),
    ]
    if layout.against:
        text = f"log_evidence less that of {layout.against}: positive for the model of the row"
        columns.append(_number("log_bayes_factor", "", text, "stat.likelihood"))
    return columns


def _norm_columns(layout: FitLayout) -> list[Column]:
    """Declare the members' norms over that of the first."""
    each, ucd = pa.list_(pa.float64()), "stat.fit.param;arith.ratio"
    columns = [
        Column("factors", each, "", "norm of each member over that of the first, all free", ucd),
        Column("factors_err", each, "", "their standard errors; 0 of the first", "stat.error"),
        _number("norms_fall", "", "fall of cstat if each member has its own norm", "stat.fit.chi2"),
        _number(
            "norms_probability",
            "",
            "of such a fall, or a larger one, if members have one norm; NaN of one member",
            "stat.probability",
        ),
    ]
    if layout.bayes and not layout.tied:
        columns += [
            Column("post_factors", each, "", "means of the posterior: factors", "stat.mean"),
            Column("post_factors_sigma", each, "", "standard deviations", "stat.stdev"),
        ]
    return columns


def _stack_columns(energies: int) -> list[Column]:
    """Declare the stacked spectrum, and the one deconvolved from all counts at once."""
    spectrum, unit = pa.list_(pa.float64(), energies), "ln(photon / (cm**2 s keV))"
    ucd = "phot.flux.density;em.X-ray"
    return [
        Column(
            "stack_log_photon_flux",
            spectrum,
            unit,
            "inverse-variance mean of the members' deconvolved spectra, at the group's redshift",
            ucd,
        ),
        Column("stack_sigma", spectrum, "", "its standard deviation", f"stat.error;{ucd}"),
        Column(
            "stack_jackknife",
            spectrum,
            "",
            "its standard deviation by the jackknife over the members; NaN below two",
            f"stat.error;{ucd}",
        ),
        _number(
            "stack_length",
            "",
            "bins whose errors go together, estimated from the members; NaN below two",
            "stat.correlation",
        ),
        _number(
            "stack_ratio",
            "",
            "jackknife over band, median: below one, members are more alike than their bands say",
            "stat.value",
        ),
        Column(
            "joint_log_photon_flux",
            spectrum,
            unit,
            "spectrum deconvolved from the counts of all members at once",
            ucd,
        ),
        Column("joint_sigma", spectrum, "", "its standard deviation", f"stat.error;{ucd}"),
    ]


def _number(name: str, unit: str, description: str, ucd: str) -> Column:
    return Column(name, pa.float64(), unit, description, ucd)
