"""Write SITELLE cubes as their pipelines do: HDF5 of levels 1, 2, 2.5 and 3.

Level 1 is cut into nine quadrants with the FITS header beside them as rows of byte strings; the
other levels hold one dataset and describe themselves in attributes. Level 2 is real and calibrated,
level 2.5 (CFHT) complex and calibrated, level 3 complex counts, of which
``flux = counts * flambda / dimz / exposure_time``. Names, shapes and units follow the files of the
ORB reduction (Martin, Drissen & Joncas 2015), not what any reader expects of them.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np

from ..io.records import Area
from .observing import Slab
from .sitelle_cards import LASER_NM, SitelleFile, attributes, header_rows

_PHOTONS_PER_COUNT = 1.37  # variance of the noise over the counts of the interferogram
_QUADRANTS = 3  # along each axis

_STORAGE: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip", "compression_opts": 4},
    "shuffle": {"chunks": True, "compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"chunks": True, "compression": "lzf"},
    "blosc": {"chunks": True, "compression": hdf5plugin.Blosc(cname="lz4")},
    "zstd": {"chunks": True, "compression": hdf5plugin.Zstd()},
    "bitshuffle": {"chunks": True, "compression": hdf5plugin.Bitshuffle()},
}
STORAGE = tuple(_STORAGE)


class SitelleWriter:
    """Writes slabs into a new SITELLE file; a context manager.

    Parameters
    ----------
    path : Path
        File to write; replaced if it exists.
    file : SitelleFile
        What it will say of itself.
    """

    def __init__(self, path: Path, file: SitelleFile) -> None:
        self._file = file
        self._hdf5 = h5py.File(path, "w")
        self._boxes = self._quadrants() if file.level == "level1" else self._single()
        self._calib_map, self._deep_frame = (
            self._hdf5.create_dataset(name, shape=file.shape, dtype="f8", fillvalue=np.nan)
            for name in ("calib_map", "deep_frame")
        )

    @property
    def tile(self) -> tuple[int, int]:
        """Rectangle of spaxels the storage is written best in: whole chunks."""
        chunks = self._boxes[0][1].chunks
        return (1, self._file.shape[1]) if chunks is None else (chunks[0], chunks[1])

    def write(self, area: Area, slab: Slab) -> None:
        """Write the spectra of an area, x slow and y fast."""
        file = self._file
        values = slab.data if slab.imaginary is None else slab.data + 1j * slab.imaginary
        if file.level == "level3":
            values = values * (1.0 / file.per_count)
        values = values.astype(file.dtype, copy=False).reshape(*area.shape, -1)
        for box, dataset in self._boxes:
            x0, x1 = max(area.x0, box.x0), min(area.x1, box.x1)
            y0, y1 = max(area.y0, box.y0), min(area.y1, box.y1)
            if x0 < x1 and y0 < y1:
                dataset[x0 - box.x0 : x1 - box.x0, y0 - box.y0 : y1 - box.y0] = values[
                    x0 - area.x0 : x1 - area.x0, y0 - area.y0 : y1 - area.y0
                ]
        place = np.s_[area.x0 : area.x1, area.y0 : area.y1]
        # The noise is that of the photons, so it tells how many there were.
        counts = (slab.noise / file.per_count) ** 2 / _PHOTONS_PER_COUNT
        counts /= file.axis.channels if file.level == "level1" else 1
        self._calib_map[place] = (slab.corr * LASER_NM).reshape(area.shape)
        self._deep_frame[place] = counts.reshape(area.shape)

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._hdf5.close()

    def _create(self, parent: h5py.File | h5py.Group, shape: tuple[int, int]) -> h5py.Dataset:
        # The whole dataset is going to be written: filling it first would write it twice.
        return parent.create_dataset(
            "data",
            shape=(*shape, self._file.axis.channels),
            dtype=self._file.dtype,
            fill_time="never",
            **_STORAGE[self._file.storage],
        )

    def _single(self) -> list[tuple[Area, h5py.Dataset]]:
        file = self._file
        self._hdf5.attrs.update(attributes(file))
        dataset = self._create(self._hdf5, file.shape)
        return [(Area(0, file.shape[0], 0, file.shape[1]), dataset)]

    def _quadrants(self) -> list[tuple[Area, h5py.Dataset]]:
        file = self._file
        nx, ny = file.shape
        self._hdf5.attrs.update(
            {"quad_nb": _QUADRANTS**2, "dimx": nx, "dimy": ny, "dimz": file.axis.channels}
        )
        self._hdf5["header"] = header_rows(file)
        boxes = []
        for number in range(_QUADRANTS**2):
            x0, x1 = _share(nx, number % _QUADRANTS)
            y0, y1 = _share(ny, number // _QUADRANTS)
            group = self._hdf5.create_group(f"quad{number:03d}")
            boxes.append((Area(x0, x1, y0, y1), self._create(group, (x1 - x0, y1 - y0))))
        return boxes


def _share(length: int, part: int) -> tuple[int, int]:
    """Range of a quadrant along one axis; the last takes the remainder."""
    width = length // _QUADRANTS
    return part * width, length if part == _QUADRANTS - 1 else (part + 1) * width
