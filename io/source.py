"""Any cube as a stream of batches: which reader a file belongs to, and the plan of reading it.

A *reader* knows one format and gives rectangles of spectra. `CubeSource` cuts the cube, or the
region and mask asked for, into rectangles that follow the storage, so that every chunk is read
once, and averages spaxels in bins where asked.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import fits_cube, sitelle
from .binning import bin_area, bin_batch, check_smearing, kept_bins
from .celestial import binned_cards
from .errors import InputError
from .fingerprint import digest
from .records import Area, BatchKey, CubeHeader, FtsAxis, SpectralBatch
from .selection import check_selection, kept_bounds
from .tiling import Panel, cut

_WITH_AROUND = 4
"""Spaxels read for one of a batch, at most: a batch one spaxel wide is read with both its sides."""


class CubeReader(Protocol):
    """One open cube. `read` is called from one thread."""

    @property
    def header(self) -> CubeHeader:
        """What is known before any spectrum is read."""
        ...

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Rectangles stored in one piece, each with its tile; together they are the cube."""
        ...

    @property
    def spaxel_nbytes(self) -> int:
        """Memory one spaxel takes in a batch [bytes]."""
        ...

    @property
    def held_nbytes(self) -> int:
        """Memory the reader keeps beside the batches it gave [bytes]."""
        ...

    def read(self, area: Area, key: BatchKey) -> SpectralBatch:
        """Read a rectangle; rows are x slow, y fast, as `area.positions()`."""
        ...

    def corr(self, area: Area) -> NDArray[np.float64] | None:
        """Give the laser correction of an FTS, shape (spaxel,), without reading spectra."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the file, as `fingerprint.identity` gives it."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_cube(path: str | Path) -> CubeReader:
    """Open a cube with the reader it belongs to.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    CubeReader

    Raises
    ------
    InputError
        If the file is missing, malformed, or none of the known formats.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {found}; give the path of an HDF5 or FITS cube")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if sitelle.claims(path):
        return sitelle.open(path)
    if fits_cube.claims(path):
        return fits_cube.open(path)
    raise InputError(
        f"{path}: neither HDF5 nor FITS (it has {path.stat().st_size} bytes and begins with "
        f"{start!r}); give a SITELLE HDF5 cube or a FITS cube"
    )


