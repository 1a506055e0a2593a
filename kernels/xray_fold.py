"""Source spectra of many parameters at once, folded through the native response of every member.

Photons are made on the bins of the plasma table as they are observed: a plasma at redshift z has
the table's bins at E / (1 + z), so that nothing is rebinned for the redshift. From there a sparse
matrix brings them to the energy bins of a response, and that to the channels. Both are made once.

A measured background is profiled in blocks of channels (`xray_background`), a known one is added.
With n counts, s(theta) expected of the source, b of the background and t = s + b, the statistic is
-2 ln L but for a constant of the data, and

    d ln L / ds = n / t - 1,     information in s = diag(1 / t) - sum v v^T / (sum a^2 / t + w / r)

with the sums over blocks and the channels of each, v = a / t there, and scale a, channels w and
rate r of a block: what is left of the information of both spectra when r is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .likelihood import cash
from .plasma import PlasmaTable
from .response import overlap
from .xray_background import Beside
from .xray_model import SourceModel, to_values

Array = NDArray[np.float64]

BLOCK = 64  # parameter sets at once: their photons stay in a cache of 1 to 2 MB
_LEAST = 1e-9  # counts expected in a channel that the response does not reach
_DENSE = 0.2  # share of a response's numbers that are not zero, above which it is no longer sparse


@dataclass(frozen=True, slots=True)
class Member:
    """One observation on its native channels, only those that are used.

    Parameters
    ----------
    counts : ndarray, shape (channel,)
    matrix : csr_array, shape (channel, energy)
        Counts for one photon/cm2/s in an energy bin: area and exposure are in it.
    energy_edges : ndarray, shape (energy + 1,)
        [keV].
    background : ndarray, shape (channel,), or None
        Counts measured beside the source.
    scale : ndarray, shape (channel,), or None
        Background counts expected in the source's channel for one beside.
    known : ndarray, shape (channel,), or None
        Background counts expected, where they are known and not measured.

    Raises
    ------
    ValueError
        If shapes disagree, or the background is both measured and known, or without its scale.
    """

    counts: Array
    matrix: csr_array
    energy_edges: Array
    background: Array | None = None
    scale: Array | None = None
    known: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes."""
        channels = self.counts.shape
        for name in ("background", "scale", "known"):
            found = getattr(self, name)
            if found is not None and found.shape != channels:
                raise ValueError(f"{name} has shape {found.shape}, the counts {channels}")
        shape = (*channels, self.energy_edges.size - 1)
        if self.matrix.shape != shape:
            raise ValueError(f"the matrix has shape {self.matrix.shape}, not {shape}")
        if (self.background is None) != (self.scale is None):
            raise ValueError("a measured background needs its scale, and a scale its background")
        if self.background is not None and self.known is not None:
            raise ValueError("the background is either measured or known")


