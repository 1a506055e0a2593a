"""How HDF5 storage is read: once, in the order of the file, without leaving pages behind."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from sitelle_files import STORAGE, random_cube, write

from streamfit.io import extents, storage
from streamfit.io.errors import InputError
from streamfit.io.records import Area
from streamfit.io.source import CubeSource, open_cube


@pytest.fixture
def stretches(monkeypatch):
    """(start, stop) of all stretches of the file that were mapped, in order."""
    seen = []
    wanted = extents.MappedFile.want

    def want(self, asked):
        seen.extend(asked)
        wanted(self, asked)

    monkeypatch.setattr(extents.MappedFile, "want", want)
    return seen


@pytest.fixture
def decoded(monkeypatch):
    """Areas that HDF5 decoded with all channels, in order."""
    seen = []
    decode = storage.DecodedDataset._decode

    def count(self, area, channels=slice(None)):
        if channels == slice(None):
            seen.append((self.shape, area))
        return decode(self, area, channels)

    monkeypatch.setattr(storage.DecodedDataset, "_decode", count)
    return seen


def read_through(path, **options):
    source = CubeSource(open_cube(path), **options)
    for key in list(source.keys()):
        source.read(key)
    source.close()


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("batch", [7, 40, 4096])
def test_contiguous_bytes_are_read_once_and_in_order(tmp_path, stretches, level, batch):
    data = random_cube(shape=(12, 15, 30))
    read_through(write(tmp_path / "cube.hdf5", data, level), batch=batch)
    starts = [start for start, _ in stretches]
    assert starts == sorted(starts)
    assert all(one[1] <= two[0] for one, two in pairwise(stretches))
    total = sum(stop - start for start, stop in stretches)
    assert data.nbytes <= total <= data.nbytes + 9 * 2048  # headers between quadrants


@pytest.mark.parametrize("batch", [12, 60, 4096])
def test_uncompressed_chunks_are_read_once(tmp_path, monkeypatch, batch):
    path = write(tmp_path / "cube.hdf5", random_cube(), storage="chunked")
    seen = []
    array = extents.MappedFile.array

    def count(self, offset, dtype, shape):
        seen.append(offset)
        return array(self, offset, dtype, shape)

    reader = open_cube(path)
    monkeypatch.setattr(extents.MappedFile, "array", count)
    source = CubeSource(reader, batch=batch)
    for key in list(source.keys()):
        source.read(key)
    assert len(seen) == len(set(seen)) == 4 * 4 * 5


@pytest.mark.parametrize("kind", ["gzip", "lzf", "shuffled", "blosc", "planes"])
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("batch", [5, 40, 4096])
def test_compressed_chunks_are_decoded_once(tmp_path, decoded, kind, level, batch):
    if level == 1 and kind == "planes":
        kind = "gzip"
    path = write(tmp_path / "cube.hdf5", random_cube(shape=(11, 14, 30)), level, kind)
    chunk = (2, 3) if level == 1 else STORAGE[kind]["chunks"][:2]
    read_through(path, batch=batch)
    visits = {}
    for shape, area in decoded:
        for x in range(area.x0 // chunk[0], -(-area.x1 // chunk[0])):
            for y in range(area.y0 // chunk[1], -(-area.y1 // chunk[1])):
                visits.setdefault(shape, []).append((x, y))
    total = sum(len(places) for places in visits.values())
    assert total == (7 * 6 if level == 1 else -(-11 // chunk[0]) * -(-14 // chunk[1]))


def test_chunks_too_large_to_hold_say_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "HELD_LIMIT", 4 * 13 * 30 * 3)
    data = random_cube()
    reader = open_cube(write(tmp_path / "cube.hdf5", data, storage="planes"))
    assert reader.panels[0].tile == (3, 13)
    assert reader.held_nbytes <= 4 * 13 * 30 * 3
    assert any(
        "11 x 13 x 1 are decoded 4 times each; h5repack -l CHUNK=11x13x30" in note
        for note in reader.header.notes
    )


def test_only_one_quadrant_keeps_decoded_chunks(tmp_path):
    reader = open_cube(write(tmp_path / "cube.hdf5", random_cube(), 1, "gzip"))
    source = CubeSource(reader, batch=2)
    for key in list(source.keys()):
        source.read(key)
        held = [part._held for _, part in reader._layout.storages if part._held is not None]
        assert sum(spectra.nbytes for _, spectra in held) <= reader.held_nbytes


def test_memory_stays_flat_over_a_mapped_cube(tmp_path):
    shape, peak = (64, 256, 1024), 0  # 64 MiB
    for kind in ({}, {"chunks": (32, 64, 64)}, {"chunks": (64, 256, 8)}):
        path = tmp_path / "cube.hdf5"
        write(path, random_cube(shape=(1, 1, 1024)))
        with h5py.File(path, "a") as file:
            del file["data"]
            file.create_dataset("data", data=np.ones(shape, "f4"), **kind)
        source = CubeSource(open_cube(path), batch=1024)
        before = mapped_pages()
        for key in list(source.keys()):
            source.read(key)
            peak = max(peak, mapped_pages() - before)
        source.close()
    assert peak < 4 << 20


def mapped_pages():
    """Resident memory of mapped files [bytes]."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssFile"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("kind", ["contiguous", "chunked"])
