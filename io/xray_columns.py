"""What the table of deconvolved spectra says: one declaration per column, and its energy grid.

A row is an observation. Lists have one value for each energy bin; their edges [keV] are the same
for all rows and stand in the schema's metadata as JSON, under ``energy_edges``.
"""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .results import STATUS_TEXT, Column, FitStatus, arrow_schema

ENERGY_EDGES = "energy_edges"
"""Key of the schema's metadata."""

XRAY_STATUS_TEXT: Mapping[FitStatus, str] = {
    **STATUS_TEXT,
    FitStatus.NO_DATA: "there is no spectrum; the column reason says why",
    FitStatus.NONFINITE: "channels of bad quality were left out; the others were used",
    FitStatus.NO_SIGNAL: "no more counts than the background gives by chance: the spectrum is a "
    "limit",
    FitStatus.MDN_OUT_OF_RANGE: "outside what the network was trained on: its bands may not hold",
    FitStatus.MAX_ITERATIONS: "not converged: look at it with inspect, or try another --method",
}
"""What the bits mean of an X-ray row."""

_FLUX = "ln(photon / (cm**2 s keV))"


def deconvolve_columns(energies: int) -> list[Column]:
    """Declare the table of the stage `deconvolve`.

    Parameters
    ----------
    energies : int
        Bins of the intrinsic spectra.
    """
    spectrum = pa.list_(pa.float64(), energies)
    return [
        Column("obs", pa.string(), "", "file name, with the row [n] of a file of many", "meta.id"),
        Column("file", pa.string(), "", "path of the spectrum", "meta.file"),
        Column("observation", pa.string(), "", "OBS_ID of the header", "meta.id;obs"),
        Column("target", pa.string(), "", "OBJECT of the header", "meta.id;src"),
        Column("instrument", pa.string(), "", "telescope, instrument and filter", "instr"),
        Column("status", pa.int32(), "", "FitStatus bits, 0 is good", "meta.code.status"),
        Column("reason", pa.string(), "", "why there is no spectrum; empty otherwise", "meta.note"),
        Column("notes", pa.string(), "", "what the reader had to assume or mend", "meta.note"),
        Column("exposure", pa.float64(), "s", "exposure", "time.duration;obs.exposure"),
        Column(
            "counts",
            pa.float64(),
            "count",
            "counts of the good channels of 0.5 to 7 keV",
            "phot.count",
        ),
        Column(
            "background_counts",
            pa.float64(),
            "count",
            "counts of the background expected among them",
            "phot.count;instr.background",
        ),
        Column(
            "log_photon_flux",
            spectrum,
            _FLUX,
            "logarithm of the intrinsic photon flux density; NaN where it is not positive",
            "phot.flux.density;em.X-ray",
        ),
        Column(
            "log_photon_flux_sigma",
            spectrum,
            "",
            "its standard deviation; NaN where the method has none",
            "stat.error;phot.flux.density;em.X-ray",
        ),
        Column(
            "refold_statistic",
            pa.string(),
            "",
            "cash, or w where the background was measured beside the source",
            "meta.code",
        ),
        Column("refold_bins", pa.int32(), "", "bins the refolded spectrum reaches", "meta.number"),
        Column(
            "refold_cstat",
            pa.float64(),
            "",
            "statistic of the counts at the refolded spectrum",
            "stat.fit.goodness",
        ),
        Column(
            "refold_expected",
            pa.float64(),
            "",
            "its mean if that spectrum is true (Kaastra 2017)",
            "stat.mean",
        ),
        Column(
            "refold_freedom",
            pa.float64(),
            "",
            "by how much less is expected of a fit: parameters that follow the counts; 0 where the "
            "method does not tell",
            "stat.fit.dof",
        ),
        Column(
            "refold_z",
            pa.float64(),
            "",
            "standard deviations of the statistic above expected - freedom",
            "stat.fit.goodness",
        ),
    ]


def deconvolve_schema(edges: NDArray[np.float64], metadata: Mapping[str, str]) -> pa.Schema:
    """Build the schema of the stage `deconvolve`.

    Parameters
    ----------
    edges : ndarray, shape (energy + 1,)
        [keV].
    metadata : mapping
        What else a reader must know of the whole table.
    """
    told = {ENERGY_EDGES: json.dumps(edges.tolist()), **metadata}
    return arrow_schema(deconvolve_columns(edges.size - 1), told)


def energy_edges(schema: pa.Schema) -> NDArray[np.float64]:
    """Give the edges of the energy bins of a table [keV], shape (energy + 1,).

    Raises
    ------
    KeyError
        If it is no table of deconvolved spectra.
    """
    return np.array(json.loads((schema.metadata or {})[ENERGY_EDGES.encode()]))
