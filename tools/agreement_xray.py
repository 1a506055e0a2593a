"""How deconvolved spectra agree with the truth of a simulation.

For each spectrum, over 0.6 to 6.5 keV and with x the photons of a bin,

    L1 = sum |x - x_hat| / sum x,

as it is, and after both were smoothed by the resolution of the detector (a Gaussian of 2.5 bins of
the working grid): what is narrower than that cannot be told. Bands cover if the true ln flux lies
within one standard deviation (68 %) or within 1.96 (95 %), counted over bins.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..io.errors import InputError
from ..io.results import FitStatus
from ..io.xray_columns import energy_edges

Array = NDArray[np.float64]

RANGE = (0.6, 6.5)  # keV
RESOLUTION = 2.5  # bins
DECADES = ((0, 300), (300, 1e3), (1e3, 3e3), (3e3, 1e4), (1e4, 3e4), (3e4, np.inf))
_WIDE = 1.959964  # standard deviations of a band of 95 %


@dataclass(frozen=True, slots=True)
class Agreement:
    """Medians and shares over observations of like counts; NaN where there are none.

    Parameters
    ----------
    counts : (low, high)
        Of the observations.
    n : int
    l1, smoothed_l1 : float
        Median over observations.
    within_68, within_95 : float
        Part of all bins whose truth lies in the band.
    refolded : float
        Part of the observations whose refolded statistic is within two of its deviations.
    rejected : float
        Part with REFOLD_REJECTED.
    """

    counts: tuple[float, float]
    n: int
    l1: float
    smoothed_l1: float
    within_68: float
    within_95: float
    refolded: float
    rejected: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Spectra beside their truth, in the order of the table.

    All but `edges`, `counts`, `z`, `status` and `names` have shape (observation, energy).
    """

    names: list[str]
    edges: Array  # [keV], shape (energy + 1,)
    counts: Array  # shape (observation,)
    z: Array
    status: NDArray[np.int32]
    log_flux: Array
    sigma: Array
    truth: Array


def pair(table: pa.Table, truth: pa.Table) -> Pairs:
    """Put every observation with a spectrum beside its truth.

    Parameters
    ----------
    table, truth : pyarrow.Table
        Of a run, and of ``simulate xray``.

    Raises
    ------
    InputError
        If none of the table's observations is in the truth.
    """
    place = {name: index for index, name in enumerate(truth["obs"].to_pylist())}
    names, status = table["obs"].to_pylist(), table["status"].to_numpy()
    rows = [
        row
        for row, name in enumerate(names)
        if name in place and not status[row] & FitStatus.NO_DATA
    ]
    if not rows:
        raise InputError(
            f"none of the {len(names)} observations of the run has a spectrum and is among the "
            f"{len(place)} of the truth; give the truth of this simulation"
        )
    return Pairs(
        names=[names[row] for row in rows],
        edges=energy_edges(table.schema),
        counts=table["counts"].to_numpy()[rows],
        z=table["refold_z"].to_numpy()[rows],
        status=status[rows],
        log_flux=_spectra(table, "log_photon_flux")[rows],
        sigma=_spectra(table, "log_photon_flux_sigma")[rows],
        truth=_spectra(truth, "log_photon_flux")[[place[names[row]] for row in rows]],
    )


def agreement(pairs: Pairs) -> list[Agreement]:
    """Hold spectra against their truth, by their counts, and all of them at last."""
    ranges = [*DECADES, (0.0, np.inf)]
    return [
        _within(pairs, (float(low), float(high)))
        for low, high in ranges
        if ((pairs.counts >= low) & (pairs.counts < high)).any()
    ]


def _within(pairs: Pairs, counts: tuple[float, float]) -> Agreement:
    """Hold the observations of a range of counts against their truth."""
    rows = (pairs.counts >= counts[0]) & (pairs.counts < counts[1])
    inside = (pairs.edges[:-1] >= RANGE[0]) & (pairs.edges[1:] <= RANGE[1])
    width = np.diff(pairs.edges)
    truth = np.exp(pairs.truth[rows]) * width
    found = np.nan_to_num(np.exp(pairs.log_flux[rows])) * width
    away = np.abs(pairs.log_flux - pairs.truth)[rows][:, inside]
    sigma = pairs.sigma[rows][:, inside]
    banded = bool(np.isfinite(sigma).any())
    z, rejected = pairs.z[rows], pairs.status[rows] & int(FitStatus.REFOLD_REJECTED)
    return Agreement(
        counts,
        int(rows.sum()),
        float(np.median(_l1(truth, found, inside))),
        float(np.median(_l1(_smooth(truth), _smooth(found), inside))),
        float(np.mean(away <= sigma)) if banded else np.nan,
        float(np.mean(away <= _WIDE * sigma)) if banded else np.nan,
        float(np.mean(np.abs(z) <= 2.0)),
        float(np.mean(rejected != 0)),
    )


def _l1(truth: Array, found: Array, inside: NDArray[np.bool_]) -> Array:
    """Give L1 of each observation."""
    return np.abs(found - truth)[:, inside].sum(axis=1) / truth[:, inside].sum(axis=1)


def _smooth(photons: Array) -> Array:
    """Smooth by the resolution of the detector."""
    return gaussian_filter1d(photons, RESOLUTION, axis=1, mode="nearest")


def _spectra(table: pa.Table, name: str) -> Array:
    """Give a column of lists, shape (observation, energy)."""
    column = table[name].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