class Folding:
    """Expected counts and statistic of a model for all members, one behind the other.

    Parameters
    ----------
    members : sequence of Member
    model : SourceModel
    table : PlasmaTable
    redshift : float
        Of the plasma.

    Raises
    ------
    ValueError
        If the model has factors, but not one for each member after the first.
    """

    def __init__(
        self, members: Sequence[Member], model: SourceModel, table: PlasmaTable, redshift: float
    ) -> None:
        if model.factors not in (0, len(members) - 1):
            raise ValueError(f"{model.factors} factors for {len(members)} members")
        self.model = model
        low = min(float(one.energy_edges[0]) for one in members)
        high = max(float(one.energy_edges[-1]) for one in members)
        self.table = observed(table, redshift, low, high)
        self._paths = [_path(one, self.table.edges) for one in members]
        self.counts = np.concatenate([one.counts for one in members])
        self.known = np.concatenate(
            [np.zeros(one.counts.size) if one.known is None else one.known for one in members]
        )
        measured = [one.background is not None for one in members]
        sizes = [one.counts.size for one in members]
        ends = np.cumsum([0, *sizes]).tolist()
        self.places = [slice(*pair) for pair in pairwise(ends)]
        self.measured = np.flatnonzero(np.repeat(measured, sizes))
        parts = [
            Beside.of(one.background, one.scale)
            for one in members
            if one.background is not None and one.scale is not None
        ]
        self.beside = Beside.joined(parts) if parts else None
        self.evaluations = 0

    @property
    def channels(self) -> int:
        """Count the channels of all members."""
        return self.counts.size

    def source(self, coordinates: Array) -> Array:
        """Give the counts expected of the source.

        Parameters
        ----------
        coordinates : ndarray, shape (point, parameter)

        Returns
        -------
        ndarray, shape (point, channel)
        """
        values = to_values(self.model, coordinates)
        self.evaluations += len(values)
        found = np.empty((len(values), self.channels))
        for start in range(0, len(values), BLOCK):
            rows = slice(start, start + BLOCK)
            photons = np.ascontiguousarray(self.model.photons(self.table, values[rows]).T)
            for (rebin, response), place in zip(self._paths, self.places, strict=True):
                found[rows, place] = np.asarray(response @ (rebin @ photons)).T
        factors = values[:, self.model.own :].T
        for factor, place in zip(factors, self.places[1:], strict=False):
            found[:, place] *= factor[:, None]
        return np.maximum(found, _LEAST)

    def statistic(self, source: Array) -> Array:
        """Give -2 ln L but for a constant of the data, shape (point,)."""
        background, rate = self.background(source)
        total = cash(self.counts, source + background).sum(axis=1)
        if self.beside is not None and rate is not None:
            total += cash(self.beside.counts, self.beside.width * rate).sum(axis=1)
        return total

    def log_likelihood(self, coordinates: Array) -> Array:
        """Give -statistic / 2 of points, shape (point,)."""
        found = np.empty(len(coordinates))
        for start in range(0, len(coordinates), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] = -0.5 * self.statistic(self.source(coordinates[rows]))
        return found

    def background(self, source: Array) -> tuple[Array, Array | None]:
        """Give the background expected in the source's channels, and its rates in blocks.

        Shapes are (point, channel), or one for all points, and (point, block); None where no
        background was measured.
        """
        if self.beside is None:
            return self.known, None
        inside = self.measured
        rate = self.beside.rate(self.counts[inside], source[:, inside])
        found = np.broadcast_to(self.known, source.shape).copy()
        found[:, inside] = self.beside.spread(rate)
        return found, rate

    def curvature(self, source: Array, slope: Array) -> tuple[Array, Array]:
        """Give the information in parameters and the slope of ln L.

        Parameters
        ----------
        source : ndarray, shape (point, channel)
        slope : ndarray, shape (point, parameter, channel)
            Of the source in the parameters.

        Returns
        -------
        ndarray, shape (point, parameter, parameter)
        ndarray, shape (point, parameter)
        """
        background, rate = self.background(source)
        total = source + background
        information = np.matmul(slope / total[:, None, :], slope.transpose(0, 2, 1))
        if self.beside is not None and rate is not None:
            beside, inside = self.beside, self.measured
            part = beside.scale / total[:, inside]
            # Where nothing was counted beside, the rate is known to be zero.
            safe = np.maximum(rate, _LEAST)
            own = beside.sums(part * beside.scale) + beside.width / safe
            shared = beside.sums(slope[:, :, inside] * part[:, None, :])
            information -= np.matmul(shared / own[:, None, :], shared.transpose(0, 2, 1))
        return information, np.matmul(slope, (self.counts / total - 1.0)[:, :, None])[..., 0]


def observed(table: PlasmaTable, redshift: float, low: float, high: float) -> PlasmaTable:
    """Give a table in the observer's frame, over the energies that matter.

    Parameters
    ----------
    table : PlasmaTable
        At rest.
    redshift : float
    low, high : float
        Energies as observed [keV].

    Returns
    -------
    PlasmaTable
        Emission at E / (1 + z), fewer by the spread of arrivals; absorption at redshift zero.
    """
    stretch = 1.0 + redshift
    edges = table.edges / stretch
    first = max(int(np.searchsorted(edges, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(edges, high)), edges.size - 1)
    bins = slice(first, max(last, first + 1))
    kept = edges[first : bins.stop + 1]
    absorbed = table.cross_section[bins]
    if redshift:
        known = 0.5 * (table.edges[1:] + table.edges[:-1])
        centre = 0.5 * (kept[1:] + kept[:-1])
        absorbed = np.exp(np.interp(np.log(centre), np.log(known), np.log(table.cross_section)))
    return PlasmaTable(
        kept,
        table.temperature,
        np.ascontiguousarray(table.primordial[:, bins] / stretch),
        np.ascontiguousarray(table.metals[:, bins] / stretch),
        absorbed,
    )


def _path(member: Member, edges: Array) -> tuple[csr_array, csr_array | Array]:
    """Give the ways from the table's bins to energies and from energies to channels."""
    low, high = member.energy_edges[:-1], member.energy_edges[1:]
    shared = overlap(low, high, edges=edges).multiply(1.0 / np.diff(edges)[None, :])
    reached = np.flatnonzero(np.diff(member.matrix.tocsc().indptr))
    rebin, response = csr_array(shared)[reached], member.matrix[:, reached].astype(np.float64)
    full = response.shape[0] * max(response.shape[1], 1)
    return rebin, response.toarray() if response.nnz > _DENSE * full else response
