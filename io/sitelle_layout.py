"""Where a SITELLE file keeps its spectra and maps, with every shape checked.

Level 1 has groups ``quad000`` to ``quad008``: quadrant q lies at column q % 3 and row q // 3, each
floor(length / 3) spaxels wide, the last one on an axis taking the remainder. The other levels have
one dataset ``data``. A dataset ``data`` of one dimension is a single spectrum.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .extents import MappedFile
from .records import Area
from .sitelle_header import Metadata
from .storage import HeldArray, Storage, open_storage
from .tiling import Panel


@dataclass(frozen=True)
class Layout:
    """All spectra of a file.

    Parameters
    ----------
    shape : (int, int)
        Spaxels along x and y.
    channels : int
    dtype : dtype
        As stored.
    storages : tuple of (Area, Storage)
        The rectangle each dataset holds; together they are the cube.
    """

    shape: tuple[int, int]
    channels: int
    dtype: np.dtype
    storages: tuple[tuple[Area, Storage], ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The rectangles, as the plan of reading needs them."""
        return tuple(Panel(area, storage.tile) for area, storage in self.storages)

    @property
    def words(self) -> str:
        """Describe the storage: "complex64, 9 quadrants, contiguous, memory-mapped"."""
        count = len(self.storages)
        quadrants = [f"{count} quadrants"] if count > 1 else []
        return ", ".join([self.dtype.name, *quadrants, self.storages[0][1].layout])


def read_layout(file: h5py.File, mapped: MappedFile, metadata: Metadata) -> Layout:
    """Find the spectra of a file.

    Raises
    ------
    InputError
        If there are none, or their shapes contradict each other.
    """
    name = metadata.file
    dataset = file.get("data")
    if isinstance(dataset, h5py.Dataset):
        return _single(dataset, mapped, name)
    if "quad000" in file:
        return _quadrants(file, mapped, metadata)
    if any(re.fullmatch(r"frame\d{5}", str(key)) for key in file):
        raise InputError(
            f"{name}: holds frames (frame00000 ...), an interferogram cube; give the spectral cube "
            "that was made from it"
        )
    found = ", ".join([str(key) for key in file][:6]) or "nothing"
    raise InputError(
        f"{name}: holds {found}, but neither data nor quad000; give a SITELLE spectral cube"
    )


def _single(dataset: h5py.Dataset, mapped: MappedFile, name: str) -> Layout:
    """Lay out one dataset: a cube, or a single spectrum."""
    _require_numbers(dataset, name)
    if dataset.ndim == 1:
        storage: Storage = HeldArray(dataset[()][None, None, :])
    elif dataset.ndim == 3:
        storage = open_storage(dataset, mapped)
    else:
        raise InputError(
            f"{name}: data have {dataset.ndim} dimensions ({_times(dataset.shape)}), a cube has 3 "
            "(x, y, channel) and a spectrum 1; give a spectral cube"
        )
    nx, ny, channels = storage.shape
    return Layout((nx, ny), channels, dataset.dtype, ((Area(0, nx, 0, ny), storage),))


def _quadrants(file: h5py.File, mapped: MappedFile, metadata: Metadata) -> Layout:
    """Lay out the quadrants of a level-1 cube."""
    name = metadata.file
    nx, ny, channels, count = (metadata.whole(key) for key in ("dimx", "dimy", "dimz", "quad_nb"))
    side = math.isqrt(max(count, 0))
    if side * side != count or not 0 < side <= min(nx, ny):
        raise InputError(
            f"{name}: quad_nb is {count} for {nx} x {ny} spaxels; it must be a square such as 9, "
            "correct the attribute"
        )
    storages, dtypes = [], []
    for index in range(count):
        ix, iy = index % side, index // side
        area = Area(
            ix * (nx // side),
            nx if ix == side - 1 else (ix + 1) * (nx // side),
            iy * (ny // side),
            ny if iy == side - 1 else (iy + 1) * (ny // side),
        )
        dataset = file.get(f"quad{index:03d}/data")
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(
                f"{name}: quad{index:03d}/data is missing but quad_nb is {count}; the file is not "
                "complete, copy it again"
            )
        expected = (*area.shape, channels)
        if dataset.shape != expected:
            raise InputError(
                f"{name}: quad{index:03d}/data is {_times(dataset.shape)} but dimx, dimy, dimz and "
                f"quad_nb make it {_times(expected)}; export the cube again"
            )
        _require_numbers(dataset, name)
        dtypes.append(dataset.dtype)
        storages.append((area, open_storage(dataset, mapped)))
    if len(set(dtypes)) > 1:
        raise InputError(
            f"{name}: quadrants are stored as {dtypes[0]} and as "
            f"{next(kind for kind in dtypes if kind != dtypes[0])}; export the cube again"
        )
    return Layout((nx, ny), channels, dtypes[0], tuple(storages))


def spaxel_map(file: h5py.File, key: str, shape: tuple[int, int], name: str) -> h5py.Dataset | None:
    """Find a dataset with one number per spaxel; None if the file has none.

    Raises
    ------
    InputError
        If its shape is not that of the cube.
    """
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset) or shape == (1, 1):
        return None
    if dataset.shape != shape:
        raise InputError(
            f"{name}: {key} is {_times(dataset.shape)} but the cube has {_times(shape)} spaxels; "
            "export the cube again"
        )
    return dataset


def stored_axis(file: h5py.File) -> NDArray[np.float64] | None:
    """Read the dataset `axis` [cm-1], where there is one."""
    dataset = file.get("axis")
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu":
        return None
    return np.asarray(dataset[()], dtype=np.float64)


def _require_numbers(dataset: h5py.Dataset, name: str) -> None:
    """Refuse a dataset that is empty or holds no numbers."""
    if dataset.dtype.kind not in "fciu":
        raise InputError(
            f"{name}: {dataset.name} holds {dataset.dtype}, not real or complex numbers; "
            "give a spectral cube"
        )
    if not dataset.shape or min(dataset.shape) == 0 or dataset.shape[-1] < 2:
        raise InputError(
            f"{name}: {dataset.name} is {_times(dataset.shape)}, at least one spaxel and two "
            "channels are needed; give a spectral cube"
        )


def _times(shape: Any) -> str:
    """Write a shape as 2048 x 2064."""
    return " x ".join(map(str, shape or ())) or "empty"
