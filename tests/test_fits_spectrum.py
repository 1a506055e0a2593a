"""Intrinsic spectra as FITS, read by astropy and, where it is installed, by XSPEC's library."""

import ctypes

import numpy as np
import pytest
from astropy.io import fits

from streamfit.io.errors import StorageError
from streamfit.io.fits_spectrum import IntrinsicSpectrum, write_spectrum

EDGES = np.geomspace(0.4, 8.5, 41)
CENTRE = np.sqrt(EDGES[1:] * EDGES[:-1])


@pytest.fixture
def written(tmp_path):
    spectrum = IntrinsicSpectrum(
        "an observation", EDGES, -2.0 * np.log(CENTRE) - 9.0, 0.1 + 0.02 * CENTRE
    )
    path = tmp_path / "a.fits"
    write_spectrum(path, spectrum, cards={"OBJECT": "A test", "SFSTATUS": (8, "bits")})
    return path, spectrum


def test_bands_are_standard_deviations_of_the_logarithm(written):
    path, spectrum = written
    with fits.open(path, checksum=True) as file:
        file.verify("exception")
        found = file["INTRINSIC"].data
        for name, away in (
            ("FLUX", 0.0),
            ("FLUX_LO68", -1.0),
            ("FLUX_HI68", 1.0),
            ("FLUX_LO95", -1.959964),
            ("FLUX_HI95", 1.959964),
        ):
            np.testing.assert_allclose(
                found[name], np.exp(spectrum.log_flux + away * spectrum.sigma)
            )
        assert file["INTRINSIC"].header["OBJECT"] == "A test"
        assert file[0].header["SFSTATUS"] == 8


def test_what_is_not_known_is_nan_in_the_table_and_zero_in_the_model(tmp_path):
    log_flux, sigma = np.zeros(40), np.full(40, np.nan)
    log_flux[3] = np.nan
    write_spectrum(tmp_path / "a.fits", IntrinsicSpectrum("a", EDGES, log_flux, sigma), cards={})
    with fits.open(tmp_path / "a.fits") as file:
        found, model = file["INTRINSIC"].data, file["SPECTRA"].data["INTPSPEC"]
        assert np.isnan(found["FLUX"][3])
        assert np.isnan(found["FLUX_LO68"]).all()
        assert np.all(model[:, 3] == 0)
        np.testing.assert_allclose(np.delete(model[0], 3), np.delete(np.diff(EDGES), 3), rtol=1e-6)


def test_xspec_reads_the_table_model(written):
    """The library of XSPEC 6.35.1 itself, by way of xspectrampoline."""
    pytest.importorskip("xspectrampoline")
    from streamfit.tools.xspec_library import XspecLibrary

    path, spectrum = written
    interpolate = XspecLibrary()._bound.lib_XSFunctions.tabint
    edges = EDGES.astype(np.float32)
    for band in (-2.0, 0.0, 1.0):
        given = np.array([band], np.float32)
        photons, error = np.zeros((2, CENTRE.size), np.float32)
        pointers = [
            array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            for array in (edges, given, photons, error)
        ]
        name, kind = ctypes.c_char_p(str(path).encode()), ctypes.c_char_p(b"add")
        interpolate(
            pointers[0],
            CENTRE.size,
            pointers[1],
            1,
            name,
            1,
            kind,
            *pointers[2:],
        )
        expected = np.exp(spectrum.log_flux + band * spectrum.sigma) * np.diff(EDGES)
        # Single precision, on edges that are rounded to it.
        np.testing.assert_allclose(photons, expected, rtol=2e-5)


def test_a_disk_that_refuses_is_named(tmp_path):
    spectrum = IntrinsicSpectrum("a", EDGES, np.zeros(40), np.zeros(40))
    with pytest.raises(StorageError, match="cannot be written"):
        write_spectrum(tmp_path / "gone" / "a.fits", spectrum, cards={})
