"""Responses to train on and to test with: real ones bent a little, and made-up ones like ACIS's.

A real response is changed as calibrations change: area tilted by up to 10 % and thinned by a layer
of contamination, energies of the channels scaled by up to 1 %, lines widened or narrowed by up to
5 %. One that is made up has a mirror's area with its iridium edges, a filter, the depth and edge
of silicon, and a redistribution of Gaussian peak, tail, shelf, escape peak and fluorescence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr

from ..io.observations import Response
from ..kernels.response import (
    DETECTOR_EDGES,
    ENERGY_EDGES,
    detector_bins,
    overlap,
    working_matrix,
)

Array = NDArray[np.float64]

_ESCAPE, _SILICON = 1.739, 1.839  # keV: K fluorescence and K edge of silicon


@dataclass(frozen=True, slots=True)
class Instrument:
    """A response from its own energies to the detector bins.

    Parameters
    ----------
    low, high : ndarray, shape (native energy,)
        [keV].
    native : ndarray, shape (detector, native energy)
        Counts for one photon/cm2 in each native bin.
    working : ndarray, shape (detector, energy)
        As of `kernels.response.working_matrix`, for an exposure of one second.
    """

    low: Array
    high: Array
    native: Array
    working: Array

    def fold(self, edges: Array, photons: Array) -> Array:
        """Fold photons on any fine bins to counts, shape (detector,)."""
        total = np.concatenate([[0.0], np.cumsum(photons)])
        return self.native @ (
            np.interp(self.high, edges, total) - np.interp(self.low, edges, total)
        )


@dataclass(frozen=True, slots=True)
class Change:
    """How a calibration departs from the one given.

    Parameters
    ----------
    tilt : float
        ln of the area's change for each factor e of energy above 1.5 keV.
    layer : float
        Optical depth of contamination at 0.6 keV, over what the area has.
    gain, width : float
        Factors of the channels' energies and of the line's width.
    """

    tilt: float = 0.0
    layer: float = 0.0
    gain: float = 1.0
    width: float = 1.0

    @staticmethod
    def draw(rng: np.random.Generator) -> "Change":
        """Draw a change of the size that calibrations have."""
        layer = rng.choice([0.0, rng.exponential(0.4), -rng.uniform(0.0, 0.2)])
        return Change(
            rng.uniform(-0.1, 0.1), layer, rng.uniform(0.99, 1.01), rng.uniform(0.95, 1.05)
        )


def exact(response: Response) -> Instrument:
    """Give a response as it is, whole channels in each detector bin."""
    bins = detector_bins(response.channel_low, response.channel_high)
    inside = np.flatnonzero(bins >= 0)
    gather = csr_array((np.ones(inside.size), (bins[inside], inside)), shape=(222, bins.size))
    native = (gather @ response.matrix.T).toarray() * response.area
    working = working_matrix(response, bins, exposure=1.0)
    return Instrument(response.energy_low, response.energy_high, native, working)


def changed(response: Response, change: Change) -> Instrument:
    """Give a response as a changed calibration has it.

    Parameters
    ----------
    response : Response
    change : Change

    Returns
    -------
    Instrument
    """
    keep = (response.energy_high > ENERGY_EDGES[0]) & (response.energy_low < ENERGY_EDGES[-1])
    low, high = response.energy_low[keep], response.energy_high[keep]
    centre = 0.5 * (low + high)
    matrix = np.asarray(csr_array(response.matrix)[np.flatnonzero(keep)].toarray())
    area = response.area[keep] * np.exp(change.tilt * np.log(centre / 1.5))
    area = area * np.exp(-change.layer * _contamination(centre))
    edges = np.append(response.channel_low, response.channel_high[-1])
    total = np.concatenate([np.zeros((centre.size, 1)), np.cumsum(matrix, axis=1)], axis=1)
    # What a changed detector counts below an energy is what this one counts below the energy that
    # lies as much nearer to the photon's as the lines are wider.
    wanted = DETECTOR_EDGES / change.gain
    at = centre[:, None] + (wanted - centre[:, None]) / change.width
    below = np.stack([np.interp(a, edges, t) for a, t in zip(at, total, strict=True)])
    return _instrument(low, high, (np.diff(below, axis=1) * area[:, None]).T)


def invented(rng: np.random.Generator) -> Instrument:
    """Make up a response like those of ACIS.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    Instrument
    """
    step = 0.01
    low = np.arange(0.3, 9.5, step)
    centre = low + 0.5 * step
    return _instrument(low, low + step, (_redistribution(rng, centre) * _area(rng, centre)).copy())


def _instrument(low: Array, high: Array, native: Array) -> Instrument:
    """Put the working matrix to a native one."""
    working = (overlap(low, high).T @ native.T).T
    return Instrument(low, high, native, np.ascontiguousarray(working))


def _contamination(energy: Array) -> Array:
    """Give the depth of a layer of carbon, oxygen and fluorine, one at 0.6 keV."""
    depth = (energy / 0.6) ** -2.8
    depth = depth * np.where(energy > 0.535, 1.0, 0.75) * np.where(energy > 0.69, 1.05, 1.0)
    return np.minimum(depth, 4.0)


def _area(rng: np.random.Generator, energy: Array) -> Array:
    """Make up an effective area [cm2]."""
    mirror = rng.uniform(200.0, 900.0) / (1.0 + (energy / rng.uniform(4.0, 6.5)) ** 4)
    for edge, depth in ((2.04, 0.12), (2.085, 0.12), (2.155, 0.06), (2.29, 0.05)):
        step = depth * rng.uniform(0.5, 1.8)
        mirror = mirror * (1.0 - step * ndtr((energy - edge) / 0.006))
    layer = np.exp(-rng.uniform(0.1, 2.0) * _contamination(energy))
    silicon = (energy / _SILICON) ** -3.0 * np.where(energy > _SILICON, 11.0, 1.0)
    dead, depth = rng.uniform(0.0, 0.06), rng.uniform(3.0, 30.0)
    absorbed = np.exp(-dead * silicon) * -np.expm1(-depth * silicon / 11.0 * 3.0)
    tilt = (energy / 1.5) ** rng.uniform(-0.15, 0.15)
    return mirror * layer * absorbed * tilt


def _redistribution(rng: np.random.Generator, energy: Array) -> Array:
    """Make up where photons are counted, shape (detector, native energy)."""
    edges = DETECTOR_EDGES[:, None] / rng.uniform(0.99, 1.01)
    floor, slope = rng.uniform(0.030, 0.055), rng.uniform(0.00035, 0.0008)
    sigma = np.sqrt(floor**2 + slope * energy)
    tail, shelf = rng.uniform(0.005, 0.06), rng.uniform(0.0, 0.03)
    reach = rng.uniform(1.0, 4.0) * sigma
    peak = ndtr((edges - energy) / sigma)
    low_side = np.exp(np.minimum((edges - energy) / reach, 0.0))
    flat = np.clip(edges / energy, 0.0, 1.0)
    above = energy > _SILICON
    escape = rng.uniform(0.003, 0.02) * above
    glow = rng.uniform(0.0, 0.01) * above
    below = (
        (1.0 - tail - shelf - escape - glow) * peak
        + tail * low_side
        + shelf * flat
        + escape * ndtr((edges - (energy - _ESCAPE)) / sigma)
        + glow * ndtr((edges - _ESCAPE) / sigma)
    )
    return np.diff(below, axis=0)
