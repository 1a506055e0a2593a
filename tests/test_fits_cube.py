from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits
from fits_files import (
    SHAPE,
    SIGMA,
    gmos,
    image,
    luci,
    manga,
    muse,
    orb,
    plain,
    sami,
    spectra,
    write,
)

from streamfit.io import fits_cube
from streamfit.io.records import Area, BatchKey, FtsAxis, SampledAxis, SpectralBatch
from streamfit.io.source import CubeSource, open_cube


def read(path: Path, area: Area | None = None) -> SpectralBatch:
    cube = fits_cube.open(path)
    area = area or Area(0, cube.header.shape[0], 0, cube.header.shape[1])
    batch = cube.read(area, BatchKey(path.name, 0, len(area)))
    cube.close()
    return batch


def rows(data: np.ndarray, area: Area) -> np.ndarray:
    """Spectra of an area in the order of its positions, by plain indexing."""
    return np.array([data[:, y, x] for x, y in zip(*area.positions(), strict=True)])


# --- planes to spectra -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "u1"])
def test_rows_are_x_slow_and_y_fast(tmp_path, dtype):
    data = spectra(dtype=dtype)
    area = Area(1, 4, 1, 3)
    batch = read(plain(tmp_path / "a.fits", data), area)
    assert np.array_equal(batch.data, rows(data, area))
    assert np.array_equal(batch.x, [1, 1, 2, 2, 3, 3])
    assert np.array_equal(batch.y, [1, 2, 1, 2, 1, 2])
    assert batch.data.dtype == (np.float64 if dtype in ("f8", "i4") else np.float32)
    assert batch.data.dtype.isnative
    assert batch.variance is None
    assert batch.corr is None


def test_many_blocks_give_the_same_as_one(tmp_path, monkeypatch):
    path = muse(tmp_path / "m.fits")
    whole = read(path)
    monkeypatch.setattr("streamfit.io.fits_planes.BLOCK_PIXELS", 50)
    pieces = read(path)
    assert np.array_equal(whole.data, pieces.data, equal_nan=True)
    assert np.array_equal(whole.variance, pieces.variance, equal_nan=True)


def test_integers_follow_bscale_bzero_and_blank(tmp_path):
    stored = np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE)
    hdu = fits.PrimaryHDU(stored)
    hdu.header.update({"CTYPE3": "AWAV", "CUNIT3": "nm", "CRVAL3": 650.0, "CDELT3": 0.1})
    path = tmp_path / "scaled.fits"
    hdu.writeto(path)
    with path.open("r+b") as handle:  # astropy would scale the data itself
        header = fits.Header.fromfile(handle)
        for key, value in (("BSCALE", 0.5), ("BZERO", 100.0), ("BLANK", 7)):
            header[key] = value
        handle.seek(0)
        handle.write(header.tostring().encode())
    expected = stored * 0.5 + 100.0
    expected[stored == 7] = np.nan
    area = Area(0, 5, 0, 4)
    assert np.array_equal(read(path).data, rows(expected, area), equal_nan=True)


def test_a_decreasing_axis_is_read_in_reverse(tmp_path):
    data, variance = spectra(), spectra(sigma=1.0)
    path = tmp_path / "down.fits"
    head = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6800.0, "CDELT3": -1.0, "CRPIX3": 1.0}
    write(path, image(data, "DATA", **head), image(variance, "VAR"))
    batch = read(path)
    area = Area(0, 5, 0, 4)
    assert np.array_equal(batch.data, rows(data[::-1], area))
    assert np.array_equal(batch.variance, rows(variance[::-1], area))
    header = fits_cube.open(path).header
    assert isinstance(header.axis, SampledAxis)
    assert np.allclose(header.axis.coordinate, np.arange(6741.0, 6801.0))
    assert any("read in reverse" in note for note in header.notes)


