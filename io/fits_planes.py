"""Blocks of channels of a FITS cube, flux and variance, with bad values turned to NaN.

A plane of the cube is one channel, so that a batch of whole rows is one stretch of bytes in each
plane. Pages go back to the system after each block: memory holds one block, whatever the cube.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .fits_image import FitsImage
from .fits_layout import Layout
from .records import Area

Block = NDArray[np.floating]

BLOCK_PIXELS = 1 << 19  # values of one block: it stays in the cache while it is turned


class Planes:
    """Channels of a cube as its layout describes them.

    Parameters
    ----------
    layout : Layout

    Attributes
    ----------
    variance_dtype : dtype or None
        Of the variance; None where there is none.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.shape = layout.spectra.shape
        self._plane_mask = self._read_plane_mask()
        self.variance_dtype: np.dtype | None = None
        if layout.noise is not None:
            # The square of a small float32 would sink below what float32 holds.
            squared = layout.noise_kind == "sigma"
            self.variance_dtype = np.dtype(np.float64) if squared else layout.noise.dtype

    @property
    def whole(self) -> Area:
        """All spaxels."""
        return Area(0, self.shape[2], 0, self.shape[1])

    def blocks(self, area: Area) -> Iterator[tuple[int, int, Block, Block | None]]:
        """Go through the channels of an area.

        Parameters
        ----------
        area : Area

        Yields
        ------
        start, stop : int
            Channels of the block, as stored.
        data : ndarray, shape (channel, y, x)
            Native; NaN where bad.
        variance : ndarray of the same shape, or None
            NaN where it or the data are bad.
        """
        for image in self._images():
            image.announce(area)
        planes = max(1, BLOCK_PIXELS // len(area))
        for start in range(0, self.shape[0], planes):
            stop = min(start + planes, self.shape[0])
            yield start, stop, *self.block(start, stop, area)
            self.release()

    def block(self, start: int, stop: int, area: Area) -> tuple[Block, Block | None]:
        """Read one block of channels, flux and variance."""
        data = self.data(start, stop, area)
        noise, dtype = self.layout.noise, self.variance_dtype
        if noise is None or dtype is None:
            return data, None
        values = noise.block(start, stop, area).astype(dtype, copy=False)
        with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
            if self.layout.noise_kind == "sigma":
                values = np.where(values > 0, values, np.nan) ** 2
            elif self.layout.noise_kind == "inverse variance":
                data[~(values > 0)] = np.nan  # no weight: nothing was measured
                values = 1.0 / values
            good = (values > 0) & np.isfinite(values) & np.isfinite(data)
        return data, np.where(good, values, np.nan).astype(dtype, copy=False)

    def data(self, start: int, stop: int, area: Area) -> Block:
        """Read one block of channels, flux alone."""
        spectra, mask = self.layout.spectra, self.layout.mask
        block = spectra.block(start, stop, area).astype(spectra.dtype, copy=False)
        bad = ~np.isfinite(block)
        if self._plane_mask is not None:
            bad |= self._plane_mask[area.y0 : area.y1, area.x0 : area.x1]
        elif mask is not None:
            bad |= _flagged(mask.block(start, stop, area), self.layout.mask_bits)
        block[bad] = np.nan
        return block

    def release(self) -> None:
        """Give back the pages read so far."""
        self.layout.spectra.release()

    def _images(self) -> list[FitsImage]:
        """Give the images that are read channel by channel."""
        layout = self.layout
        mask = layout.mask if self._plane_mask is None else None
        return [image for image in (layout.spectra, layout.noise, mask) if image is not None]

    def _read_plane_mask(self) -> NDArray[np.bool_] | None:
        """Read a mask of spaxels, shape (y, x)."""
        mask = self.layout.mask
        if mask is None or len(mask.shape) != 2:
            return None
        return _flagged(mask.whole(), self.layout.mask_bits)


def _flagged(values: NDArray, bits: int) -> NDArray[np.bool_]:
    """Tell where a mask marks bad channels; NaN in a mask of floats does."""
    if values.dtype.kind in "iub" and bits != -1:
        return (values & bits) != 0
    return values != 0
