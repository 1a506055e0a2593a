"""Matched-filter scan: where in velocity and broadening the lines may be, without a first guess.

At every node (v, b) of a coarse grid the best amplitudes lower chi2 by

    gain = c^T G^-1 c = |z|^2,   z = L^-1 c,   G = F F^T = L L^T,   c = F y,

with F the whitened profiles less their projection on the continuum. Where all channels weigh the
same, z is one matrix product for all spectra and nodes; where weights differ from spaxel to spaxel,
c, G and the projection are matrix products of their own. Amplitudes are then held non-negative: a
node's |z|^2 bounds its non-negative gain from above, so nodes are tried in falling order of the
bound and the first whose gain is known is the best. The peak is refined by a parabola in velocity.
A second peak, a line width or more away, is reported beside the first.

Kinematic groups are scanned as one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._scan import MARGIN as MARGIN
from ._scan import pick_shared, pick_weighted
from .axis import GAUSSIAN_FWHM
from .emission import Continuum, Emission, Shape, profiles, resolution_element

Array = NDArray[np.float64]

Listener = Callable[[slice, Any, NDArray[np.float32]], None]

_VELOCITY_STEP = 0.4  # of a line's full width
_BROADENING_STEP = 2.3  # ratio of neighbouring nodes
_BLOCK = 256  # spectra whose products are in memory at once
_ROWS = 64  # a multiple of the rows that any BLAS takes together


class Sums(NamedTuple):
    """Weighted sums over the channels of some spectra, at all nodes.

    `right`, shape (spaxel, node * column), is of the spectra with the columns; `pairs`, (spaxel,
    node * entry), of the squared weights with F_i F_j (j <= i), then F_i P_d; `continuum`, (spaxel,
    pair), with P_d P_e (e <= d).
    """

    right: NDArray[np.float32]
    pairs: NDArray[np.float32]
    continuum: NDArray[np.float32]


class Seeds(NamedTuple):
    """Best and second-best start of each spectrum, shape (spaxel,); NaN where there is none.

    The gain is by how much the lines lower chi2 against the continuum alone, at the node. A second
    peak is looked for down to `MARGIN` below the first.
    """

    velocity: Array
    broadening: Array
    gain: Array
    second_velocity: Array
    second_broadening: Array
    second_gain: Array


@dataclass(frozen=True, slots=True)
class Scan:
    """Profiles at the nodes, ready for any number of spectra on one axis.

    Nodes are grouped by broadening, then ordered by velocity.

    Parameters
    ----------
    velocity, broadening, step, reach : ndarray, shape (node,)
        Node, its spacing in velocity and the least distance of a second peak [km/s].
    profile : ndarray of float32, shape (channel, node, column)
        Sum of each column's lines.
    basis : ndarray of float32, shape (channel, term)
        Continuum.
    """

    velocity: Array
    broadening: Array
    step: Array
    reach: Array
    profile: NDArray[np.float32]
    basis: NDArray[np.float32]


def build(
    emission: Emission,
    continuum: Continuum,
    coordinate: Array,
    width: Array,
    *,
    velocity: tuple[float, float],
    broadening: tuple[float, float],
) -> Scan:
    """Tabulate the nodes of a scan.

    Parameters
    ----------
    emission, continuum : Emission, Continuum
        The model.
    coordinate : ndarray, shape (channel,)
        Axis, in its unit.
    width : ndarray, shape (line,)
        Width of the sinc, or standard deviation of the instrument's Gaussian.
    velocity, broadening : (low, high)
        Range of the nodes [km/s].

    Returns
    -------
    Scan
    """
    spacing = float(np.median(np.diff(coordinate)))
    element = float(resolution_element(emission.shape, width, emission.rest).min())
    element = max(element, 2 * spacing / float(emission.rest.max()) * 299792.458)
    nodes = _nodes(element, velocity, broadening, narrow_only=emission.shape is Shape.SINC)
    merged = replace(emission, group=np.zeros_like(emission.group))
    table = np.zeros((coordinate.size, len(nodes), emission.columns), dtype=np.float32)
    for index, (v, b, _, _) in enumerate(nodes):
        at, wide = np.array([[v]]), np.array([[b]])
        centre, sigma = merged.centres(at)[0], merged.sigmas(at, wide)[0]
        share = merged.shares(at, wide, width[None, :])[0]
        lines = share[:, None] * profiles(merged, coordinate, centre, sigma, width)
        for line, column in enumerate(emission.column):
            table[:, index, column] += lines[line]
    v, b, step, reach = np.array(nodes).T
    return Scan(v, b, step, reach, table, continuum.rows(coordinate).T.astype(np.float32))


def _nodes(
    element: float,
    velocity: tuple[float, float],
    broadening: tuple[float, float],
    *,
    narrow_only: bool,
) -> list[tuple[float, float, float, float]]:
    """Velocity, broadening, step and reach of each node."""
    nodes = []
    b = min(max(broadening[0], 0.4 * element / GAUSSIAN_FWHM), broadening[1])
    while True:
        full = math.hypot(element, GAUSSIAN_FWHM * b)
        count = max(2, math.ceil((velocity[1] - velocity[0]) / (_VELOCITY_STEP * full)) + 1)
        grid, step = np.linspace(*velocity, count, retstep=True)
        nodes += [(float(v), b, float(step), full) for v in grid]
        if narrow_only or b >= broadening[1] / _BROADENING_STEP:
            return nodes
        b *= _BROADENING_STEP


@dataclass(frozen=True, slots=True)
class SharedScan:
    """A scan for spectra whose channels all weigh the same.

    Parameters
    ----------
    scan : Scan
    projector : ndarray of float32, shape (channel, column * node)
        Turns a spectrum over its noise into z.
    lower : ndarray, shape (node, column, column)
        Factor L of every node, its diagonal as reciprocals, as `cholesky.py` has it.
    """

    scan: Scan
    projector: NDArray[np.float32]
    lower: Array

    @classmethod
    def of(cls, scan: Scan) -> "SharedScan":
        """Project the continuum out of every node and factor what is left."""
        channels, nodes, columns = scan.profile.shape
        orthonormal = np.linalg.qr(scan.basis.astype(np.float64))[0]
        flat = scan.profile.reshape(channels, -1).astype(np.float64)
        flat -= orthonormal @ (orthonormal.T @ flat)
        stacked = flat.reshape(channels, nodes, columns).transpose(1, 2, 0)
        gram = stacked @ stacked.transpose(0, 2, 1)
        # A column or node without channels gets a weight that keeps its amplitude at zero.
        diagonal = np.einsum("njj->nj", gram)
        least = 1e-6 * diagonal.max()
        diagonal += 1e-9 * np.maximum(diagonal.max(axis=1, keepdims=True), least)
        lower = np.linalg.cholesky(gram).astype(np.float64)
        z = np.linalg.solve(lower, stacked)
        projector = np.ascontiguousarray(z.transpose(2, 1, 0).reshape(channels, -1))
        factors = np.einsum("njj->nj", lower)
        factors[:] = 1.0 / factors
        return cls(scan, projector.astype(np.float32), lower)

    def whiten(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give z of spectra over their noise, shape (spaxel, node * column)."""
        return _nodes_first(self._project(scaled))

    def _project(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        """Products with all nodes, shape (spaxel, column, node)."""
        z = _times(spectra, self.projector)
        return z.reshape(len(spectra), self.lower.shape[1], self.lower.shape[0])

    def seeds(
        self, data: NDArray[np.floating], noise: Array, listen: Listener | None = None
    ) -> Seeds:
        """Find the starts of a batch.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
            Spectra, finite.
        noise : ndarray, shape (spaxel,)
            Standard deviation of every channel; a row where it is not positive gets NaN.
        listen : callable, optional
            Handed the rows of each block, the spectra over their noise and z.

        Returns
        -------
        Seeds
        """
        out = np.full((data.shape[0], 6), np.nan)
        grid = _grid(self.scan)
        for first in range(0, data.shape[0], _BLOCK):
            rows = slice(first, first + _BLOCK)
            spectra = np.asarray(data[rows], dtype=np.float32)
            projected = self._project(spectra)
            pick_shared(projected, noise[rows], self.lower, grid, out[rows])
            if listen is not None:
                unit = np.where(noise[rows] > 0, noise[rows], np.nan).astype(np.float32)[:, None]
                listen(rows, spectra / unit, _nodes_first(projected) / unit)
        return Seeds(*np.ascontiguousarray(out.T))


@dataclass(frozen=True, slots=True)
class WeightedScan:
    """A scan for spectra whose channels weigh differently from spaxel to spaxel.

    Parameters
    ----------
    scan : Scan
    products : ndarray of float32, shape (channel, node * entry)
        Per node the products F_i F_j (j <= i), then F_i P_d; summed with the weights they give G
        and the overlap with the continuum.
    squares : ndarray of float32, shape (channel, pair)
        P_d P_e (e <= d).
    """

    scan: Scan
    products: NDArray[np.float32]
    squares: NDArray[np.float32]

    @classmethod
    def of(cls, scan: Scan) -> "WeightedScan":
        """Tabulate the products."""
        channels, nodes, columns = scan.profile.shape
        terms = scan.basis.shape[1]
        i, j = np.tril_indices(columns)
        pairs = scan.profile[:, :, i] * scan.profile[:, :, j]
        overlaps = scan.profile[:, :, :, None] * scan.basis[:, None, None, :]
        overlaps = overlaps.reshape(channels, nodes, columns * terms)
        products = np.concatenate([pairs, overlaps], axis=2).reshape(channels, -1)
        d, e = np.tril_indices(terms)
        return cls(scan, np.ascontiguousarray(products), scan.basis[:, d] * scan.basis[:, e])

    def seeds(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        listen: Listener | None = None,
    ) -> Seeds:
        """Find the starts of a batch.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
            Spectra; where the weight is zero they may be NaN.
        weight : ndarray, shape (spaxel, channel)
            One over the standard deviation; zero leaves the channel out.
        listen : callable, optional
            Handed the rows of each block, their `Sums`, and z.

        Returns
        -------
        Seeds
        """
        out = np.full((data.shape[0], 6), np.nan)
        grid, columns = _grid(self.scan), self.scan.profile.shape[2]
        for first in range(0, data.shape[0], _BLOCK):
            rows = slice(first, first + _BLOCK)
            unit = weight[rows].max(axis=1)  # fluxes of 1e-20 would underflow
            unit = np.where(unit > 0, unit, 1.0)
            products = self.sums(data[rows], weight[rows], unit)
            sizes = columns, self.scan.basis.shape[1]
            z = np.zeros_like(products.right[:0] if listen is None else products.right)
            pick_weighted(products, sizes, grid, out[rows], z)
            if listen is not None:
                listen(rows, products, z)
        return Seeds(*np.ascontiguousarray(out.T))

    def sums(self, data: NDArray[np.floating], weight: NDArray[np.floating], unit: Array) -> Sums:
        """Sum over the channels: spectra less their continuum and squared weights.

        Parameters
        ----------
        data, weight : ndarray, shape (spaxel, channel)
            As `seeds` takes them.
        unit : ndarray, shape (spaxel,)
            Of the weights.

        Returns
        -------
        Sums
        """
        w = (weight / unit[:, None]).astype(np.float32)
        y = (np.where(weight > 0, data, 0.0) * weight).astype(np.float32) * w
        flattened = _without_continuum(y, w * w, self.scan.basis)
        flat = self.scan.profile.reshape(self.scan.profile.shape[0], -1)
        return Sums(
            _times(flattened, flat),
            _times(w * w, self.products),
            _times(w * w, self.squares),
        )


def _nodes_first(projected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder (spaxel, column, node) to (spaxel, node * column)."""
    return projected.transpose(0, 2, 1).reshape(len(projected), -1)


def _times(spectra: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Matrix product whose rows depend on how many there are by a few units in the last place.

    BLAS sums the last few rows in another order than the others, so their number is rounded up.
    """
    count = len(spectra)
    if count % _ROWS:
        whole = np.zeros((count + -count % _ROWS, spectra.shape[1]), np.float32)
        whole[:count] = spectra
        spectra = whole
    return (spectra @ matrix)[:count]


def _without_continuum(
    y: NDArray[np.float32], squared: NDArray[np.float32], basis: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted data less their weighted continuum, in float64 where a bright one would cancel."""
    polynomial = basis.astype(np.float64)
    gram = np.einsum("sc,cd,ce->sde", squared, polynomial, polynomial, optimize=True)
    gram += (
        1e-9 * np.eye(basis.shape[1]) * (np.trace(gram, axis1=1, axis2=2) + 1e-30)[:, None, None]
    )
    linear = np.linalg.solve(gram, (y @ polynomial)[:, :, None])[:, :, 0]
    return (y - squared * (linear @ polynomial.T)).astype(np.float32)


def _grid(scan: Scan) -> tuple[Array, Array, Array, Array]:
    return scan.velocity, scan.broadening, scan.step, scan.reach
