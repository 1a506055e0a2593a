"""Write FITS cubes as MUSE, MaNGA and SAMI pipelines do, and as ORB and LUCI export theirs.

The images of a cube lie plane after plane in the file, a slab of spaxels goes into every plane: the
file is laid out first, header by header, and the pixels are then written through a memory map.
What the headers say is in `ifu_layouts` and `sitelle_cards`.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..io.records import Area
from .ifu_layouts import GratingLayout, Plane, celestial_and_spectral, image_header
from .observing import Slab
from .sitelle_cards import SitelleFile, header_cards
from .spectrographs import Grating

_RECORD = 2880  # bytes: FITS files are made of such records
_MANGA_DEAD = 1024 | 1  # bits DONOTUSE and NOCOV of MANGA_DRP3PIXMASK


class FitsImages:
    """A FITS file laid out at once, its images filled through one memory map; a context manager.

    Parameters
    ----------
    path : Path
        File to write; replaced if it exists.
    headers : sequence of fits.Header
        Of the primary HDU and the image extensions. NAXIS 0 where an HDU holds no pixels.
    """

    tile = (32, 32)  # a line of a plane in a slab is then a page or so

    def __init__(self, path: Path, headers: Sequence[fits.Header]) -> None:
        offsets = []
        with path.open("wb") as file:
            for header in headers:
                file.write(header.tostring().encode("ascii"))
                offsets.append(file.tell())
                file.truncate(file.tell() + -(-_nbytes(header) // _RECORD) * _RECORD)
                file.seek(0, 2)
        self._map = np.memmap(path, mode="r+")
        self._images = {
            header.get("EXTNAME", "PRIMARY"): self._image(header, offset)
            for header, offset in zip(headers, offsets, strict=True)
            if _integer(header, "NAXIS")
        }

    def _image(self, header: fits.Header, offset: int) -> NDArray:
        dtype = {8: "u1", 32: ">i4", -32: ">f4", -64: ">f8"}[_integer(header, "BITPIX")]
        stored = self._map[offset : offset + _nbytes(header)].view(dtype)
        return stored.reshape(
            [_integer(header, f"NAXIS{n}") for n in range(_integer(header, "NAXIS"), 0, -1)]
        )

    def put(self, name: str, area: Area, values: NDArray) -> None:
        """Write spectra, shape (spaxel, channel), x slow and y fast, into the image `name`."""
        cube = values.reshape(*area.shape, -1)
        self._images[name][:, area.y0 : area.y1, area.x0 : area.x1] = cube.transpose(2, 1, 0)

    def put_table(self, name: str, values: NDArray) -> None:
        """Write a whole image."""
        self._images[name][:] = values

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush what the map still holds."""
        self._map.flush()


def _integer(header: fits.Header, name: str) -> int:
    return cast(int, header[name])


def _nbytes(header: fits.Header) -> int:
    lengths = [_integer(header, f"NAXIS{n}") for n in range(1, _integer(header, "NAXIS") + 1)]
    return abs(_integer(header, "BITPIX")) // 8 * int(np.prod(lengths)) if lengths else 0


class OrbFitsWriter(FitsImages):
    """The real part of a SITELLE cube as ORB, or as LUCI, exports it."""

    def __init__(self, path: Path, file: SitelleFile, *, luci: bool) -> None:
        header = image_header(-32, (*file.shape, file.axis.channels))
        cards = header_cards(file)
        if luci:
            cards["CTYPE3"] = ("FREQ", "")
            for name in ("AXISCORR", "WAVCALIB", "FILETYPE"):
                del cards[name]
        for name, card in cards.items():
            header[name] = card
        super().__init__(path, [header])

    def write(self, area: Area, slab: Slab) -> None:
        """Write the spectra of an area, x slow and y fast."""
        self.put("PRIMARY", area, slab.data)


class IfuWriter(FitsImages):
    """A cube of MUSE, MaNGA or SAMI.

    Parameters
    ----------
    path : Path
        File to write.
    layout : GratingLayout
        One of `GRATINGS`.
    instrument : Grating
        Its axis, line spread and redshift are written.
    shape : (nx, ny)
        Spaxels of the field.
    target : str
        Name of the object.
    """

    def __init__(
        self,
        path: Path,
        layout: GratingLayout,
        instrument: Grating,
        *,
        shape: tuple[int, int],
        target: str,
    ) -> None:
        self._lsf = instrument.lsf_sigma
        cards = celestial_and_spectral(layout, instrument, shape)
        self._planes, headers = layout.describe((*shape, instrument.channels), cards, target)
        super().__init__(path, headers)
        if layout.instrument == "MaNGA":
            self.put_table("WAVE", instrument.coordinate)

    def write(self, area: Area, slab: Slab) -> None:
        """Write the spectra of an area, x slow and y fast."""
        for name, plane in self._planes.items():
            self.put(name, area, self._pixels(name, plane, slab))

    def _pixels(self, name: str, plane: Plane, slab: Slab) -> NDArray:
        """Values of one image; MaNGA knows no NaN and writes zeros with a zero weight."""
        manga = name in ("FLUX", "IVAR", "MASK")
        match plane:
            case "data":
                return np.where(slab.flagged, 0.0, slab.data) if manga else slab.data
            case "variance":
                return np.where(slab.flagged, np.nan, slab.variance)
            case "inverse":
                good = np.where(slab.flagged, 1.0, slab.variance)
                return np.where(slab.flagged, 0.0, 1.0 / good)
            case "flags":
                return slab.flagged * (_MANGA_DEAD if manga else 1)
            case "lsf":
                return np.broadcast_to(self._lsf, slab.data.shape)
