import errno
import gzip
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits
from fits_files import SHAPE, image, manga, muse, plain, spectra, write

from streamfit.io import fits_cube
from streamfit.io.errors import InputError, StorageError
from streamfit.io.records import Area, BatchKey, SpectralBatch


def read(path: Path) -> SpectralBatch:
    cube = fits_cube.open(path)
    nx, ny = cube.header.shape
    batch = cube.read(Area(0, nx, 0, ny), BatchKey(path.name, 0, nx * ny))
    cube.close()
    return batch


# --- compressed files, identity --------------------------------------------------------------


def test_a_gzipped_cube_reads_the_same_and_leaves_nothing_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    path = muse(tmp_path / "m.fits")
    packed = tmp_path / "m.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    one, two = read(path), read(packed)
    assert np.array_equal(one.data, two.data, equal_nan=True)
    assert np.array_equal(one.variance, two.variance, equal_nan=True)
    assert fits_cube.open(packed).header.layout.endswith("unpacked and memory-mapped")
    assert list(scratch.iterdir()) == []


def test_no_room_to_unpack_is_said(tmp_path, monkeypatch):
    packed = tmp_path / "m.fits.gz"
    packed.write_bytes(gzip.compress(muse(tmp_path / "m.fits").read_bytes()))

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match=r"m\.fits\.gz: no room to unpack it in .*; set TMPDIR"):
        fits_cube.open(packed)


def test_the_fingerprint_follows_content_and_not_place(tmp_path):
    path = muse(tmp_path / "m.fits")
    first = fits_cube.open(path).fingerprint()
    copied = tmp_path / "sub" / "m.fits"
    copied.parent.mkdir()
    shutil.copy(path, copied)
    assert fits_cube.open(copied).fingerprint() == first
    with fits.open(copied, mode="update") as hdus:
        hdus["DATA"].header["CRVAL3"] = 6501.0
    changed = fits_cube.open(copied).fingerprint()
    assert changed["header"] != first["header"]
    assert changed["size"] == first["size"]


def test_files_are_claimed_by_content_or_name(tmp_path):
    path = plain(tmp_path / "cube.dat")
    assert fits_cube.claims(path)
    packed = tmp_path / "cube.bin"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert fits_cube.claims(packed)
    named = tmp_path / "not.fits"
    named.write_bytes(b"hello")
    assert fits_cube.claims(named)
    other = tmp_path / "cube.hdf5"
    other.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert not fits_cube.claims(other)


# --- what is wrong with a file ---------------------------------------------------------------


def test_not_fits(tmp_path):
    path = tmp_path / "not.fits"
    path.write_bytes(b"hello, world")
    with pytest.raises(InputError, match=r"^not\.fits: not FITS, it begins with b'hello, wo'"):
        fits_cube.open(path)


def test_empty_file(tmp_path):
    path = tmp_path / "empty.fits"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^empty\.fits: not FITS, it begins with b''"):
        fits_cube.open(path)


def test_cut_short_in_the_data(tmp_path):
    path = muse(tmp_path / "m.fits")
    path.write_bytes(path.read_bytes()[:9000])
    said = r"^m\.fits: HDU 1 \(DATA\) needs 10560 bytes but the file has 9000; .* download it again"
    with pytest.raises(InputError, match=said):
        fits_cube.open(path)


def test_cut_short_in_a_header(tmp_path):
    path = plain(tmp_path / "p.fits")
    path.write_bytes(path.read_bytes()[:1000])
    said = r"^p\.fits: the file ends inside header 0 after 1000 bytes; it is cut short"
    with pytest.raises(InputError, match=said):
        fits_cube.open(path)


def test_cut_short_in_the_gzip_stream(tmp_path):
    packed = tmp_path / "m.fits.gz"
    content = gzip.compress(muse(tmp_path / "m.fits").read_bytes())
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"^m\.fits\.gz: the gzip stream ends .* download"):
        fits_cube.open(packed)


