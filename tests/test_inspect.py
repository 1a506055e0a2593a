import numpy as np
import pytest
from astropy.io import fits
from fits_files import AIR, SKY, image
from matplotlib.image import imread

from streamfit.io.errors import ChangedInputError, InputError
from streamfit.io.records import Area
from streamfit.io.table import read_table
from streamfit.stream.columns import RunTable
from streamfit.stream.config import OpticalConfig, RunConfig
from streamfit.stream.inspect import as_text, describe, inspect_spaxel, status_words
from streamfit.stream.labels import with_error
from streamfit.stream.run import start_run
from streamfit.stream.spectrum import Locator, Spectrum, draw_spectrum, push_apart, windows_of

NX, NY = 7, 6
LIGHT = 299792.458


def write_cube(path):
    """Halpha and [N II] of a velocity field, bright in the middle; one spaxel is dead."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:NY, 0:NX]
    wave = 6500.0 + 1.25 * np.arange(120)[:, None, None]
    data = np.full((120, NY, NX), 40.0)
    for rest, peak in ((6548.05, 130.0), (6562.819, 900.0), (6583.45, 400.0)):
        centre = rest * (1 + 15.0 * (x - 3) / LIGHT)
        data += peak * np.exp(-(((y - 3) / 2.0) ** 2)) * np.exp(-0.5 * ((wave - centre) / 2.2) ** 2)
    data = (data + rng.normal(0, 8.0, data.shape)).astype("f4")
    data[:, 0, 0] = np.nan
    unit = {"BUNIT": "10**(-20)*erg/s/cm**2/Angstrom"}
    cube = image(data, "DATA", **SKY, **AIR, **unit)
    noise = image(np.full_like(data, 64.0), "STAT", **SKY, **AIR)
    fits.HDUList([fits.PrimaryHDU(), cube, noise]).writeto(path)
    return path


def fit(cube, folder, **options):
    start_run(RunConfig("optical", str(cube), optical=OpticalConfig(**options)), folder)
    return folder


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return write_cube(tmp_path_factory.mktemp("cube") / "small.fits")


@pytest.fixture(scope="module")
def run(cube, tmp_path_factory):
    return fit(cube, tmp_path_factory.mktemp("inspect") / "run")


def test_a_row_is_written_with_errors_and_drawn(run, tmp_path):
    text = inspect_spaxel(run, 3, 3, tmp_path / "a.png")
    row = RunTable(run).row(3, 3)
    assert row is not None
    assert text.startswith(f"spaxel 3, 3 of small.fits, run {run}\n")
    assert f"velocity      {with_error(row['velocity'], row['velocity_err'])} km s⁻¹" in text
    assert "Hα " in text
    assert "erg s⁻¹ cm⁻²" in text
    assert "good" in text
    assert "not in the run's table" not in text
    assert imread(tmp_path / "a.png").shape[1] > 1500


def test_without_a_picture_there_is_the_text_alone(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "velocity" in inspect_spaxel(run, 2, 3)
    assert not list(tmp_path.iterdir())


def test_a_dead_spaxel_is_drawn_and_explained(run, tmp_path):
    text = inspect_spaxel(run, 0, 0, tmp_path / "a.png")
    assert "no data" in text
    assert "NO_DATA: too few good channels" in text
    assert "nan" not in text
    assert (tmp_path / "a.png").exists()


def test_bins_and_regions_are_read_as_the_run_read_them(cube, tmp_path):
    run = fit(cube, tmp_path / "run", bin=2, region=Area(2, 7, 0, 6))
    rows = read_table(run / "fit").to_pylist()
    assert {(row["x"], row["y"]) for row in rows} == {(x, y) for x in (1, 2, 3) for y in range(3)}
    edge = next(row for row in rows if (row["x"], row["y"]) == (3, 1))
    text = inspect_spaxel(run, 3, 1, tmp_path / "a.png")
    assert text.startswith("bin 3, 1 (2 x 2 spaxels)")
    assert with_error(edge["velocity"], edge["velocity_err"]) in text
    with pytest.raises(InputError, match="x=0, y=1 lies outside the run, which has x from 1 to 3"):
        inspect_spaxel(run, 0, 1)


def test_a_spaxel_that_was_masked_out_is_said(cube, tmp_path):
    keep = np.ones((NY, NX), "u1")
    keep[2, 4] = 0
    fits.writeto(tmp_path / "mask.fits", keep)
    run = fit(cube, tmp_path / "run", mask=str(tmp_path / "mask.fits"))
    with pytest.raises(InputError, match="x=4, y=2 was masked out"):
        inspect_spaxel(run, 4, 2)


def test_a_spaxel_that_is_not_fitted_yet_is_fitted_now_with_the_same_numbers(run, monkeypatch):
    stored = inspect_spaxel(run, 3, 3)
    monkeypatch.setattr(RunTable, "row", lambda *_: None)
    assert inspect_spaxel(run, 3, 3) == f"{stored}\n  not in the run's table yet: fitted just now"


def test_a_cube_that_changed_is_refused(tmp_path):
    cube = write_cube(tmp_path / "small.fits")
    run = fit(cube, tmp_path / "run")
    with fits.open(cube, mode="update") as hdus:
        hdus["DATA"].data[0, 0, 1] += 1
    with pytest.raises(ChangedInputError, match="changed since the run began"):
        inspect_spaxel(run, 3, 3)


def test_status_bits_are_words():
    assert status_words(0) == "good"
    assert status_words(4 | 64 | 1 << 17) == "no signal, at bound, user bit 17"


def test_numbers_stand_in_columns(run):
    table = RunTable(run)
    row = table.row(3, 3)
    assert row is not None
    numbers = describe(row | {"status": 4}, table, fitted=False)
    lines = as_text(numbers).splitlines()
    values = {line.index("±") for line in lines if "±" in line and "velocity" in line}
    assert len(values) == 1
    assert "  NO_SIGNAL: no line above the noise: the values are limits; try --bin" in lines


@pytest.mark.parametrize("kind", ["wavenumber", "air", "vacuum", "channel"])
def test_spectra_of_several_windows_are_drawn(tmp_path, kind):
    x = np.arange(400.0) + 5000
    data = np.sin(x / 9) * 1e-17
    model = np.where((x < 5080) | (x > 5300), data + 1e-18, np.nan)
    spectrum = Spectrum(
        x, kind, data, model, model * 0, np.full(400, 2e-18), "erg/s/cm2/Angstrom", (("a", 5010.0),)
    )
    assert [(window.start, window.stop) for window in windows_of(spectrum)] == [(0, 83), (298, 400)]
    numbers = [("velocity", "3 ± 1 km/s"), ("", ""), ("a note that is long " * 9, "")]
    draw_spectrum(
        tmp_path / "a.png",
        spectrum,
        title="spaxel",
        subtitle="cube",
        numbers=numbers,
        locator=Locator(np.eye(4), "flux", (1.0, 2.0)),
    )
    assert imread(tmp_path / "a.png").std() > 0.05


def test_labels_are_pushed_apart_no_further_than_needed():
    places = np.array([0.1, 0.5, 0.501, 0.502, 0.9])
    moved = push_apart(places, apart=0.02)
    assert np.diff(moved).min() >= 0.02 - 1e-12
    assert moved[[0, -1]] == pytest.approx([0.1, 0.9])
    assert moved[1:4].mean() == pytest.approx(0.501)
    assert push_apart(np.array([]), apart=0.1).size == 0
