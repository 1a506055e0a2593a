"""SITELLE cubes in HDF5: levels 1 (nine quadrants), 2, 2.5 and 3, and single spectra.

Levels 1, 2 and 2.5 are in erg/s/cm2/A. Level 3 is complex counts, made into the same by

    flux = counts * flambda / channels / exposure_time

The spaxel's own correction is calib_map / nm_laser = 1 / cos(theta). A dataset ``mask`` multiplies
the data; where it is zero the spectrum is NaN. `sitelle_layout.py` knows where the spectra are,
`sitelle_header.py` and `sitelle_axis.py` what the attributes mean, `storage.py` how to read.
"""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .celestial import celestial_cards
from .errors import InputError
from .extents import MappedFile
from .fingerprint import digest, identity
from .records import Area, BatchKey, CubeHeader, FtsAxis, SpectralBatch
from .sitelle_axis import check_band, common_corr, read_axis
from .sitelle_flux import flux_factor
from .sitelle_header import (
    NM_LASER,
    band_of,
    canonical,
    filter_of,
    level_of,
    read_metadata,
)
from .sitelle_layout import read_layout, spaxel_map, stored_axis
from .tiling import cut, overlap


def claims(path: Path) -> bool:
    """Tell whether a file is HDF5."""
    return bool(h5py.is_hdf5(path))


