"""Source spectra of many parameters at once, folded through the native response of every member.

Photons are made on the bins of the plasma table as they are observed: a plasma at redshift z has
the table's bins at E / (1 + z), so that nothing is rebinned for the redshift. From there a sparse
matrix brings them to the energy bins of a response, and that to the channels. Both are made once.

For the fit a member's statistic, Cash's or W, is -2 ln L but for a constant of the data. With n
counts, s(theta) expected of the source, and b of the background (known, or the profiled one of W
with `scale` a),

    d ln L / ds = n / (s + b) - 1,     information in s = 1 / (s + b + a b),

the latter with a = 0 where the background is known; for W it is what is left of the information of
both spectra when b is free.

W needs some counts beside the source in every channel. Where there are few its background follows
the noise of the source: with 150 counts beside it in 445 channels, and 500 in its own spectrum of
which as many are background, the norm comes out 2.6 times too high. Such a background is smoothed
and taken as known (`steady`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .likelihood import background_in_source, cash, w_statistic
from .plasma import PlasmaTable
from .refold import smooth_background
from .response import overlap
from .xray_model import SourceModel, to_values

Array = NDArray[np.float64]

BLOCK = 64  # parameter sets at once: their photons stay in a cache of 1 to 2 MB
_LEAST = 1e-9  # counts expected in a channel that the response does not reach
_W_NEEDS = 3.0  # counts beside the source in a channel, in the mean
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

    @property
    def statistic(self) -> Literal["cash", "w"]:
        """Tell which statistic is that of the fit."""
        return "cash" if steady(self).background is None else "w"


def steady(member: Member) -> Member:
    """Give a member whose background can be fitted with.

    Parameters
    ----------
    member : Member

    Returns
    -------
    Member
        Itself, or where fewer than three counts a channel were measured beside it, with the
        background of `refold.smooth_background` as known. Its own scatter is then left out.
    """
    beside, scale = member.background, member.scale
    if beside is None or scale is None or beside.sum() >= _W_NEEDS * beside.size:
        return member
    known = smooth_background(beside, scale)
    return Member(member.counts, member.matrix, member.energy_edges, known=known)


class Folding:
    """Expected counts and statistic of a model for all members, one behind the other.

    Parameters
    ----------
    members : sequence of Member
    model : SourceModel
    table : PlasmaTable
    redshift : float
        Of the plasma.
    """

    def __init__(
        self, members: Sequence[Member], model: SourceModel, table: PlasmaTable, redshift: float
    ) -> None:
        self.model = model
        members = [steady(one) for one in members]
        low = min(float(one.energy_edges[0]) for one in members)
        high = max(float(one.energy_edges[-1]) for one in members)
        self.table = observed(table, redshift, low, high)
        self._paths = [_path(one, self.table.edges) for one in members]
        self.counts = np.concatenate([one.counts for one in members])
        self.beside, self.scale, self.known = (
            np.concatenate(
                [np.zeros(one.counts.size) if found is None else found for one, found in each]
            )
            for each in (
                [(one, getattr(one, name)) for one in members]
                for name in ("background", "scale", "known")
            )
        )
        self.measured = self.scale > 0
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
            at = 0
            for rebin, response in self._paths:
                part = np.asarray(response @ (rebin @ photons))
                found[rows, at : at + len(part)] = part.T
                at += len(part)
        return np.maximum(found, _LEAST)

    def statistic(self, source: Array) -> Array:
        """Give -2 ln L but for a constant of the data, shape (point,)."""
        inside, total = self.measured, np.zeros(len(source))
        if not inside.all():
            plain = ~inside
            model = source[:, plain] + self.known[plain]
            total += cash(self.counts[plain], model).sum(axis=1)
        if inside.any():
            total += w_statistic(
                self.counts[inside], source[:, inside], self.beside[inside], self.scale[inside]
            ).sum(axis=1)
        return total

    def log_likelihood(self, coordinates: Array) -> Array:
        """Give -statistic / 2 of points, shape (point,)."""
        found = np.empty(len(coordinates))
        for start in range(0, len(coordinates), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] = -0.5 * self.statistic(self.source(coordinates[rows]))
        return found

    def background(self, source: Array) -> Array:
        """Give the background expected in the source's channels, shape of `source`."""
        found = np.broadcast_to(self.known, source.shape).copy()
        inside = self.measured
        if inside.any():
            found[:, inside] = background_in_source(
                self.counts[inside], source[:, inside], self.beside[inside], self.scale[inside]
            )
        return found

    def score(self, source: Array) -> tuple[Array, Array]:
        """Give the slope of ln L in the source's counts and its information, shape of `source`."""
        background = self.background(source)
        total = source + background
        return self.counts / total - 1.0, 1.0 / (total + self.scale * background)


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
