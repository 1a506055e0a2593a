"""The fast fit: the reduced basis finds the minimum, the exact model polishes it.

Called like `varpro.fit`. Spectra whose channels all weigh the same go the fast way; any other, one
with a masked channel say, goes to `varpro.fit`, and so does one that leaves the tables. No number
that comes out has seen a table: chi2, parameters and covariance are those of the exact model.

Tables take a third of a second for each class of axis and width, so a cube with few spectra a class
is fitted directly.
"""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from ..io.records import Area
from ..kernels import varpro
from ..kernels.emission import Continuum, Emission, Shape
from ..kernels.polish import polish
from ..kernels.reduced import ReducedEngine
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

_WORTHWHILE = 15_000  # spectra in a class that cost the direct fit what tables cost
_CLASSES = 10  # of width over a SITELLE field, and of stretch four times as many
_EVEN = 1e-6  # of the axis: how evenly channels must be spaced


class ReducedFitter:
    """Fits batches of one model; safe to share between threads.

    Parameters
    ----------
    model : SpectralModel
    """

    def __init__(self, model: SpectralModel) -> None:
        self._engine = ReducedEngine(model.emission, model.continuum, model.bounds)

    def __call__(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        *,
        start: tuple[Array, Array],
        bounds: varpro.Bounds,
        iterations: int = 40,
    ) -> varpro.Fit:
        """Fit every spectrum of a batch from its own start."""
        even = (weight[:, 0] > 0) & (weight == weight[:, :1]).all(axis=1)
        even &= np.isfinite(start[0]).all(axis=1) & np.isfinite(start[1]).all(axis=1)
        fast, slow = np.flatnonzero(even), np.flatnonzero(~even)
        if slow.size == 0:
            return self._fast(
                data, 1.0 / weight[:, 0], emission, continuum, geometry, start, bounds
            )
        found = varpro.fit(
            data[slow],
            weight[slow],
            emission,
            continuum,
            geometry.part(slow),
            start=(start[0][slow], start[1][slow]),
            bounds=bounds,
            iterations=iterations,
        )
        if fast.size == 0:
            return found
        other = self._fast(
            data[fast],
            1.0 / weight[fast, 0],
            emission,
            continuum,
            geometry.part(fast),
            (start[0][fast], start[1][fast]),
            bounds,
        )
        return _merged(len(data), (slow, found), (fast, other))

    def _fast(
        self,
        data: NDArray[np.floating],
        noise: NDArray[np.floating],
        emission: Emission,
        continuum: Continuum,
        geometry: varpro.Geometry,
        start: tuple[Array, Array],
        bounds: varpro.Bounds,
    ) -> varpro.Fit:
        noise = np.asarray(noise, dtype=np.float64)
        found = self._engine.find(data, noise, geometry, start=start)
        return polish(
            data,
            noise,
            emission,
            continuum,
            geometry,
            start=(found.velocity, found.broadening),
            near=found.found,
            bent=found.bent,
            bounds=bounds,
        )


def worthwhile(model: SpectralModel, noise: str, shape: tuple[int, int], area: Area | None) -> bool:
    """Tell whether tables pay: even weights, an even axis, and spectra enough for every class.

    Parameters
    ----------
    model : SpectralModel
    noise : str
        Where the noise comes from.
    shape : (nx, ny)
        Of the cube.
    area : Area or None
        The part that is fitted.
    """
    steps = np.diff(model.coordinate)
    if noise == "variance" or np.ptp(steps) > _EVEN * np.ptp(model.coordinate):
        return False
    spaxels = shape[0] * shape[1] if area is None else len(area)
    classes = 4 * _CLASSES if model.stretched else _CLASSES if model.widened else 1
    if model.emission.shape is Shape.GAUSSIAN:
        classes = 4 * _CLASSES if model.stretched else 1
    return spaxels > _WORTHWHILE * classes


def _merged(spaxels: int, *parts: tuple[NDArray[np.int64], varpro.Fit]) -> varpro.Fit:
    """Put fits of some spaxels each into one."""
    arrays = {}
    for field in fields(varpro.Fit):
        first = getattr(parts[0][1], field.name)
        whole = np.empty((spaxels, *first.shape[1:]), first.dtype)
        for rows, fit in parts:
            whole[rows] = getattr(fit, field.name)
        arrays[field.name] = whole
    return varpro.Fit(**arrays)
