"""How the spectra of an HDF5 dataset are stored, and the way to read them once.

`open_storage` maps what can be mapped (`extents.py`) and leaves to HDF5 what it must decode:
gzip, lzf and the filters of hdf5plugin, external and virtual datasets. A decoded chunk that holds
more spaxels than a batch is kept until all batches had their part of it.
"""

from collections.abc import Iterator
from typing import Protocol

import h5py
from numpy.typing import NDArray

from .errors import InputError
from .extents import Block, MappedChunks, MappedContiguous, MappedFile, middle_channels
from .fingerprint import BLOCK_NBYTES
from .records import Area
from .tiling import overlap

# Decoded chunks kept at hand take no more memory than this [bytes].
HELD_LIMIT = 256 << 20
# Filters from here on are not part of HDF5 itself, but of hdf5plugin.
_FIRST_PLUGIN = 256
_LZF = 32000


class Storage(Protocol):
    """One dataset (x, y, channel)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes."""
        ...

    @property
    def tile(self) -> tuple[int, int]:
        """Spaxels along x and y to be read together."""
        ...

    @property
    def held_nbytes(self) -> int:
        """Memory kept beside what is asked for [bytes]."""
        ...

    @property
    def layout(self) -> str:
        """The storage in words."""
        ...

    @property
    def note(self) -> str:
        """Why reading is slower than it could be; empty if it is not."""
        ...

    def blocks(self, area: Area) -> Iterator[Block]:
        """Give ((x, y, channel) slices within `area`, array), each valid until the next."""
        ...

    def glimpse(self, x: int, y: int) -> NDArray:
        """Give some channels from the middle of one spectrum, as cheaply as there are any."""
        ...

    def forget(self) -> None:
        """Drop what is kept at hand, to be called when reading has moved elsewhere."""
        ...

    def ends(self) -> tuple[bytes, bytes]:
        """First and last block of data as stored."""
        ...


class HeldArray:
    """Spectra that are in memory already."""

    layout = "one spectrum"
    note = ""

    def __init__(self, spectra: NDArray) -> None:
        self.shape: tuple[int, int, int] = spectra.shape
        self.tile = spectra.shape[0], spectra.shape[1]
        self.held_nbytes = spectra.nbytes
        self._spectra = spectra

    def blocks(self, area: Area) -> Iterator[Block]:
        """Give the spectra of `area`."""
        view = self._spectra[area.x0 : area.x1, area.y0 : area.y1]
        yield (slice(None), slice(None), slice(None)), view

    def glimpse(self, x: int, y: int) -> NDArray:
        """Give one spectrum."""
        return self._spectra[x, y]

    def forget(self) -> None:
        """Nothing is kept."""

    def ends(self) -> tuple[bytes, bytes]:
        """First and last spectrum."""
        return self._spectra[0, 0].tobytes(), self._spectra[-1, -1].tobytes()


