"""A fit on a few numbers per spectrum: finds the minimum that the exact model then polishes.

What `basis.py` and `overlaps.py` tabulate turns the linear problem of `varpro.py` into one between
short vectors. With z_k = P_k^T y and h_k(v, b) of every line, a_k its amplitude,

    c_k = h_k z_k,   G_jk = h_j B_jk h_k,   chi2 = y y - c G^-1 c,
    g_p = sum_k a_k dh_k/dtheta_p (z_k - sum_j a_j B_kj h_j),

an exact gradient, at a cost that does not know how many channels there are. The search is that of
`varpro.py`: the same damping, bounds and limits on steps. Only its Hessian leaves out the overlap
of lines that are far apart, and its last step may be larger, because a polish follows.

Weights must be the same in all channels of a spectrum and its axis evenly spaced; the instrument's
width is free. A spectrum that leaves the tables keeps its start: the polish is then a whole fit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ._find import find_all
from ._reduced import FOUND
from .axis import SPEED_OF_LIGHT
from .basis import CLASS, WIDTHS, Basis, build_basis, width_class
from .emission import Continuum, Emission, Shape
from .once import Once
from .overlaps import Frame, build_frame, reach
from .varpro import Bounds, Geometry, packed

Array = NDArray[np.float64]

_ITERATIONS = 40
_STRETCH = 1.2e-3  # of an axis that spaxels stretch: further out a spectrum is not found
_NARROWEST = 0.45  # standard deviation of a Gaussian that channels still sample [channels]


@dataclass(frozen=True, slots=True)
class Found:
    """Where the reduced search of each spectrum ended."""

    velocity: Array  # (spaxel, group) [km/s]
    broadening: Array  # (spaxel, group) [km/s]
    chi2: Array  # (spaxel,); NaN where the spectrum left the tables
    debt: Array  # (spaxel,), chi2 that forbidding negative amplitudes would cost
    bent: Array  # (spaxel, parameter, parameter), curvature of chi2 / 2 by the residual
    evaluations: NDArray[np.int64]  # (spaxel,)
    found: NDArray[np.bool_]  # (spaxel,)

    @property
    def cost(self) -> Array:
        """Chi2 with negative amplitudes counted against it; infinite where there is none."""
        return np.where(np.isfinite(self.chi2), self.chi2 + self.debt, np.inf)

    def part(self, rows: NDArray[np.integer]) -> "Found":
        """Copy some spaxels."""
        return Found(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: NDArray[np.integer], part: "Found") -> None:
        """Take over the spaxels of `part` at `rows`."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(part, field.name)


