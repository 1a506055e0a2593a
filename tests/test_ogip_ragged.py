"""Columns of variable length, straight from the heap and as astropy gives them."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as some

from streamfit.io.errors import InputError
from streamfit.io.ogip_file import OgipFile
from streamfit.io.ogip_ragged import flatten

KINDS = {"I": np.int16, "J": np.int32, "K": np.int64, "E": np.float32, "D": np.float64}


def save(path, rows, kind="I", place="P"):
    packed = np.empty(len(rows), dtype=object)
    packed[:] = [np.array(row, KINDS[kind]) for row in rows]
    columns = [
        fits.Column("N", "J", array=np.arange(len(rows))),
        fits.Column("RUNS", f"{place}{kind}()", array=packed),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="MATRIX")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def read(path):
    with OgipFile(path) as file:
        return file.tables(("NONE",), ("MATRIX",))[0].ragged("RUNS")


@settings(deadline=None)
@given(
    rows=some.lists(some.lists(some.integers(0, 100), max_size=5), min_size=1, max_size=6),
    kind=some.sampled_from(sorted(KINDS)),
    place=some.sampled_from("PQ"),
)
def test_rows_come_as_they_were_written(rows, kind, place, tmp_path_factory):
    path = save(tmp_path_factory.getbasetemp() / "heap.fits", rows, kind, place)
    found = read(path)
    np.testing.assert_array_equal(found.lengths, [len(row) for row in rows])
    np.testing.assert_array_equal(found.values, np.concatenate([np.array(row) for row in rows]))
    assert found.values.dtype == KINDS[kind]
    with fits.open(path) as file:
        column = file[1].data["RUNS"]
        other = flatten(np.array([*(np.array(row) for row in column), None], object)[:-1])
    np.testing.assert_array_equal(found.lengths, other.lengths)


def test_scales_are_applied_in_every_row(tmp_path):
    path = save(tmp_path / "a.fits", [[1, 2], [3]])
    fits.setval(path, "TZERO2", value=32768, ext=1)
    np.testing.assert_array_equal(read(path).values, [32769, 32770, 32771])
    assert read(path).values.dtype == np.int64
    fits.setval(path, "TSCAL2", value=0.5, ext=1)
    np.testing.assert_array_equal(read(path).values, [32768.5, 32769.0, 32769.5])


def test_fixed_and_scalar_columns_are_flattened(tmp_path):
    columns = [fits.Column("RUNS", "3E", array=np.arange(6.0).reshape(2, 3))]
    hdu = fits.BinTableHDU.from_columns(columns, name="MATRIX")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    found = read(tmp_path / "a.fits")
    np.testing.assert_array_equal(found.values, np.arange(6.0))
    np.testing.assert_array_equal(found.lengths, [3, 3])


def test_a_row_beyond_the_heap_is_named_with_both_sizes(tmp_path):
    path = save(tmp_path / "a.fits", [[1, 2], [3]])
    with fits.open(path) as file:
        start = file[1].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    row = start + 12  # N and the pointer of each row take 12 bytes
    content[row + 4 : row + 8] = (1000).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"row 2 of RUNS has 1000 values .* heap of 6 bytes; copy"):
        read(path)
    with pytest.raises(InputError, match="no column OTHER"), OgipFile(path) as file:
        file.tables(("NONE",), ("MATRIX",))[0].ragged("OTHER")
