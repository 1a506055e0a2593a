"""FITS maps: one file per quantity, with the cube's celestial coordinates and checksums.

A map has the layout of any FITS image, ``(ny, nx)`` in numpy's order. The primary array holds the
quantity, the extension ERR its one-sigma error where there is one, both NaN where nothing is known.
A map of status bits is int32 and cannot hold NaN: where there is no row it is `NO_ROW`, all bits
set, so that any test of a bit leaves such a pixel out.

The reference pixel moves with the map: a region that begins at cube pixel (x0, y0) has CRPIX lower
by (x0, y0), and LTV1, LTV2 (the IRAF convention, which ds9 shows as "physical") lead back to the
cube. Bins are already in the cards that the reader gives.
"""

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .errors import InputError, StorageError

NO_ROW = -1
"""Status of a pixel without a row: all bits set."""

Cards = Mapping[str, Any]
"""FITS cards: keyword to value, or to (value, comment)."""


@dataclass(frozen=True, slots=True)
class MapGrid:
    """The pixels of a map and where they lie in the cube and on the sky.

    Parameters
    ----------
    shape : (nx, ny)
        Pixels along FITS axis 1 and 2.
    origin : (x0, y0)
        Cube pixel (or bin), 0-based, of the first map pixel.
    celestial : dict
        FITS cards of the celestial WCS of the whole cube (binned where rows are bins).
    """

    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    celestial: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a map without pixels."""
        if min(self.shape) < 1:
            raise ValueError(f"a map of {self.shape[0]} x {self.shape[1]} pixels is empty")

    @property
    def cards(self) -> dict[str, Any]:
        """WCS cards of this map, the reference pixel moved by `origin`."""
        cards = dict(self.celestial)
        for axis, first in zip((1, 2), self.origin, strict=True):
            if f"CRPIX{axis}" in cards:
                cards[f"CRPIX{axis}"] = cards[f"CRPIX{axis}"] - first
            if any(self.origin):
                cards[f"LTV{axis}"] = (float(-first), "map pixel minus cube pixel")
        return cards

    def index(self, x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.int64]:
        """Give the place of spaxels in the raveled map.

        Raises
        ------
        InputError
            If a spaxel lies outside the map.
        """
        nx, ny = self.shape
        column = x.astype(np.int64) - self.origin[0]
        row = y.astype(np.int64) - self.origin[1]
        outside = (column < 0) | (column >= nx) | (row < 0) | (row >= ny)
        if outside.any():
            first = int(np.argmax(outside))
            raise InputError(
                f"row at x={x[first]}, y={y[first]} lies outside the map of {nx} x {ny} from "
                f"x={self.origin[0]}, y={self.origin[1]}; the table is not of this run"
            )
        return row * nx + column

    def blank(self, dtype: Any = np.float32) -> NDArray[Any]:
        """Give an empty map, raveled: NaN, or `NO_ROW` for integers."""
        fill = NO_ROW if np.issubdtype(dtype, np.integer) else np.nan
        return np.full(self.shape[0] * self.shape[1], fill, dtype)


def write_map(
    path: Path,
    values: NDArray[Any],
    *,
    grid: MapGrid,
    cards: Cards,
    error: NDArray[Any] | None = None,
    comments: tuple[str, ...] = (),
) -> None:
    """Write one map, whole or not at all.

    Parameters
    ----------
    path : Path
        The file, replaced if it is there.
    values, error : ndarray, shape (ny, nx) or raveled
        The quantity and its one-sigma error.
    grid : MapGrid
        Where the pixels lie.
    cards : mapping
        BUNIT and whatever else describes the map; the error shares BUNIT.
    comments : tuple of str
        COMMENT cards.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    nx, ny = grid.shape
    primary = fits.PrimaryHDU(values.reshape(ny, nx), _header(grid.cards | dict(cards), comments))
    hdus: list[Any] = [primary]
    if error is not None:
        shared = {name: cards[name] for name in ("BUNIT", "OBJECT") if name in cards}
        about = {"CONTENT": ("one-sigma error of the primary array", "")}
        header = _header(grid.cards | shared | about, ())
        hdus.append(fits.ImageHDU(error.reshape(ny, nx), header, name="ERR"))
        primary.header["ERRDATA"] = ("ERR", "extension with the one-sigma error")
    write_whole(path, fits.HDUList(hdus))


def _header(cards: Cards, comments: tuple[str, ...]) -> fits.Header:
    header = fits.Header()
    for name, value in cards.items():
        plain = len(name) <= 8 and " " not in name
        header[name if plain else f"HIERARCH {name}"] = value
    for comment in comments:
        for line in textwrap.wrap(comment, 70, subsequent_indent="  "):
            header.add_comment(line)
    return header


def write_whole(path: Path, hdus: fits.HDUList) -> None:
    """Write beside `path`, flush to the disk, then rename."""
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("wb") as stream:
            hdus.writeto(stream, checksum=True)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise StorageError(f"{path}: cannot be written ({reason}); free space, run it again") from (
            error
        )
    finally:
        hdus.close()
