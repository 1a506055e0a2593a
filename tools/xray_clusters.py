"""Draws clusters of galaxies of one or two plasmas, observed, to train on and to test with.

A cluster is what `kernels.plasma` makes of temperature kT [keV], abundance [solar], column nH
[1e22 cm-2] and the norm of XSPEC, at a redshift that is known; half of them have a second, cooler
plasma of the same abundance, `second` times the norm of the first. Parameters are drawn from
`USUAL` ranges in six of seven, from `ALL` in the others: smooth edges, and no corner left out.
Counts and backgrounds are as those of `xray_batches`, all of 0.5 to 7 keV.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..kernels.plasma import PlasmaTable, thermal, transmission
from .xray_batches import Simulator
from .xray_responses import Instrument

Array = NDArray[np.float64]

NAMES = ("kT", "abundance", "nH", "norm", "kT2", "second")
LOGARITHMIC = (True, False, True, True, True, True)


@dataclass(frozen=True, slots=True)
class Ranges:
    """From where parameters are drawn; evenly in the logarithm but for abundance and redshift.

    Parameters
    ----------
    kT, abundance, nH, redshift : (low, high)
    cooler : (low, high)
        kT2 over kT, cut at the least kT2.
    second : (low, high)
    counts : (low, high)
        Expected, background included.
    """

    kT: tuple[float, float]
    abundance: tuple[float, float]
    nH: tuple[float, float]
    redshift: tuple[float, float]
    cooler: tuple[float, float]
    second: tuple[float, float]
    counts: tuple[float, float]


USUAL = Ranges(
    kT=(0.4, 12.0),
    abundance=(0.05, 1.1),
    nH=(0.004, 1.0),
    redshift=(0.0, 0.6),
    cooler=(0.1, 0.9),
    second=(0.02, 5.0),
    counts=(1e2, 2e5),
)
ALL = Ranges(
    kT=(0.2, 15.0),
    abundance=(0.0, 2.0),
    nH=(1e-3, 3.0),
    redshift=(0.0, 0.6),
    cooler=(0.05, 1.0),
    second=(0.01, 10.0),
    counts=(1e2, 2e5),
)
TESTED = Ranges(
    kT=(0.5, 10.0),
    abundance=(0.1, 1.0),
    nH=(0.005, 1.0),
    redshift=(0.0, 0.5),
    cooler=(0.1, 0.9),
    second=(0.02, 5.0),
    counts=(5e2, 5e4),
)
_USUAL_PART = 0.85
_COOLEST = 0.1  # keV: the least kT2
_NEAR = 0.25  # part of the clusters with a redshift under a fifth of the greatest


@dataclass(frozen=True, slots=True)
class Clusters:
    """Parameters of clusters; first axis (cluster,).

    Parameters
    ----------
    plasmas : ndarray of int
        One or two.
    values : ndarray, shape (cluster, 6)
        By `NAMES`; the last two are NaN where there is one plasma. The norm is one until they are
        observed.
    redshift : ndarray
    counts : ndarray
        Expected, background included.
    """

    plasmas: NDArray[np.int64]
    values: Array
    redshift: Array
    counts: Array


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations of clusters with one response; first axis (cluster,).

    Parameters
    ----------
    counts, background : ndarray, shape (cluster, detector)
        The background as an observer estimates it.
    response : ndarray, shape (detector, energy)
        For an exposure of one second.
    truth : Clusters
        With norms.
    """

    counts: Array
    background: Array
    response: Array
    truth: Clusters


def coordinates(values: Array) -> Array:
    """Give logarithms where a parameter is positive, shape of `values`."""
    out = values.copy()
    log = list(np.flatnonzero(LOGARITHMIC))
    out[..., log] = np.log(values[..., log])
    return out


def draw_clusters(
    rng: np.random.Generator,
    count: int,
    *,
    ranges: Ranges | None = None,
    plasmas: int | None = None,
) -> Clusters:
    """Draw parameters.

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int
    ranges : Ranges, optional
        The mixture of `USUAL` and `ALL` where None.
    plasmas : {1, 2}, optional
        Half of each where None.
    """
    if ranges is None:
        usual = rng.random(count) < _USUAL_PART
        parts = [draw_clusters(rng, count, ranges=r, plasmas=plasmas) for r in (ALL, USUAL)]
        return Clusters(
            *(
                np.where(usual.reshape(-1, *[1] * (one.ndim - 1)), two, one)
                for one, two in (
                    (getattr(parts[0], f.name), getattr(parts[1], f.name)) for f in fields(Clusters)
                )
            )
        )
    number = rng.integers(1, 3, count) if plasmas is None else np.full(count, plasmas)
    values = np.empty((count, len(NAMES)))
    values[:, 0] = _log(rng, ranges.kT, count)
    values[:, 1] = rng.uniform(*ranges.abundance, count)
    values[:, 2] = _log(rng, ranges.nH, count)
    values[:, 3] = 1.0
    lowest = np.maximum(ranges.cooler[0] * values[:, 0], _COOLEST)
    highest = np.maximum(ranges.cooler[1] * values[:, 0], lowest)
    values[:, 4] = lowest * (highest / lowest) ** rng.random(count)
    values[:, 5] = _log(rng, ranges.second, count)
    values[number == 1, 4:] = np.nan
    low, high = ranges.redshift
    near = rng.random(count) < _NEAR
    redshift = low + (high - low) * rng.random(count) * np.where(near, 0.2, 1.0)
    return Clusters(number, values, redshift, _log(rng, ranges.counts, count))


def photons(table: PlasmaTable, clusters: Clusters) -> Array:
    """Give the photons of clusters, shape (cluster, bin) [photons/cm2/s]."""
    kT, metal, column, norm, cooler, second = clusters.values.T
    found = thermal(table, kT, metal, clusters.redshift)
    two = clusters.plasmas == 2
    if two.any():
        more = thermal(table, cooler[two], metal[two], clusters.redshift[two])
        found[two] += second[two, None] * more
    return found * norm[:, None] * transmission(table, column)


def observe(simulator: Simulator, instrument: Instrument, clusters: Clusters) -> Observed:
    """Observe clusters with one response; their norms are what gives the counts wanted.

    Parameters
    ----------
    simulator : Simulator
        Half of the observations have one of its backgrounds, of up to half of the counts.
    instrument : Instrument
    clusters : Clusters
        With norms of one.
    """
    rng, size = simulator.generator, len(clusters.counts)
    edges = simulator.table.edges
    source = np.array([instrument.fold(edges, one) for one in photons(simulator.table, clusters)])
    share = np.where(rng.random(size) < 0.5, 0.0, _log(rng, (0.005, 0.5), size))
    scale = (1.0 - share) * clusters.counts / source.sum(axis=1)
    expected, background = source * scale[:, None], np.zeros_like(source)
    for row in np.flatnonzero(share):
        beside = simulator.beside(instrument) * share[row] * clusters.counts[row]
        expected[row] += beside
        background[row] = simulator.estimated(beside)
    values = clusters.values.copy()
    values[:, 3] = scale
    truth = Clusters(clusters.plasmas, values, clusters.redshift, clusters.counts)
    return Observed(rng.poisson(expected).astype(np.float64), background, instrument.working, truth)


def _log(rng: np.random.Generator, limits: tuple[float, float], count: int) -> Array:
    """Draw numbers evenly in their logarithm."""
    low, high = np.log(limits)
    return np.exp(rng.uniform(low, high, count))