def test_unpadded_end_of_file_is_no_fault(tmp_path):
    path = plain(tmp_path / "p.fits")
    content = path.read_bytes()
    length = 4 * int(np.prod(SHAPE))
    header = len(content) - -(-length // 2880) * 2880
    path.write_bytes(content[: header + length])
    assert read(path).data.shape == (20, 60)


def test_not_a_cube(tmp_path):
    path = write(tmp_path / "flat.fits", np.zeros((4, 5), "f4"))
    with pytest.raises(InputError, match=r"^flat\.fits: not a cube.*PRIMARY 5 x 4.*give a cube"):
        fits_cube.open(path)


def test_a_table_is_not_a_cube(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(3))])
    path = tmp_path / "table.fits"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    with pytest.raises(InputError, match=r"not a cube, no image has 3 axes \(found no image\)"):
        fits_cube.open(path)


def test_tile_compressed_images(tmp_path):
    path = tmp_path / "packed.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(spectra(), name="DATA")]).writeto(path)
    with pytest.raises(InputError, match=r"tile-compressed; unpack them with funpack"):
        fits_cube.open(path)


def test_shapes_that_disagree(tmp_path):
    head = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CD3_3": 1.0}
    path = tmp_path / "v.fits"
    write(path, image(spectra(), "DATA", **head), image(np.ones((59, 4, 5), "f4"), "STAT"))
    with pytest.raises(
        InputError,
        match=r"^v\.fits\[DATA\] has 5 x 4 x 60 pixels but v\.fits\[STAT\] has 5 x 4 x 59",
    ):
        fits_cube.open(path)


def test_a_mask_of_another_shape(tmp_path):
    head = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CD3_3": 1.0}
    path = tmp_path / "v.fits"
    write(path, image(spectra(), "SCI", **head), image(np.zeros((5, 4), "i2"), "MASK"))
    with pytest.raises(InputError, match=r"has 5 x 4 x 60 pixels but v\.fits\[MASK\] has 4 x 5;"):
        fits_cube.open(path)


def test_a_width_of_another_shape(tmp_path):
    path = manga(tmp_path / "l.fits")
    with fits.open(path, mode="update") as hdus:
        hdus["LSFPOST"].data = np.ones((59, 4, 5), "f4")
    with pytest.raises(InputError, match=r"LSFPOST\] has 5 x 4 x 59; give a width for each"):
        fits_cube.open(path)


def test_one_channel(tmp_path):
    with pytest.raises(InputError, match=r"1 channel is no spectrum"):
        fits_cube.open(plain(tmp_path / "p.fits", np.ones((1, 4, 5), "f4")))


def test_all_nan(tmp_path):
    path = plain(tmp_path / "nan.fits", np.full(SHAPE, np.nan, "f4"))
    with pytest.raises(InputError, match=r"^nan\.fits\[PRIMARY\]: all 1200 values are NaN; give"):
        fits_cube.open(path)


def test_all_masked(tmp_path):
    head = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CD3_3": 1.0}
    path = tmp_path / "v.fits"
    write(path, image(spectra(), "SCI", **head), image(np.ones((4, 5), "i2"), "MASK"))
    with pytest.raises(InputError, match=r"all 1200 values are NaN or flagged by MASK"):
        fits_cube.open(path)


def test_one_good_value_far_from_the_sample_is_found(tmp_path):
    data = np.full((200, 4, 5), np.nan, "f4")
    data[3, 0, 0] = 1.0
    assert np.isfinite(read(plain(tmp_path / "p.fits", data)).data).sum() == 1


def test_a_malformed_size(tmp_path):
    path = plain(tmp_path / "p.fits")
    path.write_bytes(path.read_bytes().replace(b"NAXIS3  =", b"NAXIS9  =", 1))
    with pytest.raises(InputError, match=r"^p\.fits: HDU 0: the header gives no size"):
        fits_cube.open(path)


def test_a_failed_open_leaves_no_file_open(tmp_path):
    process = psutil.Process()
    before = process.num_fds()
    with pytest.raises(InputError):
        fits_cube.open(plain(tmp_path / "nan.fits", np.full(SHAPE, np.nan, "f4")))
    assert process.num_fds() == before