def test_plain_storage_is_memory_mapped(tmp_path, kind):
    header = open_cube(write(tmp_path / "cube.hdf5", random_cube(), storage=kind)).header
    assert "memory-mapped" in header.layout


def test_storage_that_is_no_plain_stretch_goes_through_hdf5(tmp_path):
    data = random_cube()
    path = tmp_path / "cube.hdf5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data"] = data
        whole = write(tmp_path / "other.hdf5", data)
        with h5py.File(whole) as other:
            file.attrs.update(dict(other.attrs))
    assert_reads(path, data)
    layout = h5py.VirtualLayout(data.shape, "f4")
    layout[...] = h5py.VirtualSource(whole, "data", shape=data.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
        with h5py.File(whole) as other:
            file.attrs.update(dict(other.attrs))
    assert_reads(path, data)


def assert_reads(path, data):
    reader = open_cube(path)
    assert "read through HDF5" in reader.header.layout
    source = CubeSource(reader, batch=20)
    for key in list(source.keys()):
        batch = source.read(key)
        assert np.array_equal(batch.data, data[batch.x, batch.y])
    assert len(reader.fingerprint()) == 4
    source.close()


def test_chunks_never_written_hold_the_fill_value(tmp_path):
    data = random_cube()
    path = write(tmp_path / "cube.hdf5", data)
    with h5py.File(path, "a") as file:
        del file["data"]
        stored = file.create_dataset("data", data.shape, "f4", chunks=(3, 4, 7), fillvalue=-7.0)
        stored[3:6, 4:8] = data[3:6, 4:8]
    expected = np.full_like(data, -7.0)
    expected[3:6, 4:8] = data[3:6, 4:8]
    batch = CubeSource(open_cube(path)).read(CubeSource(open_cube(path)).keys()[0])
    assert np.array_equal(batch.data, expected[batch.x, batch.y])


def test_a_file_that_shrinks_while_it_is_read_is_an_error_not_a_crash(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube(shape=(20, 20, 400)))
    reader = open_cube(path)
    source = CubeSource(reader, batch=40)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 100_000)
    with pytest.raises(InputError, match=f"shrank from {size} to {size - 100_000} bytes"):
        source.read(source.keys()[-1])


def test_a_damaged_chunk_names_the_place(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube(), storage="gzip")
    with h5py.File(path) as file:
        chunk = file["data"].id.get_chunk_info_by_coord((0, 0, 21))
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    source = CubeSource(open_cube(path))
    with pytest.raises(InputError, match="cannot be decoded at 0:11,0:13") as caught:
        source.read(source.keys()[0])
    assert "\n" not in str(caught.value)


def test_storage_beyond_the_end_of_the_file_is_refused(tmp_path):
    path = write(tmp_path / "cube.hdf5", random_cube())
    with h5py.File(path) as file:
        mapped = extents.MappedFile(path)
        mapped.size = 1000
        with pytest.raises(InputError, match=r"reaches to byte \d+ but the file has 1000"):
            extents.MappedContiguous(file["data"], mapped)


def test_part_of_a_chunk_is_cut_where_it_belongs(tmp_path):
    data = random_cube(shape=(17, 19, 23))
    for kind in ("contiguous", "chunked", "gzip"):
        reader = open_cube(write(tmp_path / f"{kind}.hdf5", data, storage=kind))
        dataset = reader._layout.storages[0][1]
        area = Area(2, 16, 5, 18)
        found = np.full((14, 13, 23), np.nan, "f4")
        for where, block in dataset.blocks(area):
            found[where] = block
        assert np.array_equal(found, data[2:16, 5:18])
