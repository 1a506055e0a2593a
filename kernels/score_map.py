"""The score map of a scan: a spectrum as its own instrument's matched filter sees it.

The scan gives at every node of velocity and broadening how much the lines there would lower chi2.
About the best nodes the map is made exact: on a grid of `ROWS` broadenings by `ACROSS` velocities
a profile is the combination of the profiles at neighbouring nodes that is nearest to it,

    F(v, b) ~ sum_m w_m F_m,   w = (F_m F_m'^T)^-1 F_m' F(v, b)^T,

so that its correlation with the spectrum follows from those that the scan has computed, and no
channel is touched again. Model and data are projected alike: the combination costs a little of the
gain and moves no peak. Polynomials through the grid then give the peak, its widths and its ridge.

The result is free of the instrument: distances in standard deviations, velocities and broadenings
in units of the peak's widths or of the instrument's. A network may read it for any spectrum.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._score_features import COUNT, SLOTS, flat_squares, read, weighted_squares
from ._score_features import GLOBAL as GLOBAL
from ._score_map import PEAKS
from ._score_surface import make_space
from .axis import GAUSSIAN_FWHM
from .emission import Continuum, Emission
from .scan import SharedScan, Sums
from .score_tables import tabulate

Array = NDArray[np.float64]

FEATURES = COUNT
ANCHORS = PEAKS
_KINDS = (("Halpha",), ("NII",), ("SII6716", "SII6731"), ("OIII",), ("H",), ("OII",))


class Reading(NamedTuple):
    """What a network reads of each spectrum, and what its output refers to.

    `features` has shape (spaxel, FEATURES); `anchors`, shape (spaxel, peak, 6), holds of each peak
    velocity, broadening, their standard deviations, the slope of velocity with broadening and the
    gain. NaN where there is no spectrum; a peak that is not there repeats the first.
    """

    features: NDArray[np.float32]
    anchors: Array


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Tables that refine the scan of one class; safe to share between threads.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    element : float
        Full width of the instrument [km/s].
    tables, grid, level, facts : tuple
        As `_score_surface.py`, `_score_map.py` and `_score_features.py` take them.
    basis : ndarray, shape (channel, term)
        Orthonormal continuum.
    """

    shared: SharedScan
    element: float
    tables: tuple
    grid: tuple
    level: NDArray[np.int64]
    facts: tuple
    basis: Array

    def read(self, data: NDArray[np.floating], noise: Array) -> Reading:
        """Describe spectra whose channels all weigh the same.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
            Spectra, finite.
        noise : ndarray, shape (spaxel,)
            Standard deviation of every channel.
        """
        scaled = (data / noise[:, None]).astype(np.float32)
        return self.read_projected(scaled, self.shared.whiten(scaled))

    def read_projected(
        self, scaled: NDArray[np.float32], projected: NDArray[np.float32]
    ) -> Reading:
        """Describe spectra over their noise, given their z as `SharedScan.whiten` does."""
        squares = np.empty(len(scaled))
        flat_squares(scaled, self.basis.T.copy(), squares)
        nothing = np.empty((len(scaled), 0), np.float32)
        used = np.full(len(scaled), scaled.shape[1])
        return self._read((projected, nothing, nothing, nothing, nothing), squares, used)

    def read_weighted(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        products: tuple[Sums, NDArray[np.float32]],
    ) -> Reading:
        """Describe spectra whose channels weigh differently.

        Parameters
        ----------
        data, weight : ndarray, shape (spaxel, channel)
            Spectra and one over the standard deviation, zero where a channel is left out.
        products : (Sums, z)
            As `WeightedScan.seeds` hands them to a listener.
        """
        sums, z = products
        squared = np.zeros((len(data), self.tables[7].shape[2]), np.float32)
        squares, used = np.empty(len(data)), np.empty(len(data), np.int64)
        weighted_squares(data, weight, self.basis.T.copy(), squares, used, squared)
        return self._read((z, sums.right, squared, sums.pairs, sums.continuum), squares, used)

    def _read(self, spectra: tuple, squares: Array, used: NDArray[np.integer]) -> Reading:
        """Describe spectra of which all products are known.

        `spectra` are float32 and C-contiguous, whatever they come from: the loops that read them
        are compiled once for each layout, which takes longer than most batches.
        """
        spaxels = len(squares)
        features = np.empty((spaxels, FEATURES), np.float32)
        anchors = np.empty((spaxels, PEAKS, 6))
        free = used - (self.basis.shape[1] + self.shared.lower.shape[1] + 2.0)
        read(
            tuple(np.require(values, np.float32, "C") for values in spectra),
            np.stack([squares, free], axis=1),
            self.tables,
            self.grid,
            self.level,
            self.facts,
            make_space(self.tables),
            (features, anchors),
        )
        return Reading(features, anchors)


def build(
    shared: SharedScan,
    emission: Emission,
    continuum: Continuum,
    coordinate: Array,
    width: Array,
    *,
    velocity: tuple[float, float],
) -> ScoreMap:
    """Tabulate the grids about the nodes of a scan.

    Parameters
    ----------
    shared : SharedScan
        The scan, of more than one broadening.
    emission, continuum : Emission, Continuum
        The model.
    coordinate : ndarray, shape (channel,)
        Axis, in its unit.
    width : ndarray, shape (line,)
        Of the instrument.
    velocity : (low, high)
        Range of the search [km/s].
    """
    scan = shared.scan
    broadenings, level = np.unique(scan.broadening, return_inverse=True)
    basis = np.linalg.qr(continuum.rows(coordinate).T)[0]
    tables = tabulate(shared, emission, coordinate, width, basis)
    full = float(np.min(scan.reach))
    element = float(np.sqrt(max(full**2 - (GAUSSIAN_FWHM * broadenings[0]) ** 2, 1.0)))
    facts = (
        element,
        float(velocity[0]),
        float(velocity[1]),
        float(emission.shape),
        _kinds(emission),
        np.gradient(broadenings) if broadenings.size > 1 else np.ones(1),
    )
    grid = scan.velocity, scan.broadening, scan.step, scan.reach
    return ScoreMap(shared, element, tables, grid, level.astype(np.int64), facts, basis)


def _kinds(emission: Emission) -> NDArray[np.int64]:
    """Kind of each column's first line."""
    kinds = []
    for column in range(emission.columns):
        name = emission.names[int(np.flatnonzero(emission.column == column)[0])]
        starts = [i for i, kind in enumerate(_KINDS) if name.startswith(kind) and name[:2] != "He"]
        kinds.append(starts[0] if starts else SLOTS - 1)
    return np.array(kinds, dtype=np.int64)