def open(path: Path) -> "SitelleReader":  # noqa: A001 - every reader module has `open`
    """Open a SITELLE cube.

    Raises
    ------
    InputError
        If the file is damaged, not a spectral cube, contradicts itself or holds no signal.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(_why_not_opened(path, str(error))) from None
    reader = None
    try:
        reader = SitelleReader(path, file)
        reader.require_signal()
    except BaseException:
        (reader or file).close()
        raise
    return reader


class SitelleReader:
    """One open SITELLE file; `source.CubeReader` says what its members are."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path = path
        self._file = file
        self._mapped = MappedFile(path)
        self._metadata = read_metadata(file, path.name)
        self._layout = read_layout(file, self._mapped, self._metadata)
        self._mask, self._calib, _ = (
            spaxel_map(file, key, self._layout.shape, path.name)
            for key in ("mask", "calib_map", "deep_frame")
        )
        self._nm_laser = self._metadata.number("nm_laser", NM_LASER)
        is_complex = self._layout.dtype.kind == "c"
        level = level_of(self._metadata, is_complex=is_complex)
        self._factor, unit, notes = flux_factor(self._metadata, level, self._layout.channels)
        axis, axis_notes = read_axis(
            self._metadata, self._layout.channels, stored_axis(file), self._median_corr()
        )
        self._common_corr, corr_notes = common_corr(self._metadata, axis, self._calib is not None)
        self._imaginary = is_complex and self._has_imaginary()
        if is_complex and not self._imaginary:
            notes.append("the imaginary part is zero and not used")
        if self._mask is not None:
            notes.append("the dataset mask multiplies the data; spectra where it is zero are NaN")
        self._describe(axis, f"SITELLE level {level:g}", unit, [*notes, *axis_notes, *corr_notes])

    def _describe(self, axis: FtsAxis, kind: str, unit: str, notes: list[str]) -> None:
        """Make the header, and say how the file wants to be read."""
        metadata, layout = self._metadata, self._layout
        filter_name = filter_of(metadata)
        band, band_note = band_of(metadata, filter_name)
        check_band(metadata.file, axis, band)
        slow = dict.fromkeys(storage.note for _, storage in layout.storages)
        one = layout.shape == (1, 1)
        self.header = CubeHeader(
            name=metadata.file,
            layout=f"{kind}, {layout.words}",
            shape=layout.shape,
            axis=axis,
            unit=unit,
            instrument="SITELLE",
            filter_name=filter_name,
            target=metadata.text("object_name"),
            band=band,
            has_imaginary=self._imaginary,
            celestial={} if one else celestial_cards(metadata.values),
            notes=tuple(note for note in (*notes, band_note, *slow) if note),
        )
        self.panels = layout.panels
        parts = 2 if self._imaginary else 1
        self.spaxel_nbytes = layout.channels * _working(layout.dtype).itemsize * parts + 16
        self.held_nbytes = max(storage.held_nbytes for _, storage in layout.storages)

    def read(self, area: Area, key: BatchKey) -> SpectralBatch:
        """Read a rectangle, which may reach over quadrants; rows are x slow, y fast."""
        x, y = area.positions()
        shape = (*area.shape, self._layout.channels)
        working = _working(self._layout.dtype)
        data = np.empty(shape, working)
        imaginary = np.empty(shape, working) if self._imaginary else None
        for panel, storage in self._layout.storages:
            shared = overlap(area, panel)
            if shared is None:
                storage.forget()
                continue
            place = _within(shared, area)
            part = data[place], None if imaginary is None else imaginary[place]
            for where, block in storage.blocks(_moved(shared, panel)):
                self._convert(np.real(block), where, part[0])
                if part[1] is not None:
                    self._convert(np.imag(block), where, part[1])
        self._apply_mask(area, data, imaginary)
        rows = (len(area), self._layout.channels)
        return SpectralBatch(
            key=key,
            x=x,
            y=y,
            data=data.reshape(rows),
            corr=self.corr(area),
            imaginary=None if imaginary is None else imaginary.reshape(rows),
        )

    def _convert(self, stored: NDArray, where: tuple[slice, slice, slice], to: NDArray) -> None:
        """Copy stored numbers to where they belong, calibrated on the way."""
        if self._factor is None:
            np.copyto(to[where], stored, casting="same_kind")
        else:
            np.multiply(stored, self._factor[where[2]], out=to[where], casting="same_kind")

    def _apply_mask(self, area: Area, *cubes: NDArray | None) -> None:
        """Multiply by the file's mask; zero becomes NaN."""
        if self._mask is None:
            return
        stored = np.asarray(self._mask[area.x0 : area.x1, area.y0 : area.y1], dtype=np.float64)
        weight = np.where(stored == 0, np.nan, stored)[:, :, None]
        for cube in cubes:
            if cube is not None:
                cube *= weight

    def corr(self, area: Area) -> NDArray[np.float64]:
        """Give 1 / cos(theta) of every spaxel, NaN where the laser map is not positive."""
        if self._calib is None:
            return np.full(len(area), self._common_corr)
        found = np.asarray(self._calib[area.x0 : area.x1, area.y0 : area.y1], dtype=np.float64)
        return np.where(found > 0, found / self._nm_laser, np.nan).ravel()

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the file."""
        storages = [storage for _, storage in self._layout.storages]
        said = canonical(self._metadata.values)
        said["layout"] = f"{self._layout.dtype.str} {self.header.layout} {self._layout.shape}"
        for name, small in (("mask", self._mask), ("calib_map", self._calib)):
            if small is not None:  # a few bytes a spaxel, and they decide what is fitted where
                said[name] = digest(np.ascontiguousarray(small[()]).tobytes())
        first, last = storages[0].ends()[0], storages[-1].ends()[1]
        return identity(self._path, header=said, first=first, last=last)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._mapped.close()

    def require_signal(self) -> None:
        """Refuse a cube without one good number.

        A few spaxels are looked at; only where all of them are zero or NaN the cube is read on
        until a number turns up.

        Raises
        ------
        InputError
            If everything is zero or NaN, or the mask keeps nothing.
        """
        name, (nx, ny) = self._metadata.file, self._layout.shape
        if self._mask is not None and not np.any(self._mask[()]):
            raise InputError(
                f"{name}: mask is zero for all {nx * ny} spaxels, so nothing is left to fit; "
                "correct the mask or remove it"
            )
        if any(_says_something(part) for part in self._glimpses()):
            return
        for panel in self.panels:
            for area in cut(panel.area, panel, batch=4096):
                if _says_something(self.read(area, BatchKey(name, 0, len(area))).data):
                    return
        raise InputError(
            f"{name}: all {nx} x {ny} spectra are zero or NaN; the cube holds no data, "
            "make or copy it again"
        )

    def _glimpses(self) -> list[NDArray]:
        """Look at some channels of a few spaxels of every panel."""
        found = []
        for panel, storage in self._layout.storages:
            nx, ny = panel.shape
            places = {(nx * i // 6, ny * j // 6) for i in (1, 3, 5) for j in (1, 3, 5)}
            found += [storage.glimpse(x, y) for x, y in sorted(places)]
        return found

    def _has_imaginary(self) -> bool:
        """Tell whether the imaginary part holds anything."""
        return any(_says_something(np.imag(part)) for part in self._glimpses())

    def _median_corr(self) -> float | None:
        """Median of the laser map over its nominal wavelength, None without one.

        Raises
        ------
        InputError
            If the map is not one of laser wavelengths in nm.
        """
        if self._calib is None:
            return None
        thinned = np.asarray(self._calib[:: -(-self._layout.shape[0] // 64)], dtype=np.float64)
        good = thinned[np.isfinite(thinned) & (thinned > 0)]
        corr = float(np.median(good)) / self._nm_laser if good.size else np.nan
        if not 0.99 <= corr <= 2.0:
            raise InputError(
                f"{self._metadata.file}: calib_map has median {corr * self._nm_laser:g} but the "
                f"laser {self._nm_laser:g} nm, which it should exceed a little; give the map in nm "
                "or correct nm_laser"
            )
        return corr


def _working(dtype: np.dtype) -> np.dtype:
    """Precision of the spectra handed on: single where that holds all that is stored."""
    single = ("f2", "f4", "c8", "i1", "u1", "i2", "u2")
    return np.dtype(np.float32 if dtype.str[1:] in single else np.float64)


def _says_something(values: NDArray) -> bool:
    """Tell whether any number is finite and not zero."""
    return bool(np.any(np.isfinite(values) & (values != 0)))


def _moved(area: Area, panel: Area) -> Area:
    """Count an area from the corner of its panel."""
    return Area(area.x0 - panel.x0, area.x1 - panel.x0, area.y0 - panel.y0, area.y1 - panel.y0)


def _within(shared: Area, area: Area) -> tuple[slice, slice]:
    """Where a part lies in the arrays of `area`."""
    part = _moved(shared, area)
    return slice(part.x0, part.x1), slice(part.y0, part.y1)


def _why_not_opened(path: Path, said: str) -> str:
    """Say in one line why HDF5 refused a file."""
    if cut_short := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", said):
        return (
            f"{path.name}: cut short, {cut_short[1]} of {cut_short[2]} bytes are there; "
            "copy it again"
        )
    if "lock" in said:
        return f"{path.name}: another program writes to it; wait, or copy the file"
    reason = " ".join(said.split())[:120]
    return f"{path.name}: HDF5 cannot open it ({reason}); the file is damaged, copy it again"