class ReducedEngine:
    """Tables of one model, made as spectra ask for them; safe to share between threads.

    Parameters
    ----------
    emission, continuum : Emission, Continuum
        The model.
    bounds : Bounds
        Box of velocity and broadening.
    """

    def __init__(self, emission: Emission, continuum: Continuum, bounds: Bounds) -> None:
        self.emission, self.continuum, self.bounds = emission, continuum, bounds
        self._bases: Once[Basis] = Once()
        self._frames: Once[Frame] = Once()

    @property
    def nbytes(self) -> int:
        """Memory that the tables made so far take."""
        return sum(x.nbytes for x in (*self._bases.values(), *self._frames.values()))

    def find(
        self,
        data: NDArray[np.floating],
        noise: Array,
        geometry: Geometry,
        *,
        start: tuple[Array, Array],
    ) -> Found:
        """Search every spectrum of a batch from its own start.

        Parameters
        ----------
        data : ndarray, shape (spaxel, channel)
            Spectra; one that is not finite is not found.
        noise : ndarray, shape (spaxel,)
            Standard deviation of every channel.
        geometry : Geometry
            Axis and line width of each spaxel.
        start : (velocity, broadening), each of shape (spaxel, group)
            First guess [km/s].

        Returns
        -------
        Found
        """
        spaxels = data.shape[0]
        t = geometry.coordinate
        theta = np.clip(np.stack(start, axis=-1), *np.transpose(self.bounds))
        begin = theta.reshape(spaxels, -1)
        theta = np.array(begin, order="C")
        scalars = np.full((spaxels, 4), np.nan)
        bent = np.zeros((spaxels, theta.shape[1], theta.shape[1]))
        for rows, (axis, tables, nodes), flat in self._classes(geometry):
            order = rows[np.argsort(theta[rows, 0], kind="stable")]
            find_all(
                (
                    np.require(data, np.float32, "C"),
                    noise,
                    geometry.scale,
                    geometry.width,
                    nodes,
                    order,
                ),
                packed(self.emission),
                axis,
                tables,
                flat,
                t,
                (*map(float, (*self.bounds.velocity, *self.bounds.broadening)), _ITERATIONS),
                (theta, scalars, bent),
            )
        lost = scalars[:, 3] != FOUND
        theta[lost] = begin[lost]
        return Found(
            velocity=theta[:, 0::2],
            broadening=theta[:, 1::2],
            chi2=scalars[:, 0],
            debt=scalars[:, 1],
            bent=bent,
            evaluations=np.nan_to_num(scalars[:, 2]).astype(np.int64),
            found=~lost,
        )

    def classes(self, geometry: Geometry) -> Iterator[tuple[NDArray[np.int64], tuple]]:
        """Give the spaxels that share tables, and what the compiled loops need of these.

        Parameters
        ----------
        geometry : Geometry
            Axis and line width of each spaxel.

        Yields
        ------
        rows : ndarray
        tables : tuple
            Axis of the frame, its tables, and for every spaxel the node of its width.
        """
        for rows, tables, _ in self._classes(geometry):
            yield rows, tables

    def _classes(self, geometry: Geometry) -> Iterator[tuple[NDArray[np.int64], tuple, Array]]:
        """Give what `classes` does, and the continuum of the frame."""
        step = float(geometry.coordinate[1] - geometry.coordinate[0])
        width = geometry.width[:, 0] / geometry.scale / step
        classes = width_class(self.emission.shape, width)
        for index in np.unique(classes):
            frame = self._frame(int(index), geometry)
            tables = (
                frame.basis.vectors.reshape(-1),
                frame.basis.table.reshape(-1),
                frame.places,
                frame.ready,
                frame.blocks.reshape(-1),
                frame.slot,
                frame.near,
                self.emission.line_group,
                frame.basis.half,
                frame.blocks.shape[1],
            )
            axis, nodes = (*frame.axis, *frame.basis.grid), self._nodes(width, frame.basis)
            yield np.flatnonzero(classes == index), (axis, tables, nodes), frame.continuum

    def _nodes(self, width: Array, basis: Basis) -> NDArray[np.int64]:
        """Node of the table nearest to each width [channels]."""
        if self.emission.shape is Shape.GAUSSIAN:
            return np.zeros(width.size, dtype=np.int64)
        fine = np.log(width / basis.widths[0]) * (WIDTHS - 1) / CLASS
        return np.clip(np.rint(fine), 0, WIDTHS - 1).astype(np.int64)

    def _frame(self, index: int, geometry: Geometry) -> Frame:
        """Tables for an axis and a class of widths; built where they are not yet."""
        t = geometry.coordinate
        stretched = bool((geometry.scale != 1.0).any())
        key = (float(t[0]), float(t[-1]), t.size, index, stretched)
        beyond = _STRETCH * SPEED_OF_LIGHT if stretched else 0.0
        reached = self.bounds.velocity[0] - beyond, self.bounds.velocity[1] + beyond

        def make() -> Frame:
            basis = self._basis(index, geometry)
            return build_frame(basis, self.emission, self.continuum, t, reached)

        return self._frames.get(key, make)

    def _basis(self, index: int, geometry: Geometry) -> Basis:
        """Functions of a class of widths; built where they are not yet."""
        t = geometry.coordinate
        step = float(t[1] - t[0])
        widest = self.bounds.broadening[1] / SPEED_OF_LIGHT * float(self.emission.rest.max()) / step
        least = 0.0
        if self.emission.shape is Shape.GAUSSIAN:
            own = geometry.width / geometry.scale[:, None] / step
            least = max(_NARROWEST, 0.9 * float(own.min()))
            widest = math.hypot(widest, 1.1 * float(own.max()))
        # Rounded, so that axes that are stretched a little differently share their functions.
        exact = 1.05 * max(widest, 2.0 * least)
        sigma = least, 1.05 ** math.ceil(math.log(exact) / math.log(1.05))
        key = (index, sigma, reach(t.size + 8 & ~7))
        return self._bases.get(key, lambda: build_basis(self.emission.shape, *key))