class DecodedDataset:
    """A dataset (x, y, channel) that HDF5 decodes."""

    def __init__(self, dataset: h5py.Dataset, how: str) -> None:
        self.shape: tuple[int, int, int] = dataset.shape
        self._dataset = dataset
        self._held: tuple[Area, NDArray] | None = None
        sides = dataset.chunks or (1, *self.shape[1:])
        tile = min(sides[0], self.shape[0]), min(sides[1], self.shape[1])
        spectrum = self.shape[2] * dataset.dtype.itemsize
        columns = max(1, min(tile[0], HELD_LIMIT // (tile[1] * spectrum)))
        rows = max(1, min(tile[1], HELD_LIMIT // (columns * spectrum)))
        self.tile = columns, rows
        self.held_nbytes = columns * rows * spectrum
        chunks = f"chunked {' x '.join(map(str, sides))}" if dataset.chunks else "not chunked"
        self.layout = f"{chunks}, {how}"
        passes = -(-tile[0] // columns) * -(-tile[1] // rows)
        self.note = "" if passes == 1 else _rechunk(dataset, passes)

    def blocks(self, area: Area) -> Iterator[Block]:
        """Give the spectra of `area`, decoded with the whole tile where it is a part of one."""
        columns, rows = self.tile
        x0, y0 = area.x0 // columns * columns, area.y0 // rows * rows
        tile = Area(x0, min(x0 + columns, self.shape[0]), y0, min(y0 + rows, self.shape[1]))
        if area == tile or overlap(area, tile) != area:
            yield (slice(None), slice(None), slice(None)), self._decode(area)
            return
        if self._held is None or self._held[0] != tile:
            self._held = None
            self._held = tile, self._decode(tile)
        spectra = self._held[1][
            area.x0 - tile.x0 : area.x1 - tile.x0, area.y0 - tile.y0 : area.y1 - tile.y0
        ]
        yield (slice(None), slice(None), slice(None)), spectra

    def glimpse(self, x: int, y: int) -> NDArray:
        """Decode the chunk in the middle of a spectrum."""
        middle = middle_channels(self._dataset)
        return self._decode(Area(x, x + 1, y, y + 1), middle)

    def _decode(self, area: Area, channels: slice = slice(None)) -> NDArray:
        """Have HDF5 read a rectangle."""
        try:
            return self._dataset[area.x0 : area.x1, area.y0 : area.y1, channels]
        except OSError as error:
            raise InputError(
                f"{_file_name(self._dataset)}: {self._dataset.name} cannot be decoded at {area} "
                f"({_first_line(error)}); the file is damaged, copy it again"
            ) from None

    def forget(self) -> None:
        """Drop the decoded tile."""
        self._held = None

    def ends(self) -> tuple[bytes, bytes]:
        """First and last chunk as stored, or spectrum where there are no chunks."""
        if self._dataset.chunks is None:
            first, last = self._dataset[0, 0, :], self._dataset[-1, -1, :]
            return first.tobytes()[:BLOCK_NBYTES], last.tobytes()[:BLOCK_NBYTES]
        starts = []
        self._dataset.id.chunk_iter(lambda chunk: starts.append(chunk.chunk_offset))
        if not starts:
            return b"", b""
        first, last = (
            self._dataset.id.read_direct_chunk(start)[1][:BLOCK_NBYTES]
            for start in (min(starts), max(starts))
        )
        return first, last


def open_storage(dataset: h5py.Dataset, file: MappedFile) -> Storage:
    """Choose the way to read a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset, shape (x, y, channel)
        Numeric.
    file : MappedFile
        The file it lies in.

    Returns
    -------
    Storage
        Memory-mapped where the bytes of the file are the data.

    Raises
    ------
    InputError
        If the data reach beyond the file, or a compression filter is not installed.
    """
    filters = _filters(dataset)
    plain = (
        not filters
        and dataset.file.userblock_size == 0
        and dataset.id.get_type().get_size() == dataset.dtype.itemsize
        and not dataset.is_virtual
        and dataset.external is None
    )
    if plain and dataset.chunks is not None:
        return MappedChunks(dataset, file)
    if plain and dataset.id.get_offset() is not None:
        return MappedContiguous(dataset, file)
    _require_filters(dataset, filters)
    names = " + ".join(name for _, name in filters)
    return DecodedDataset(dataset, f"{names}, read through HDF5" if names else "read through HDF5")


def _filters(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """Code and name of every filter in the pipeline of a dataset."""
    pipeline = dataset.id.get_create_plist()
    found = [pipeline.get_filter(index) for index in range(pipeline.get_nfilters())]
    return [
        (code, name.decode(errors="replace").split(";")[0] or str(code))
        for code, _, _, name in found
    ]


def _require_filters(dataset: h5py.Dataset, filters: list[tuple[int, str]]) -> None:
    """Register the filters of hdf5plugin where one is needed; refuse one that is not there."""
    if any(code >= _FIRST_PLUGIN and code != _LZF for code, _ in filters):
        import hdf5plugin  # noqa: F401 - registers its filters
    for code, name in filters:
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"{_file_name(dataset)}: {dataset.name} is compressed with filter {code} ({name}), "
                "which hdf5plugin does not have; repack it with h5repack -f NONE"
            )


def _rechunk(dataset: h5py.Dataset, passes: int) -> str:
    """Say that chunks are too large to keep, and the cure."""
    nx, ny, channels = dataset.shape
    chunk = " x ".join(map(str, dataset.chunks or ()))
    return (
        f"{dataset.name}: chunks of {chunk} are decoded {passes} "
        f"times each; h5repack -l CHUNK={min(32, nx)}x{min(64, ny)}x{channels} makes it once"
    )


def _file_name(dataset: h5py.Dataset) -> str:
    """Name of the file of a dataset, without its folder."""
    return str(dataset.file.filename).rsplit("/", 1)[-1]


def _first_line(error: Exception) -> str:
    """First line of a message."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
