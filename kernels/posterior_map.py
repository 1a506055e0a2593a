"""The coarse map of `posterior.py`: cells about the nodes of a scan, ready for many spectra."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import scan
from ._posterior_batch import small_space
from ._posterior_cells import node_constants
from .varpro import Bounds

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PosteriorMap:
    """Nodes of a scan, and the stretch of velocity and broadening that each stands for.

    Parameters
    ----------
    table : ndarray, shape (node, 5)
        Velocity and side of its cell, broadening and both ends of its cell [km/s].
    shared : SharedScan or None
        For even weights.
    weighted : WeightedScan or None
        For any others.
    """

    table: Array
    shared: scan.SharedScan | None
    weighted: scan.WeightedScan | None

    @classmethod
    def of(
        cls,
        nodes: scan.Scan,
        bounds: Bounds,
        *,
        shared: scan.SharedScan | None = None,
        weighted: scan.WeightedScan | None = None,
    ) -> "PosteriorMap":
        """Cut the range of broadening between the nodes, half way in the logarithm."""
        levels = np.unique(nodes.broadening)
        low, high = max(bounds.broadening[0], 0.1), bounds.broadening[1]
        between = np.clip(np.sqrt(levels[1:] * levels[:-1]), low, high)
        edges = np.r_[low, between, high]
        at = np.searchsorted(levels, nodes.broadening)
        table = np.stack(
            [nodes.velocity, nodes.step, nodes.broadening, edges[at], edges[at + 1]], axis=1
        )
        return cls(np.ascontiguousarray(table), shared, weighted)

    def products(
        self,
        data: NDArray[np.float32],
        weight: Array,
        noise: Array,
        *,
        even: bool,
        amplitudes: tuple[float, float, float],
    ) -> tuple:
        """Give what `integrate_all` needs of some spectra.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
        weight : ndarray, shape (spaxel, channel) or (spaxel, 1)
        noise : ndarray, shape (spaxel,)
            Typical standard deviation, the unit of amplitudes.
        even : bool
            Whether all channels of a spectrum weigh the same.
        amplitudes : (float, float, float)
            One over the variance of a Gaussian prior, zero where it is flat; log of its scale; one
            where it is zero for negative ones.
        """
        nodes = len(self.table)
        none = np.zeros((0, 0), dtype=np.float32)
        if even and self.shared is not None:
            z = self.shared.whiten(data * weight[:, :1].astype(np.float32))
            columns = self.shared.lower.shape[1]
            constants = np.empty(nodes)
            prior = (0.0, *amplitudes[:2], np.zeros((6, 0)), amplitudes[2])
            small = small_space(1, columns)
            node_constants(self.shared.lower, prior, small, constants)
            return self.table, self.shared.lower, z, constants, (none, none, none), (columns, 1)
        if self.weighted is None:
            raise ValueError("weights differ from channel to channel, and the map has even ones")
        columns, terms = self.weighted.scan.profile.shape[2], self.weighted.scan.basis.shape[1]
        # A plain tuple, as above: of another type everything would be compiled again.
        products = tuple(self.weighted.sums(data, weight, 1.0 / noise))
        room = np.zeros((nodes, columns, columns))
        return self.table, room, none, np.full(nodes, np.nan), products, (columns, terms)
