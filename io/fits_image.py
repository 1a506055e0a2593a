"""One image of a FITS file, read from a map of the file in blocks of planes.

Pixels become native numbers, scaled by BSCALE and BZERO; pages that were read are given back, so
that memory does not grow with the cube.
"""

import math
import mmap
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fits_cards import Cards
from .records import Area

DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}  # by BITPIX


@dataclass(frozen=True, slots=True)
class FitsImage:
    """One image of a file.

    Parameters
    ----------
    file : str
        File name, as errors name it.
    index : int
        Position among the HDUs, 0 for the primary one.
    name : str
        EXTNAME in capitals; "PRIMARY" or "" where there is none.
    cards : dict
        Keyword to value, the first of each; None where the value is undefined.
    shape : tuple of int
        Slowest axis first, trailing FITS axes of length one dropped: (channel, y, x) for a cube.
    offset : int
        First byte of the pixels in the map.
    buffer : mmap.mmap
        The map.
    """

    file: str
    index: int
    name: str
    cards: Cards
    shape: tuple[int, ...]
    offset: int
    buffer: mmap.mmap

    def __str__(self) -> str:
        """Name the image as errors do."""
        return f"{self.file}[{self.name or self.index}]"

    @property
    def is_float(self) -> bool:
        """Whether pixels are stored as floating-point numbers."""
        return int(self.cards["BITPIX"]) < 0

    @property
    def dtype(self) -> np.dtype:
        """Native type that holds every value: float32 unless the file stores more digits."""
        bits = int(self.cards["BITPIX"])
        return np.dtype(np.float32 if bits in (-32, 16, 8) else np.float64)

    def stored(self) -> NDArray:
        """Map the pixels as they are stored; drop the array before the file is closed."""
        dtype = np.dtype(DTYPES[int(self.cards["BITPIX"])])
        count = math.prod(self.shape)
        return np.frombuffer(self.buffer, dtype, count, self.offset).reshape(self.shape)

    def block(self, start: int, stop: int, area: Area) -> NDArray:
        """Read channels `start` to `stop` of an area, shape (channel, y, x), native and scaled.

        Integers without BSCALE, BZERO and BLANK stay integers: masks keep their bits.
        """
        pixels = self.stored()[start:stop, area.y0 : area.y1, area.x0 : area.x1]
        return self._scaled(pixels)

    def whole(self) -> NDArray:
        """Read all of a small image, native and scaled."""
        return self._scaled(self.stored())

    def _scaled(self, pixels: NDArray) -> NDArray:
        """Apply BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2)."""
        scale = float(self.cards.get("BSCALE", 1.0))
        zero = float(self.cards.get("BZERO", 0.0))
        blank = self.cards.get("BLANK")
        native = pixels.dtype.newbyteorder("=")
        if scale == 1.0 and zero == 0.0 and (blank is None or self.is_float):
            return pixels.astype(native)
        values = pixels.astype(self.dtype)
        if blank is not None and not self.is_float:
            values[pixels == int(blank)] = np.nan
        values *= scale
        values += zero
        return values

    def announce(self, area: Area) -> None:
        """Tell the system which stretches of the planes are read next, so that it reads ahead."""
        planes, height, width = self.shape
        size = np.dtype(DTYPES[int(self.cards["BITPIX"])]).itemsize
        advice = getattr(mmap, "MADV_WILLNEED", None)
        if advice is None or area.shape[1] == height:
            return  # whole planes follow one another: the system sees that by itself
        length = (area.y1 - area.y0) * width * size
        for plane in range(planes):
            first = self.offset + (plane * height + area.y0) * width * size
            start = first - first % mmap.PAGESIZE
            self.buffer.madvise(advice, start, first + length - start)

    def release(self) -> None:
        """Give back the pages that were touched: they are the file's and can be read again."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None:
            self.buffer.madvise(advice)
