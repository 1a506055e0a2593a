import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from rotating_disk import FLUX_UNIT, LINES, celestial, disk, write_run

from streamfit.io.errors import InputError, RunError
from streamfit.stream.columns import RunTable
from streamfit.stream.maps import make_maps, quantities

NX, NY, X0, Y0 = 40, 30, 7, 5


@pytest.fixture(scope="module")
def columns():
    """Rows of a region, a few spaxels masked out, not in the order of the map."""
    found = disk(NX, NY)
    keep = np.random.default_rng(5).permutation(NX * NY)[: NX * NY - 90]
    found = {name: values[keep] for name, values in found.items()}
    found["x"] += X0
    found["y"] += Y0
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory, columns):
    folder = tmp_path_factory.mktemp("maps") / "run"
    area = (X0, X0 + NX, Y0, Y0 + NY)
    return write_run(folder, columns, area=area, cards=celestial(100, 80), rows=100)


@pytest.fixture(scope="module")
def maps(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, make_maps(run, out)


def laid(columns, values):
    expected = np.full((NY, NX), np.nan)
    expected[columns["y"] - Y0, columns["x"] - X0] = values
    return expected


def test_every_quantity_has_a_map_and_its_error_an_extension(maps, columns):
    out, _ = maps
    for name in ("velocity", "broadening", "continuum", *(f"{line}_flux" for line in LINES)):
        with fits.open(out / f"{name}.fits", checksum=True) as hdus:
            np.testing.assert_allclose(hdus[0].data, laid(columns, columns[name]), rtol=1e-6)
            error = laid(columns, columns[f"{name}_err"])
            np.testing.assert_allclose(hdus["ERR"].data, error, rtol=1e-6)
    with fits.open(out / "chi2.fits") as hdus:
        assert len(hdus) == 1
        np.testing.assert_allclose(hdus[0].data, laid(columns, columns["chi2"]), rtol=1e-6)
    assert not (out / "velocity_err.fits").exists()
    assert not (out / "x.fits").exists()


def test_headers_say_where_what_and_from_which_run(maps):
    out, _ = maps
    header = fits.getheader(out / "Halpha_flux.fits")
    assert header["BUNIT"] == FLUX_UNIT
    assert header["QUANTITY"] == "Halpha_flux"
    assert (header["LINE"], header["LINEWAV"]) == ("Halpha", 656.2819)
    assert header["CREATOR"] == "stream-fit 0.1.0"
    assert header["SFCONFIG"] == "ab" * 8
    assert header["SFREGION"] == "7:47,5:35"
    assert header["SF ILS"] == "sincgauss"
    assert header["OBJECT"] == "NGC 628"
    there = WCS(celestial(100, 80)).pixel_to_world_values(X0 + 3, Y0 + 4)
    np.testing.assert_allclose(WCS(header).pixel_to_world_values(3, 4), there, rtol=1e-13)
    assert fits.getheader(out / "velocity.fits")["VELCONV"] == "optical"


def test_status_is_whole_numbers_with_their_meaning(maps, columns):
    out, _ = maps
    with fits.open(out / "status.fits") as hdus:
        status, header = hdus[0].data, hdus[0].header
    assert status.dtype.newbyteorder("=") == np.int32
    expected = laid(columns, columns["status"])
    expected[np.isnan(expected)] = header["NOROW"]
    assert (status == expected).all()
    assert header["BIT02"] == "NO_SIGNAL"
    assert "NO_SIGNAL: no line above the noise" in str(header["COMMENT"])


def test_pictures_come_with_the_maps(maps):
    out, report = maps
    names = {path.stem for path in report.files if path.suffix == ".png"}
    assert names >= {"velocity", "broadening", "Halpha_flux", "status", "overview"}
    assert all(path.stat().st_size > 0 for path in report.files)
    assert str(report) == f"{sum(p.suffix == '.fits' for p in report.files)} maps and " + (
        f"{len(names)} pictures of {NX * NY - 90} spaxels"
    )
    assert set(out.iterdir()) == set(report.files)


def test_where_blanks_all_but_status_and_derive_adds_maps(run, columns, tmp_path):
    report = make_maps(
        run,
        tmp_path,
        where="(snr > 5) & ((status & NO_DATA) == 0) & (N2 > -1)",
        derive=["R=NII6583_flux/Halpha_flux", "N2=log10(R)", "good=status==0"],
        pictures=False,
    )
    with np.errstate(all="ignore"):
        ratio = columns["NII6583_flux"].astype(float) / columns["Halpha_flux"]
        kept = (columns["snr"] > 5) & ((columns["status"] & 1) == 0) & (np.log10(ratio) > -1)
    assert report.kept == kept.sum() > 100
    assert "kept by --where" in str(report)
    found, header = fits.getdata(tmp_path / "R.fits", header=True)
    np.testing.assert_allclose(found, laid(columns, np.where(kept, ratio, np.nan)), rtol=1e-12)
    assert found.dtype.itemsize == 8
    assert header["SFEXPR"] == "NII6583_flux/Halpha_flux"
    assert header["SFWHERE"].startswith("(snr > 5)")
    error = fits.getdata(tmp_path / "velocity.fits", "ERR")
    assert np.isfinite(error).sum() == kept.sum()
    good = fits.getdata(tmp_path / "good.fits")
    assert np.nansum(good) == (kept & (columns["status"] == 0)).sum()
    assert (fits.getdata(tmp_path / "status.fits") >= 0).sum() == len(columns["x"])
    assert not list(tmp_path.glob("*.png"))


def test_a_run_that_is_not_complete_says_so(columns, tmp_path):
    half = {name: values[:500] for name, values in columns.items()}
    area = (X0, X0 + NX, Y0, Y0 + NY)
    folder = write_run(tmp_path / "run", half, area=area, cards={}, rows=100)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"spaxels": 500', '"spaxels": 1110'))
    report = make_maps(folder, tmp_path / "out", pictures=False)
    assert str(report).endswith("the run is not complete: 610 spaxels are to come")


def test_errors_are_paired_with_their_quantities():
    names = ["x", "y", "status", "velocity", "velocity_err", "post_v", "post_v_sigma", "chi2"]
    pairs = {"velocity": "velocity_err", "post_v": "post_v_sigma", "chi2": None}
    assert quantities(names) == list(pairs.items())


def test_rows_are_found_by_place(run, columns):
    table = RunTable(run)
    row = table.row(int(columns["x"][7]), int(columns["y"][7]))
    assert row is not None
    assert row["velocity"] == columns["velocity"][7]
    assert table.row(0, 0) is None


@pytest.mark.parametrize(
    ("where", "derive", "words"),
    [
        ("velosity > 3", (), "--where 'velosity > 3': there is no column 'velosity'"),
        ("velocity", (), "is a number; compare it"),
        (None, ("velocity=snr",), "velocity is taken already"),
        (None, ("a=b+snr", "b=snr"), "there is no column 'b'"),
    ],
)
def test_a_wrong_expression_is_refused_before_anything_is_written(
    run, tmp_path, where, derive, words
):
    with pytest.raises(InputError) as caught:
        make_maps(run, tmp_path / "out", where=where, derive=derive)
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_run_and_no_rows_are_told_apart(run, tmp_path):
    with pytest.raises(InputError, match="not there"):
        make_maps(tmp_path / "nothing", tmp_path / "out")
    empty = tmp_path / "run"
    (empty / "fit").mkdir(parents=True)
    (empty / "run.toml").write_text("")
    (empty / "manifest.json").write_text((run / "manifest.json").read_text())
    with pytest.raises(RunError, match="no part is sealed yet"):
        make_maps(empty, tmp_path / "out")