def test_the_stream_gives_every_spaxel_once(tmp_path):
    path = muse(tmp_path / "m.fits")
    whole = read(path)
    source = CubeSource(open_cube(path), batch=7, region=Area(1, 5, 0, 4))
    seen = {}
    keys = source.keys()
    for key in keys:
        batch = source.read(key)
        seen.update({(x, y): row for x, y, row in zip(batch.x, batch.y, batch.data, strict=True)})
    source.close()
    assert len(seen) == 16
    for x, y, row in zip(whole.x, whole.y, whole.data, strict=True):
        if x >= 1:
            assert np.array_equal(seen[x, y], row, equal_nan=True)


def test_memory_stays_flat_while_a_cube_is_read(tmp_path):
    path = tmp_path / "big.fits"
    plain(path, np.ones((300, 200, 200), "f4"))  # 48 MB
    cube = fits_cube.open(path)
    process = psutil.Process()
    base, peak = process.memory_info().rss, 0
    for y in range(0, 200, 4):
        cube.read(Area(0, 200, y, y + 4), BatchKey("big", 0, 800))
        peak = max(peak, process.memory_info().rss)
    cube.close()
    assert peak - base < 24e6


# --- bad values ------------------------------------------------------------------------------


def test_flags_nan_and_bad_variance_are_told_apart(tmp_path):
    batch = read(muse(tmp_path / "m.fits"))
    assert batch.variance is not None
    row = {(x, y): n for n, (x, y) in enumerate(zip(batch.x, batch.y, strict=True))}
    assert np.isnan(batch.data[row[2, 1], 10])  # flagged by DQ
    assert np.isnan(batch.variance[row[2, 1], 10])
    assert np.isnan(batch.data[row[4, 3], 30])  # NaN in the file, finite variance
    assert np.isnan(batch.variance[row[4, 3], 30])
    assert np.isfinite(batch.data[row[0, 0], 20])  # zero variance: the value is kept
    assert np.isnan(batch.variance[row[0, 0], 20])
    assert np.isnan(batch.data).sum() == 2
    assert np.isnan(batch.variance).sum() == 3


def test_a_mask_of_spaxels_empties_their_spectra(tmp_path):
    batch = read(gmos(tmp_path / "g.fits"))
    dead = np.isnan(batch.data).all(axis=1)
    assert [(int(x), int(y)) for x, y in zip(batch.x[dead], batch.y[dead], strict=True)] == [(3, 2)]
    assert np.isfinite(batch.data[~dead]).all()


def test_of_manga_s_mask_only_the_bits_against_use_count(tmp_path):
    batch = read(manga(tmp_path / "l.fits"))
    assert batch.variance is not None
    assert np.isnan(batch.data[0, 5])  # DONOTUSE
    assert np.isfinite(batch.data[0, 6])
    assert np.isnan(batch.data[0, 7])  # no weight: nothing was measured
    assert np.isnan(batch.data).sum() == 2
    good = np.isfinite(batch.variance)
    assert np.allclose(batch.variance[good], SIGMA**2)
    assert good.sum() == batch.data.size - 2


def test_sami_s_bin_numbers_are_no_mask(tmp_path):
    batch = read(sami(tmp_path / "s.fits"))
    assert np.isnan(batch.data).all(axis=1).sum() == 5
    assert np.isfinite(batch.data[batch.y > 0]).all()


def test_the_square_of_a_small_error_keeps_its_digits(tmp_path):
    err = np.full(SHAPE, SIGMA * 1e-25)
    batch = read(gmos(tmp_path / "g.fits", err=err, scale=1e-25))
    assert batch.variance is not None
    assert batch.variance.dtype == np.float64
    assert np.nanmedian(batch.variance) == pytest.approx((SIGMA * 1e-25) ** 2, rel=1e-6)


# --- headers ---------------------------------------------------------------------------------


