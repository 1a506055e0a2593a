"""Spaxels of a batch with like axis and line width: they share the tables of a scan.

Classes follow from the spaxel alone, whatever else is in its batch, and serve seeds only: the fit
uses each spaxel's own axis and width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..io.records import SpectralBatch
from ..kernels import varpro
from .spectral_model import SpectralModel

Array = NDArray[np.float64]

SCALE_CLASS = 1e-3
"""Width of a class in the stretch of the axis; its scan reaches so far (300 km/s) beyond the
velocity range."""

_WIDTH_CLASS = 1e-2  # seeds tell no difference in width below this
_CODE, _UNKNOWN = 1 << 32, -(1 << 62)  # make one number of two classes; that of no class


@dataclass(frozen=True, slots=True)
class SpaxelClass:
    """Spaxels of a batch with like axis and line width, on the axis of the class.

    `scale` stretches the class' axis, itself `stretch` times the model's, to the spaxel's own.
    """

    rows: NDArray[np.int64]
    stretch: float
    broaden: float
    channels: NDArray[np.bool_]
    scale: Array
    width: Array

    def part(self, chosen: NDArray[np.intp]) -> "SpaxelClass":
        """Give some of the spaxels."""
        own = self.rows[chosen], self.scale[chosen], self.width[chosen]
        return replace(self, rows=own[0], scale=own[1], width=own[2])

    def geometry(self, model: SpectralModel, *, everywhere: bool = False) -> varpro.Geometry:
        """Give the channels of the fit, or all; `model` may have more components."""
        coordinate = model.coordinate if everywhere else model.coordinate[self.channels]
        width = self.width if model.components == 1 else np.tile(self.width, model.components)
        return varpro.Geometry(coordinate * self.stretch, self.scale, width)


def classes_of(model: SpectralModel, batch: SpectralBatch) -> Iterator[SpaxelClass]:
    """Spaxels of a batch that share tables; those whose axis is unknown are left out.

    Parameters
    ----------
    model : SpectralModel
    batch : SpectralBatch
    """
    spaxels = len(batch)
    scale, width = model.scale(batch.corr, spaxels), model.widths(batch.corr, spaxels)
    known = np.isfinite(scale) & np.isfinite(width).all(axis=1) & (scale > 0)
    wide = np.where(known & (width[:, 0] > 0), width[:, 0] / max(model.width[0], 1e-30), 1.0)
    by_scale = np.rint(np.log(np.where(known, scale, 1.0)) / SCALE_CLASS).astype(int)
    by_width = np.rint(np.log(wide) / _WIDTH_CLASS).astype(int)
    codes = np.where(known, _CODE * by_scale + by_width, _UNKNOWN)
    for code in np.unique(codes):
        if code == _UNKNOWN:
            continue
        rows = np.flatnonzero(codes == code)
        stretch = float(np.exp(by_scale[rows[0]] * SCALE_CLASS))
        broaden = float(np.exp(by_width[rows[0]] * _WIDTH_CLASS))
        channels = model.window_channels(stretch)
        yield SpaxelClass(rows, stretch, broaden, channels, scale[rows] / stretch, width[rows])
