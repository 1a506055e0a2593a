"""FITS cubes: MUSE, MaNGA, SAMI, GMOS, exports of ORB and LUCI, and what looks like them.

The file is mapped into memory (`fits_file`) and read in blocks of channels (`fits_planes`), which
are turned to spectra here. What an image means is found by `fits_layout`, the axis by `fits_axis`,
the kind of noise by `fits_noise`.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fingerprint import BLOCK_NBYTES, identity
from .fits_axis import spectral_axis
from .fits_file import FitsFile, is_fits
from .fits_header import cube_header
from .fits_layout import find_layout
from .fits_noise import settle_noise
from .fits_planes import BLOCK_PIXELS, Planes
from .records import Area, BatchKey, FtsAxis, SpectralBatch
from .tiling import Panel

_SUFFIXES = (".fits", ".fit", ".fts")


def claims(path: Path) -> bool:
    """Whether a file is FITS by its first bytes, or means to be by its name."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(_SUFFIXES) or is_fits(path)


def open(path: Path) -> "FitsCube":  # noqa: A001 (every reader's entry has this name)
    """Open a FITS cube.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Returns
    -------
    FitsCube

    Raises
    ------
    InputError
        If it is no FITS cube, is malformed, or holds no finite value.
    StorageError
        If there is no room to unpack a gzipped file.
    """
    return FitsCube(Path(path))


class FitsCube:
    """An open FITS cube; conforms to `source.CubeReader`.

    Attributes
    ----------
    header : CubeHeader
    panels : tuple of Panel
        The cube, in one piece; its tile is one whole row of spaxels.
    spaxel_nbytes : int
        Memory one spaxel takes in a batch [bytes].
    held_nbytes : int
        Memory of the blocks that are being turned [bytes].
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = FitsFile(path)
        try:
            layout = find_layout(self._file)
            table = None if layout.table is None else layout.table.whole()
            found = spectral_axis(
                layout.cards, layout.spectra.shape[0], where=str(layout.spectra), table=table
            )
            layout, notes = settle_noise(layout)
            self.header = cube_header(self._file, layout, found, notes)
            self._planes = Planes(layout)
        except BaseException:
            self._file.close()
            raise
        self._flip = found.flip
        channels, ny, nx = layout.spectra.shape
        self.panels = (Panel(Area(0, nx, 0, ny), (nx, 1)),)
        variance = self._planes.variance_dtype
        value_nbytes = layout.spectra.dtype.itemsize + (variance.itemsize if variance else 0)
        self.spaxel_nbytes = channels * value_nbytes
        self.held_nbytes = 4 * 8 * max(BLOCK_PIXELS, nx)  # flux, noise, mask and their copies

    def read(self, area: Area, key: BatchKey) -> SpectralBatch:
        """Read a rectangle; rows are x slow, y fast, as `area.positions()`.

        Parameters
        ----------
        area : Area
            Inside the cube.
        key : BatchKey
            As long as the area.

        Returns
        -------
        SpectralBatch
            Bad channels NaN in the data, NaN in the variance.
        """
        planes = self._planes
        channels = planes.shape[0]
        data = np.empty((*area.shape, channels), planes.layout.spectra.dtype)
        dtype = planes.variance_dtype
        variance = None if dtype is None else np.empty(data.shape, dtype)
        for start, stop, flux, noise in planes.blocks(area):
            target = self._target(start, stop)
            data[..., target] = self._turn(flux)
            if variance is not None and noise is not None:
                variance[..., target] = self._turn(noise)
        x, y = area.positions()
        return SpectralBatch(
            key=key,
            x=x,
            y=y,
            data=data.reshape(len(area), channels),
            corr=self.corr(area),
            variance=None if variance is None else variance.reshape(len(area), channels),
        )

    def corr(self, area: Area) -> NDArray[np.float64] | None:
        """Give the laser correction: that of the axis, for exports carry no map of it."""
        axis = self.header.axis
        return np.full(len(area), axis.axis_corr) if isinstance(axis, FtsAxis) else None

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the file, as `fingerprint.identity` gives it."""
        first = 0 if self._file.gzipped else self._planes.layout.spectra.offset
        with self._path.open("rb") as handle:
            handle.seek(first)
            head = handle.read(BLOCK_NBYTES)
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - BLOCK_NBYTES))
            tail = handle.read(BLOCK_NBYTES)
        cards = json.dumps(self._file.headers, sort_keys=True, default=repr)
        return identity(self._path, header=cards, first=head, last=tail)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _target(self, start: int, stop: int) -> slice:
        """Give the place of stored channels on the increasing axis."""
        channels = self._planes.shape[0]
        return slice(channels - stop, channels - start) if self._flip else slice(start, stop)

    def _turn(self, block: NDArray) -> NDArray:
        """Turn planes (channel, y, x) to spectra (x, y, channel), channels increasing."""
        return (block[::-1] if self._flip else block).transpose(2, 1, 0)