class CubeSource:
    """A cube, or part of it, as batches of spectra.

    Parameters
    ----------
    reader : CubeReader
    batch : int
        Spaxels of the cube read at a time, at most.
    region : Area or None
        Rectangle of the cube to read; None for all of it.
    mask : ndarray of bool, shape (nx, ny), or None
        True for the spaxels to keep.
    bin : int
        Average this many spaxels along x and y, counted from pixel 0 of the cube.
    around : bool
        Bring the spaxels (or bins) that border on a batch along as `SpectralBatch.around`: those of
        the cube, whatever the region, that the mask keeps.

    Attributes
    ----------
    header : CubeHeader
        As maps need it: `shape` and the WCS are those of the whole cube, in bins where it is
        binned.
    area : Area
        Rectangle of the map grid that holds all rows.
    shape : (int, int)
        Of the map grid of the whole cube.

    Raises
    ------
    InputError
        If the region reaches outside the cube or cuts bins, the mask does not fit or keeps
        nothing, or bins would smear the lines.
    """

    def __init__(
        self,
        reader: CubeReader,
        *,
        batch: int = 4096,
        region: Area | None = None,
        mask: NDArray[np.bool_] | None = None,
        bin: int = 1,  # noqa: A002 - the option's own name
        around: bool = False,
    ) -> None:
        self.reader = reader
        self.around = around
        self.bin = bin
        self._mask = mask
        cube = reader.header
        check_selection(cube, region, mask, bin)
        whole = Area(0, cube.shape[0], 0, cube.shape[1])
        self._region = kept_bounds(mask, region or whole, bin, cube)
        self.header = dataclasses.replace(
            cube, shape=bin_area(whole, bin).shape, celestial=binned_cards(cube.celestial, bin)
        )
        self.area = bin_area(self._region, bin)
        self.shape = self.header.shape
        if bin > 1 and isinstance(cube.axis, FtsAxis) and not cube.axis.calibrated:
            self._refuse_smearing(cube.axis)
        self._plan = self._make_plan(max(1, batch))

    @property
    def name(self) -> str:
        """File name, as errors name it."""
        return self.header.name

    @property
    def spaxel_nbytes(self) -> int:
        """Memory one spaxel takes in a batch [bytes]."""
        return self.reader.spaxel_nbytes * (_WITH_AROUND if self.around else 1)

    @property
    def held_nbytes(self) -> int:
        """Memory the reader keeps beside the batches [bytes]."""
        return self.reader.held_nbytes

    def __len__(self) -> int:
        """Count the rows of all batches."""
        return max((key.stop for key in self._plan), default=0)

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the file, and of the mask where there is one."""
        found = self.reader.fingerprint()
        if self._mask is not None:
            found["mask"] = digest(np.packbits(self._mask).tobytes())
        return found

    def keys(self) -> Sequence[BatchKey]:
        """All batches, in the order in which the file is read best."""
        return list(self._plan)

    def read(self, key: BatchKey) -> SpectralBatch:
        """Read one batch: rows for the spaxels or bins that are kept.

        Parameters
        ----------
        key : BatchKey
            One of `keys()`.

        Raises
        ------
        InputError
            If the file can no longer be read there, or `key` is of another plan.
        """
        area = self._plan.get(key)
        if area is None:
            raise InputError(
                f"{key}: not a batch of this plan; run with the same options as before"
            )
        if not self.around:
            return self._read_kept(area, key)
        nx, ny = self.reader.header.shape
        wider = Area(
            max(0, area.x0 - self.bin),
            min(nx, area.x1 + self.bin),
            max(0, area.y0 - self.bin),
            min(ny, area.y1 + self.bin),
        )
        rows = int(np.count_nonzero(kept_bins(self._kept(wider), self.bin)))
        whole = self._read_kept(wider, BatchKey(key.source, 0, rows))
        own = bin_area(area, self.bin)
        inside = (whole.x >= own.x0) & (whole.x < own.x1)
        inside &= (whole.y >= own.y0) & (whole.y < own.y1)
        border = None
        if rows > len(key):
            border = whole.part(~inside, BatchKey(key.source, 0, rows - len(key)))
        return dataclasses.replace(whole.part(inside, key), around=border)

    def _read_kept(self, area: Area, key: BatchKey) -> SpectralBatch:
        """Read a rectangle: rows for the spaxels or bins that are kept."""
        keep = self._kept(area)
        whole = self.reader.read(area, BatchKey(key.source, 0, len(area)))
        if self.bin > 1:
            return bin_batch(whole, area, keep, side=self.bin, key=key)
        rows = keep.ravel()
        return dataclasses.replace(whole, key=key) if rows.all() else whole.part(rows, key)

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()

    def _kept(self, area: Area) -> NDArray[np.bool_]:
        """Give the part of the mask that covers `area`."""
        if self._mask is None:
            return np.ones(area.shape, dtype=bool)
        return self._mask[area.x0 : area.x1, area.y0 : area.y1]

    def _make_plan(self, batch: int) -> dict[BatchKey, Area]:
        """Give every rectangle the numbers of its kept rows, in reading order."""
        nx, ny = self.reader.header.shape
        panels = self.reader.panels
        if self.bin > 1:  # bins may reach over the edge of a panel
            panels = (Panel(Area(0, nx, 0, ny), panels[0].tile),)
        plan: dict[BatchKey, Area] = {}
        start = 0
        for panel in panels:
            for area in cut(self._region, panel, batch=batch, grain=self.bin):
                rows = int(np.count_nonzero(kept_bins(self._kept(area), self.bin)))
                if rows:
                    plan[BatchKey(self.name, start, start + rows)] = area
                    start += rows
        return plan

    def _refuse_smearing(self, axis: FtsAxis) -> None:
        """Check the spread of the axes bin by bin, a strip of bins at a time."""
        region = self._region
        for x0 in range(region.x0, region.x1, 64 * self.bin):
            strip = Area(x0, min(x0 + 64 * self.bin, region.x1), region.y0, region.y1)
            corr = self.reader.corr(strip)
            if corr is not None:
                kept = np.where(self._kept(strip), corr.reshape(strip.shape), np.nan)
                check_smearing(kept, strip, axis, side=self.bin, name=self.name)
