"""The FITS cubes of others: everything the reader says of them, against astropy."""

import numpy as np
import pytest
from astropy.io import fits

from streamfit.io import fits_cube
from streamfit.io.records import Area, BatchKey, SampledAxis

# file, spectra, noise, unit, redshift, spaxels with data
CUBES = [
    ("muse_a478/a478_ha.fits", "DATA", "STAT", "1e-20 erg / (Angstrom s cm2)", None, 1600),
    ("muse_ngc7009/3dspec_2x2.fits", 0, None, "1e-20 erg / (Angstrom s cm2)", None, 4),
    (
        "gmos_ngc3081/ngc3081_cube.fits",
        "SCI",
        "ERR",
        "erg / (Angstrom s arcsec2 cm2)",
        0.007976,
        46,
    ),
    (
        "sami/41144_A_sectors_red.fits.gz",
        0,
        "VARIANCE",
        "1e-16 erg / (Angstrom pix s cm2)",
        0.02964,
        892,
    ),
    (
        "sami/572402_A_sectors_blue.fits.gz",
        0,
        "VARIANCE",
        "1e-16 erg / (Angstrom pix s cm2)",
        0.02827,
        835,
    ),
]


@pytest.mark.parametrize(("name", "spectra", "noise", "unit", "redshift", "spaxels"), CUBES)
def test_real_cubes_read_as_astropy_reads_them(
    shared_data, name, spectra, noise, unit, redshift, spaxels
):
    path = shared_data / "ifu" / name
    cube = fits_cube.open(path)
    header = cube.header
    nx, ny = header.shape
    batch = cube.read(Area(0, nx, 0, ny), BatchKey(path.name, 0, nx * ny))
    cube.close()
    with fits.open(path) as hdus:
        data = np.array(hdus[spectra].data)
        cards = hdus[spectra].header
        variance = None if noise is None else np.array(hdus[noise].data)
    good = np.isfinite(batch.data)
    assert np.array_equal(batch.data[good], turned(data)[good])
    assert np.count_nonzero(good.any(axis=1)) == spaxels
    assert header.unit == unit
    assert header.redshift == (None if redshift is None else pytest.approx(redshift, abs=1e-7))
    assert header.has_variance is (noise is not None)
    if variance is not None:
        assert batch.variance is not None
        assert np.array_equal(batch.variance[good], turned(variance)[good])
        assert np.isnan(batch.variance[~good]).all()
    assert isinstance(header.axis, SampledAxis)
    assert header.axis.kind == "air"
    step = cards.get("CD3_3", cards.get("CDELT3"))
    first = cards["CRVAL3"] + step * (1 - cards["CRPIX3"])
    expected = first + step * np.arange(data.shape[0])
    assert np.allclose(header.axis.coordinate, expected, rtol=1e-13)
    for key, value in header.celestial.items():
        assert cards[key] == value


def turned(data: np.ndarray) -> np.ndarray:
    """Spectra, x slow and y fast."""
    return data.transpose(2, 1, 0).reshape(-1, data.shape[0])


def test_the_variance_called_err(shared_data):
    notes = fits_cube.open(shared_data / "ifu/gmos_ngc3081/ngc3081_cube.fits").header.notes
    assert any(note.startswith("ERR taken as variance") for note in notes)


def test_a_filtered_header_points_to_a_variance_that_is_gone(shared_data):
    header = fits_cube.open(shared_data / "ifu/muse_ngc7009/3dspec_2x2.fits").header
    assert "the header names STAT as its variance, but the file has none" in header.notes
