"""Memory-mapping of HDF5 storage: raw data are plain stretches of the file.

A contiguous dataset is one stretch, an uncompressed chunk is another. Both are mapped and copied
from the mapping, converted on the way, and their pages are given back at once, so that a pass
over a cube of any size leaves the resident memory flat (a mapping keeps what it touched until
``MADV_DONTNEED``). What HDF5 must decode is read through h5py, see `storage.py`.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import psutil
from numpy.typing import NDArray

from .errors import InputError
from .fingerprint import BLOCK_NBYTES
from .records import Area

Block = tuple[tuple[slice, slice, slice], NDArray]

# Stretches closer than this are asked for together.
_GAP = 1 << 16
# Touching one page may map all of the folio it lies in, up to this.
_FOLIO = 2 << 20
# A file that takes more of the machine's memory than this is not left in the system's cache.
_LARGE = 0.5
# Spaxels of a contiguous dataset that are read together, and those that are one stretch.
_TILE, _STRETCH = 4096, 256


class MappedFile:
    """A file mapped for reading, whose pages are asked for and given back by the stretch."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._descriptor = os.dup(file.fileno())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path.name}: cannot be mapped into memory ({error}); copy it to a local disk"
            ) from None
        self.size = self._map.size()
        self._drops = self.size > _LARGE * psutil.virtual_memory().total

    def array(self, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """Show a stretch of the file as an array, without reading it."""
        count = int(np.prod(shape))
        return np.frombuffer(self._map, dtype, count, offset).reshape(shape)

    def want(self, stretches: list[tuple[int, int]]) -> None:
        """Have the kernel read (start, stop) stretches ahead.

        Raises
        ------
        InputError
            If the file has become shorter: touching what is gone would kill the process.
        """
        size = self._map.size()
        if size < self.size:
            raise InputError(
                f"{self.name}: the file shrank from {self.size} to {size} bytes while it was "
                "read; restore it and resume"
            )
        if not self._tell("POSIX_FADV_WILLNEED", stretches):
            self._advise(mmap.MADV_WILLNEED, stretches, mmap.PAGESIZE)

    def release(self, stretches: list[tuple[int, int]]) -> None:
        """Give the pages of (start, stop) stretches back, and those that came along with them.

        A large file leaves the cache of the system too: it would drive out all else.
        """
        self._advise(mmap.MADV_DONTNEED, stretches, _FOLIO)
        if self._drops:
            self._tell("POSIX_FADV_DONTNEED", stretches)

    def _tell(self, advice: str, stretches: list[tuple[int, int]]) -> bool:
        """Advise the system on the file itself; unlike on a mapping, other threads go on meanwhile.

        False where the system takes no such advice.
        """
        if not hasattr(os, "posix_fadvise"):
            return False
        for start, stop in stretches:
            os.posix_fadvise(self._descriptor, start, stop - start, getattr(os, advice))
        return True

    def _advise(self, advice: int, stretches: list[tuple[int, int]], grain: int) -> None:
        for start, stop in stretches:
            first, end = start // grain * grain, -(-stop // grain) * grain
            self._map.madvise(advice, first, min(end, self.size) - first)

    def close(self) -> None:
        """Let go of the file; arrays that still show it keep the mapping alive."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        try:
            self._map.close()
        except BufferError:
            return


def joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort (start, stop) stretches and join those that nearly touch."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(stretches):
        if merged and start - merged[-1][1] <= _GAP:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _span(view: NDArray, mapped: NDArray, offset: int) -> tuple[int, int]:
    """Where in the file a view of the array `mapped`, stored at `offset`, begins and ends."""
    low, high = np.lib.array_utils.byte_bounds(view)
    base = mapped.__array_interface__["data"][0]
    return offset + low - base, offset + high - base


class MappedContiguous:
    """A contiguous dataset (x, y, channel), read in compact tiles.

    Spaxels near each other have like axes, which a fit shares; a stretch of a column is long enough
    to be read as fast as the whole.
    """

    held_nbytes = 0
    note = ""
    layout = "contiguous, memory-mapped"

    def __init__(self, dataset: h5py.Dataset, file: MappedFile) -> None:
        self.shape: tuple[int, int, int] = dataset.shape
        rows = min(_STRETCH, self.shape[1])
        self.tile: tuple[int, int] = (min(_TILE // rows, self.shape[0]), rows)
        self._file = file
        self._offset: int = dataset.id.get_offset()
        self._nbytes: int = dataset.size * dataset.dtype.itemsize
        _require_inside(dataset, self._offset + self._nbytes, file)
        self._cube = file.array(self._offset, dataset.dtype, self.shape)

    def blocks(self, area: Area) -> Iterator[Block]:
        """Give the spectra of `area` once, as a view of the file that is valid until the next."""
        view = self._cube[area.x0 : area.x1, area.y0 : area.y1]
        stretches = joined([_span(column, self._cube, self._offset) for column in view])
        self._file.want(stretches)
        yield (slice(None), slice(None), slice(None)), view
        self._file.release(stretches)

    def glimpse(self, x: int, y: int) -> NDArray:
        """Copy one spectrum."""
        return self._cube[x, y].copy()

    def forget(self) -> None:
        """Nothing is kept."""

    def ends(self) -> tuple[bytes, bytes]:
        """First and last block as stored."""
        length = min(BLOCK_NBYTES, self._nbytes)
        kind = np.dtype(np.uint8)
        first = self._file.array(self._offset, kind, (length,))
        last = self._file.array(self._offset + self._nbytes - length, kind, (length,))
        return first.tobytes(), last.tobytes()


class MappedChunks:
    """An uncompressed chunked dataset (x, y, channel); chunks are read in the file's order."""

    held_nbytes = 0
    note = ""

    def __init__(self, dataset: h5py.Dataset, file: MappedFile) -> None:
        self.shape: tuple[int, int, int] = dataset.shape
        self._chunk = chunk_sides(dataset)
        self.tile = (min(self._chunk[0], self.shape[0]), min(self._chunk[1], self.shape[1]))
        self.layout = f"chunked {' x '.join(map(str, self._chunk))}, memory-mapped"
        self._file = file
        self._dtype = dataset.dtype
        self._fill = dataset.fillvalue
        self._nbytes = int(np.prod(self._chunk)) * dataset.dtype.itemsize
        self._offsets = chunk_offsets(dataset)
        _require_inside(dataset, int(self._offsets.max(initial=0)) + self._nbytes, file)

    def blocks(self, area: Area) -> Iterator[Block]:
        """Give the parts of `area` chunk by chunk, as views that are valid until the last."""
        edges = ((area.x0, area.x1), (area.y0, area.y1), (0, self.shape[2]))
        ranges = [
            range(low // side, -(-high // side))
            for (low, high), side in zip(edges, self._chunk, strict=True)
        ]
        corner = tuple(part.start for part in ranges)
        grid = self._offsets[tuple(slice(part.start, part.stop) for part in ranges)]
        found: list[Block] = []
        stretches: list[tuple[int, int]] = []
        for flat in np.argsort(grid, axis=None):
            index = np.unravel_index(flat, grid.shape)
            place, inside = self._cut(index, corner, edges)
            offset = int(grid[index])
            if offset < 0:
                size = tuple(part.stop - part.start for part in place)
                found.append((place, np.broadcast_to(self._fill, size)))
                continue
            chunk = self._file.array(offset, self._dtype, self._chunk)
            view = chunk[inside]
            stretches.append(_span(view, chunk, offset))
            found.append((place, view))
        stretches = joined(stretches)
        self._file.want(stretches)
        yield from found
        self._file.release(stretches)

    def _cut(
        self, index: tuple, corner: tuple[int, ...], edges: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[slice, slice, slice], tuple[slice, ...]]:
        """Where one chunk lies in the area, and which part of the chunk that is."""
        place, inside = [], []
        for step, first, (low, high), side in zip(index, corner, edges, self._chunk, strict=True):
            start = (first + int(step)) * side
            begin, end = max(start, low), min(start + side, high)
            place.append(slice(begin - low, end - low))
            inside.append(slice(begin - start, end - start))
        return (place[0], place[1], place[2]), tuple(inside)

    def glimpse(self, x: int, y: int) -> NDArray:
        """Copy the channels of the middle chunk of a spectrum."""
        sides = self._chunk
        step = self.shape[2] // 2 // sides[2]
        offset = int(self._offsets[x // sides[0], y // sides[1], step])
        if offset < 0:
            return np.atleast_1d(self._fill)
        chunk = self._file.array(offset, self._dtype, sides)
        return chunk[x % sides[0], y % sides[1], : self.shape[2] - step * sides[2]].copy()

    def forget(self) -> None:
        """Nothing is kept."""

    def ends(self) -> tuple[bytes, bytes]:
        """First and last chunk as stored."""
        stored = self._offsets[self._offsets >= 0]
        if stored.size == 0:
            return b"", b""
        length = min(BLOCK_NBYTES, self._nbytes)
        first, last = (
            self._file.array(int(offset), np.dtype(np.uint8), (length,)).tobytes()
            for offset in (stored[0], stored[-1])
        )
        return first, last


def chunk_sides(dataset: h5py.Dataset) -> tuple[int, int, int]:
    """Give the length of a chunk along x, y and channel."""
    if dataset.chunks is None:
        raise ValueError(f"{dataset.name} is not chunked")
    x, y, channel = dataset.chunks
    return x, y, channel


def chunk_offsets(dataset: h5py.Dataset) -> NDArray[np.int64]:
    """Where in the file every chunk of a dataset lies.

    Returns
    -------
    ndarray of int64, shape (x chunk, y chunk, channel chunk)
        [bytes]; -1 for a chunk that was never written.
    """
    sides = chunk_sides(dataset)
    grid = tuple(-(-length // side) for length, side in zip(dataset.shape, sides, strict=True))
    offsets = np.full(grid, -1, dtype=np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        where = tuple(start // side for start, side in zip(chunk.chunk_offset, sides, strict=True))
        offsets[where] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    return offsets


def middle_channels(dataset: h5py.Dataset) -> slice:
    """Give the channels of the chunk in the middle of a spectrum; all where there are no chunks."""
    channels = dataset.shape[2]
    side = dataset.chunks[2] if dataset.chunks else channels
    start = channels // 2 // side * side
    return slice(start, min(start + side, channels))


def _require_inside(dataset: h5py.Dataset, end: int, file: MappedFile) -> None:
    """Refuse storage that reaches beyond the end of the file."""
    if end > file.size:
        raise InputError(
            f"{file.name}: {dataset.name} reaches to byte {end} but the file has {file.size}; "
            "it was cut short, copy it again"
        )