def test_muse(tmp_path):
    header = fits_cube.open(muse(tmp_path / "m.fits")).header
    assert header.layout == "MUSE, DATA with STAT, DQ, memory-mapped"
    assert header.shape == (5, 4)
    assert header.unit == "1e-20 erg / (Angstrom s cm2)"
    assert (header.instrument, header.target) == ("MUSE", "a galaxy")
    assert header.has_variance
    assert header.redshift is None
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.kind == "air"
    assert np.allclose(header.axis.coordinate, 6500.0 + 1.25 * np.arange(60))
    assert header.axis.lsf_sigma is None
    assert header.celestial["CRPIX1"] == 3.0


@pytest.mark.parametrize("log", [True, False])
def test_manga(tmp_path, log):
    header = fits_cube.open(manga(tmp_path / "l.fits", log=log)).header
    assert header.unit == "1e-17 erg / (Angstrom pix s cm2)"
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.kind == "vacuum"
    expected = 6500.0 * 10 ** (1e-4 * np.arange(60)) if log else 6500.0 + 1.5 * np.arange(60)
    assert np.allclose(header.axis.coordinate, expected)
    assert header.axis.lsf_sigma is not None
    assert np.allclose(header.axis.lsf_sigma, 1.2 * np.linspace(1.0, 1.1, 60), rtol=1e-6)
    assert any("median of all spaxels" in note for note in header.notes)


def test_manga_s_resolution_becomes_a_width(tmp_path):
    header = fits_cube.open(manga(tmp_path / "l.fits", width="SPECRES")).header
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.lsf_sigma is not None
    assert np.allclose(header.axis.lsf_sigma, header.axis.coordinate / 2000.0 / 2.3548200450309493)


def test_manga_s_width_before_pixels_is_noted(tmp_path):
    header = fits_cube.open(manga(tmp_path / "l.fits", width="LSFPRE")).header
    assert any("before it is sampled" in note for note in header.notes)


def test_sami(tmp_path):
    header = fits_cube.open(sami(tmp_path / "s.fits")).header
    assert header.layout.startswith("SAMI, PRIMARY with VARIANCE")
    assert header.redshift == pytest.approx(0.02964)
    assert header.target == "41144"
    assert header.has_variance


def test_gmos(tmp_path):
    header = fits_cube.open(gmos(tmp_path / "g.fits")).header
    assert header.redshift == pytest.approx(0.007976)
    assert header.celestial == {}
    assert header.unit == "erg / (Angstrom s arcsec2 cm2)"
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.kind == "air"
    notes = " / ".join(header.notes)
    for said in ("ERR taken as variance", "CUNIT3 is missing", "taken in air", "no celestial WCS"):
        assert said in notes


def test_orb(tmp_path):
    path = orb(tmp_path / "o.fits")
    header = fits_cube.open(path).header
    assert header.axis == FtsAxis(320, 2943.025792, 8, 320, 64, 1.03735082042, True)
    assert header.band == pytest.approx((1e7 / 685.0, 1e7 / 647.7))
    assert header.unit == "erg / (Angstrom s cm2)"
    assert not header.has_variance
    batch = read(path)
    assert batch.corr is not None
    assert np.all(batch.corr == 1.03735082042)
    assert np.array_equal(batch.data, rows(spectra((320, 3, 2)), Area(0, 2, 0, 3)))


def test_luci(tmp_path):
    header = fits_cube.open(luci(tmp_path / "l.fits")).header
    assert header.layout.startswith("LUCI export")
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.kind == "wavenumber"
    assert np.allclose(header.axis.coordinate, 14099.1 + 5.5 * np.arange(60))


def test_a_redshift_that_is_none_is_not_used(tmp_path):
    header = fits_cube.open(plain(tmp_path / "p.fits", Z_SPEC=-9999.0)).header
    assert header.redshift is None
    assert any("not a redshift" in note for note in header.notes)


def test_a_cd_matrix_leaves_no_room_for_cdelt(tmp_path):
    path = plain(tmp_path / "p.fits", CD1_1=-1e-4, CD2_2=1e-4)
    celestial = fits_cube.open(path).header.celestial
    assert "CDELT1" not in celestial
    assert celestial["CD2_2"] == 1e-4
