from pathlib import Path

import numpy as np
import pytest
import sitelle_files
from fits_files import gmos, luci, manga, muse, orb, plain, sami, spectra

from streamfit.io.errors import InputError
from streamfit.stream.validate import describe


def found(path: Path) -> dict[str, str]:
    """The report as label and text; notes joined."""
    report: dict[str, str] = {}
    for line in describe(path).splitlines():
        label, text = line.split(maxsplit=1)
        report[label] = f"{report[label]} / {text}" if label in report else text
    return report


def test_the_report_of_a_muse_cube(tmp_path):
    report = found(muse(tmp_path / "m.fits"))
    assert report["file"] == "m.fits"
    assert report["format"] == "MUSE, DATA with STAT, DQ, memory-mapped"
    assert report["spaxels"] == "5 x 4, 20 in all"
    assert report["channels"] == "60"
    assert report["axis"] == "6500.000000 to 6573.750000 angstrom in air, step 1.25"
    assert report["resolution"].startswith("not in the file: give --resolution R")
    assert report["unit"] == "1e-20 erg / (Angstrom s cm2)"
    assert report["noise"] == "variance of the file, residuals of the fit"
    assert report["sample"] == (
        "20 spectra: 0.17 % of values bad, 0 without any good, 0.08 % good without a variance"
    )
    assert report["lines"] == "NII6548, Halpha (at redshift 0)"
    assert report["redshift"] == "not in the file: 0 unless --redshift"
    assert report["sky"] == "centre RA 150.000000 DEC 2.200028 deg, 0.2000 arcsec a spaxel"
    assert "5.866e-8" in report["note"]


def test_the_report_is_the_same_twice_and_plain(tmp_path):
    path = manga(tmp_path / "l.fits")
    text = describe(path)
    assert text == describe(path)
    assert text.isascii()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_resolution_from_the_file(tmp_path):
    report = found(manga(tmp_path / "l.fits", width="SPECRES"))
    assert report["resolution"] == "R 2000 at 6500, 2000 at 6589, from the file"
    assert "vacuum" in report["axis"]
    assert " to " in report["axis"].rsplit("step", 1)[1]


def test_lines_follow_the_redshift(tmp_path):
    report = found(sami(tmp_path / "s.fits"))
    assert report["redshift"] == "0.029640"
    assert report["lines"].startswith("none of the strong ones; give --lines or --redshift")
    assert "5 without any good" in report["sample"]


def test_vacuum_lines_are_compared_in_air(tmp_path):
    cards = {"CTYPE3": "WAVE", "CRVAL3": 6563.0, "CDELT3": 0.2}  # Halpha is at 6564.6 in vacuum
    vacuum = found(plain(tmp_path / "v.fits", spectra((20, 4, 5)), **cards))
    assert vacuum["lines"] == "Halpha (at redshift 0)"
    cards["CTYPE3"] = "AWAV"
    air = found(plain(tmp_path / "a.fits", spectra((20, 4, 5)), **cards))
    assert air["lines"].startswith("none")


def test_an_interferometer(tmp_path):
    report = found(orb(tmp_path / "o.fits"))
    assert report["axis"] == "14099.106073 to 15855.986869 cm-1, step 5.50746"
    assert report["mirror"] == (
        "step 2943.025792 nm, order 8, 320 steps, zero path difference at 64, "
        "axis for corr 1.037351, the same for all spaxels"
    )
    width = 1.03735082042 / (2 * 2943.025792e-7 * (320 - 64))
    assert f"sinc width {width:.5f} cm-1" in report["resolution"]
    assert report["band"] == "14598.5 to 15439.2 cm-1 (647.7 to 685.0 nm)"
    assert report["noise"] == "channels out of band, residuals of the fit"
    assert report["lines"] == "NII6548, Halpha, NII6583, SII6716, SII6731 (at redshift 0)"


@pytest.mark.parametrize("level", [1, 2, 2.5, 3])
def test_a_sitelle_cube(tmp_path, level):
    dtype = "c8" if level > 2 else "f4"
    cube = sitelle_files.random_cube(shape=(9, 12, 400), dtype=dtype)
    corr = np.linspace(1.03, 1.05, 9 * 12).reshape(9, 12) * sitelle_files.LASER
    path = sitelle_files.write(tmp_path / "c.hdf5", cube, level, datasets={"calib_map": corr})
    report = found(path)
    assert report["format"].startswith("SITELLE")
    assert report["spaxels"] == "9 x 12, 108 in all"
    assert report["channels"] == "400"
    low, high = sitelle_files.axis_ends(400)
    assert report["axis"].startswith(f"{low:.6f} to {high:.6f} cm-1")
    assert report["corr"] == "1.030000 to 1.050000 in the sample"
    assert report["lines"].startswith("NII6548, Halpha, NII6583, SII6716")
    noise = "channels out of band, residuals of the fit"
    if level > 2:
        noise = "channels out of band, imaginary part, residuals of the fit"
    assert report["noise"] == noise


def test_an_export_without_steps(tmp_path):
    report = found(luci(tmp_path / "l.fits"))
    assert "the line shape of the FTS is not known" in report["note"]
    assert report["unit"] == "not known"


def test_what_is_absent_is_said(tmp_path):
    report = found(gmos(tmp_path / "g.fits"))
    assert report["sky"] == "no celestial WCS"
    assert report["target"] == "not named"
    assert report["instrument"] == "unnamed"
    assert "ERR taken as variance" in report["note"]


def test_a_large_cube_is_sampled(tmp_path):
    report = found(plain(tmp_path / "p.fits", np.ones((12, 70, 90), "f4")))
    assert report["sample"].startswith("576 spectra: 0.00 % of values bad")


def test_what_is_wrong_comes_as_one_line(tmp_path):
    with pytest.raises(InputError, match="CRVAL3 is missing"):
        describe(plain(tmp_path / "p.fits", CRVAL3=None))
    with pytest.raises(InputError, match="no such file"):
        describe(tmp_path / "absent.fits")


REAL = [
    ("muse_a478/a478_ha.fits", "40 x 40, 1600 in all", "6974.890625 to 7398.640625", "air"),
    ("muse_ngc7009/3dspec_2x2.fits", "2 x 2, 4 in all", "4750.309570 to 9300.309570", "air"),
    ("gmos_ngc3081/ngc3081_cube.fits", "6 x 8, 48 in all", "5627.890000 to 6848.140906", "air"),
    ("sami/41144_A_sectors_red.fits.gz", "50 x 50, 2500 in all", "6240.000000 to 7460.", "air"),
    ("sami/41144_A_sectors_blue.fits.gz", "50 x 50, 2500 in all", "3650.000000 to 5800.", "air"),
    ("sami/572402_A_sectors_red.fits.gz", "50 x 50, 2500 in all", "6240.000000 to 7460.", "air"),
]


@pytest.mark.parametrize(("name", "spaxels", "axis", "kind"), REAL)
def test_real_cubes(shared_data, name, spaxels, axis, kind):
    report = found(shared_data / "ifu" / name)
    assert report["spaxels"] == spaxels
    assert report["axis"].startswith(axis)
    assert kind in report["axis"]
    assert "erg / (Angstrom" in report["unit"]
