"""Inputs of the graphs of `fit_graph.py`: what a model, an axis and a class of widths fix.

Spectra share these arrays, which stay on the device, where the model is the same, and of an FTS the
nodes of its quadrature: then the largest phase per channel and the stretch of the axis differ by
little. Classes follow from the spaxel alone, so that neighbours change nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import varpro
from ..kernels.axis import SPEED_OF_LIGHT
from ..kernels.emission import Emission, Shape, resolution_element
from .interferogram import Interferogram, classes, interferogram

Array = NDArray[np.float64]

_SCALE_CLASS = 0.01  # in ln scale: spectra that share nodes


@dataclass(frozen=True, slots=True)
class GraphModel:
    """What the spectra of a call share."""

    emission: Emission
    basis: Array  # (term, channel)
    coordinate: Array  # (channel,)
    bounds: varpro.Bounds
    iterations: int
    classes: tuple[int, int]  # of scale and of phase per channel; 0 for Gaussians

    @property
    def key(self) -> tuple[object, ...]:
        """Tell models apart."""
        e = self.emission
        arrays = e.rest, e.column, e.ratio, e.group, self.basis, self.coordinate
        plain = e.shape, e.wavenumber, *self.bounds, self.iterations, *self.classes
        return *plain, *(values.tobytes() for values in arrays)

    @property
    def order(self) -> NDArray[np.int64]:
        """Channels as the graph takes them; of an odd number the last pair lacks one, -1."""
        channels = self.coordinate.size
        if self.emission.shape is Shape.GAUSSIAN:
            return np.arange(channels)
        right = np.arange(channels // 2, channels)
        return np.r_[right, np.arange(right.size)[::-1] - channels % 2]

    def constants(self) -> dict[str, NDArray]:
        """Give the inputs that are the same for all spectra."""
        e, groups = self.emission, self.emission.groups
        broad = float(e.shape is not Shape.SINC)
        share = np.zeros((e.columns + len(self.basis), e.rest.size + len(self.basis)))
        share[e.column, np.arange(e.rest.size)] = 1.0
        share[e.columns :, e.rest.size :] = np.eye(len(self.basis))
        low, high = np.transpose(self.bounds)
        parameter = np.arange(2 * groups)
        return {
            "rest": e.rest,
            "ratio": e.ratio,
            "lead": e.lead,
            "group": e.line_group,
            "members": (e.line_group == np.arange(groups)[:, None]).astype(np.float64),
            "share": share,
            "is_line": (np.arange(len(share)) < e.columns).astype(np.float64),
            "basis": ordered(self.basis, self.order),
            "wavenumber": np.array(e.wavenumber),
            "widths": np.array(broad),
            "low": np.tile(low, groups),
            "high": np.tile(high, groups),
            "movable": np.where(parameter % 2, broad, 1.0),
            "own": parameter | 1,
            "iterations": np.array(self.iterations),
        }

    def axis(self) -> tuple[dict[str, NDArray], Interferogram | None]:
        """Give the inputs that the axis fixes, and the quadrature of an FTS."""
        t, e = self.coordinate, self.emission
        if e.shape is Shape.GAUSSIAN:
            return {"coordinate": t}, None
        step = t[1] - t[0]
        middle = t[0] + step * (t.size // 2 - 0.5)
        scales = np.exp((self.classes[0] + np.array([[-0.5], [0.5]])) * _SCALE_CLASS)
        ends = np.repeat(np.array(self.bounds.velocity)[:, None], e.groups, axis=1)
        centres = (e.centres(ends) / scales[:, :, None]).ravel()
        found = interferogram(
            self.classes[1],
            pairs=self.order.size // 2,
            beyond=float(np.abs(centres - middle).max() / step),
            sigma=float(self.bounds.broadening[1] / SPEED_OF_LIGHT * centres.max() / step),
        )
        inputs = {
            "middle": np.array(middle),
            "step": np.array(step),
            "phase": found.nodes,
            "inner": found.inner,
            "cosine": found.cosine,
            "sine": found.sine,
        }
        return inputs, found


def ordered(values: NDArray, order: NDArray[np.int64]) -> Array:
    """Put channels, the last axis, into an order; what is not there is zero."""
    return np.where(order < 0, 0.0, values[..., order])


def largest_phase(geometry: varpro.Geometry) -> Array:
    """Largest phase step per channel of an FTS, shape (spaxel,)."""
    step = geometry.coordinate[1] - geometry.coordinate[0]
    return np.pi * step * geometry.scale / geometry.width[:, 0]


def class_pairs(emission: Emission, geometry: varpro.Geometry) -> NDArray[np.int64]:
    """Classes of scale and phase of each spaxel, shape (spaxel, 2): they depend on it alone."""
    if emission.shape is Shape.GAUSSIAN:
        return np.zeros((geometry.scale.size, 2), np.int64)
    scale = np.rint(np.log(geometry.scale) / _SCALE_CLASS).astype(np.int64)
    return np.stack([scale, classes(largest_phase(geometry))], axis=1)


def element(emission: Emission, geometry: varpro.Geometry) -> Array:
    """FWHM of the first line's instrument, or two channels where that is more [km/s]."""
    t, centre = geometry.coordinate, emission.rest[0] / geometry.scale
    own = resolution_element(emission.shape, geometry.width[:, 0] / geometry.scale, centre)
    return np.maximum(own, 2 * (t[1] - t[0]) / centre * SPEED_OF_LIGHT)
