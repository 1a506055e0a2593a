from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fits_files import SHAPE, SIGMA, gmos, image, muse, plain, spectra, write

from streamfit.io import fits_cube
from streamfit.io.records import Area, BatchKey

HEAD = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CD3_3": 1.0}


def variance(path: Path) -> tuple[float, tuple[str, ...]]:
    """Median variance as read, and the notes."""
    cube = fits_cube.open(path)
    nx, ny = cube.header.shape
    batch = cube.read(Area(0, nx, 0, ny), BatchKey("a", 0, nx * ny))
    assert batch.variance is not None
    return float(np.nanmedian(batch.variance)), cube.header.notes


def cube(path: Path, name: str, noise: np.ndarray, unit: str | None = None, **cards) -> Path:
    """A cube whose noise extension bears a name and perhaps a unit."""
    if unit is not None:
        cards["BUNIT"] = unit
    head = {**HEAD, "BUNIT": "1e-20 erg/s/cm2/A"}
    return write(path, image(spectra(), "DATA", **head), image(noise.astype("f4"), name, **cards))


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["STAT", "VAR", "VARIANCE"])
def test_a_name_that_says_variance(tmp_path, name):
    found, _ = variance(cube(tmp_path / "a.fits", name, np.full(SHAPE, SIGMA**2)))
    assert found == pytest.approx(SIGMA**2)


@pytest.mark.parametrize("name", ["STDDEV", "SIGMA"])
def test_a_name_that_says_standard_deviation(tmp_path, name):
    found, _ = variance(cube(tmp_path / "a.fits", name, np.full(SHAPE, SIGMA)))
    assert found == pytest.approx(SIGMA**2)


def test_an_inverse_variance(tmp_path):
    found, _ = variance(cube(tmp_path / "a.fits", "IVAR", np.full(SHAPE, SIGMA**-2)))
    assert found == pytest.approx(SIGMA**2)


@pytest.mark.parametrize(("kind", "power"), [("MSE", 2), ("RMSE", 1), ("INVMSE", -2)])
def test_eso_s_word_for_the_kind(tmp_path, kind, power):
    path = cube(tmp_path / "a.fits", "ERR", np.full(SHAPE, SIGMA**power), HDUCLAS3=kind)
    assert variance(path)[0] == pytest.approx(SIGMA**2)


# --- units and statistics --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ERR", "ERROR", "UNCERT", "NOISE"])
@pytest.mark.parametrize(
    ("unit", "power", "said"),
    [
        ("1e-20 erg/s/cm2/A", 1, "is a sigma"),
        ("1e-40 erg2/s2/cm4/A2", 2, "is a variance"),
    ],
)
def test_a_unit_decides(tmp_path, name, unit, power, said):
    path = cube(tmp_path / "a.fits", name, np.full(SHAPE, SIGMA**power), unit)
    found, notes = variance(path)
    assert found == pytest.approx(SIGMA**2)
    assert any(f"{name} {said}: its BUNIT is {unit!r}" in note for note in notes)


@pytest.mark.parametrize(("power", "said"), [(1, "sigma"), (2, "variance")])
def test_scatter_decides_where_the_unit_is_silent(tmp_path, power, said):
    err = np.full(SHAPE, (SIGMA * 1e-18) ** power, dtype=np.float64)
    found, notes = variance(gmos(tmp_path / "g.fits", err=err))
    assert found == pytest.approx((SIGMA * 1e-18) ** 2, rel=1e-5)
    assert any(f"ERR taken as {said}" in note for note in notes)


def test_scatter_decides_against_an_absurd_unit(tmp_path):
    err = np.full(SHAPE, (SIGMA * 1e-18) ** 2, dtype=np.float64)
    path = gmos(tmp_path / "g.fits", err=err, BUNIT="erg/cm2/s/A/arcsec2")
    found, notes = variance(path)
    assert found == pytest.approx((SIGMA * 1e-18) ** 2, rel=1e-5)
    assert any("ERR taken as variance" in note for note in notes)


def test_scatter_that_does_not_tell_leaves_it_to_the_name(tmp_path):
    data = spectra(sigma=1.0)
    path = tmp_path / "a.fits"
    write(path, image(data, "DATA", **HEAD), image(np.ones(SHAPE, "f4"), "ERR"))
    found, notes = variance(path)
    assert found == pytest.approx(1.0)
    assert any("standard deviation by its name" in note for note in notes)


def test_a_bright_line_does_not_mislead(tmp_path):
    data = spectra(sigma=10.0)
    profile = np.exp(-0.5 * ((np.arange(SHAPE[0]) - 30) / 3.0) ** 2)
    data += (5000.0 * profile[:, None, None]).astype("f4")
    path = tmp_path / "a.fits"
    write(path, image(data, "DATA", **HEAD), image(np.full(SHAPE, 100.0, "f4"), "ERR"))
    found, _ = variance(path)
    assert found == pytest.approx(100.0)


def test_a_noise_far_from_the_scatter_is_noted(tmp_path):
    path = cube(tmp_path / "a.fits", "VARIANCE", np.full(SHAPE, 1e4 * SIGMA**2))
    _, notes = variance(path)
    assert any("of what VARIANCE says" in n for n in notes)
    assert not any("scatter" in n for n in fits_cube.open(muse(tmp_path / "m.fits")).header.notes)


# --- nothing usable --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_variance_without_a_positive_value_is_left_out(tmp_path, value):
    header = fits_cube.open(cube(tmp_path / "a.fits", "STAT", np.full(SHAPE, value))).header
    assert not header.has_variance
    assert "STAT has no positive value where there are data: not used" in header.notes


def test_a_named_variance_that_is_not_there_is_noted(tmp_path):
    header = fits_cube.open(plain(tmp_path / "p.fits", ERRDATA="STAT")).header
    assert not header.has_variance
    assert any("names STAT as its variance, but the file has none" in n for n in header.notes)


def test_a_variance_good_only_far_from_the_sample_is_kept(tmp_path):
    noise = np.zeros((200, 4, 5), "f4")
    noise[3] = SIGMA**2
    path = tmp_path / "a.fits"
    write(path, image(spectra((200, 4, 5)), "DATA", **HEAD), image(noise, "STAT"))
    assert variance(path)[0] == pytest.approx(SIGMA**2)


def test_a_noise_without_data_behind_it_does_not_count(tmp_path):
    path = muse(tmp_path / "m.fits")
    with fits.open(path, mode="update") as hdus:
        stat = hdus["STAT"].data
        stat[...] = 0.0
        stat[30, 3, 4] = 1.0  # where DATA is NaN
    assert not fits_cube.open(path).header.has_variance
