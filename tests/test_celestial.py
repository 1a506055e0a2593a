import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from streamfit.io.celestial import binned_cards, celestial_cards

SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "CRVAL1": 10.7,
    "CRVAL2": 41.2,
    "CRPIX1": 60.5,
    "CRPIX2": 33.0,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 2e-5,
    "A_1_1": -1e-5,
    "B_0_2": 3e-5,
    "B_1_0": 1e-3,
}
PC = SIP | {"PC1_1": -9e-5, "PC1_2": -2e-6, "PC2_1": -2e-6, "PC2_2": 9e-5}
CD = SIP | {"CD1_1": -9e-5, "CD1_2": -2e-6, "CD2_1": -2e-6, "CD2_2": 9e-5}


@pytest.mark.parametrize("cards", [PC, CD])
@pytest.mark.parametrize("side", [2, 3, 7])
def test_the_centre_of_a_bin_keeps_its_place_on_the_sky(cards, side):
    cube = WCS(fits.Header(cards))
    bins = WCS(fits.Header(binned_cards(cards, side)))
    index = np.arange(12)
    centre = index * side + (side - 1) / 2  # 0-based pixel at the middle of the bin
    expected = cube.all_pix2world(centre, centre[::-1], 0)
    found = bins.all_pix2world(index, index[::-1], 0)
    assert np.allclose(found, expected, rtol=0, atol=1e-11)  # degrees


def test_cards_of_the_sky_are_kept_and_others_not():
    metadata = dict(PC, step=2943.0, CTYPE3="WAVE-SIP", CRVAL3=14100.0, NAXIS1=2048)
    metadata["CRPIX1"] = np.float64(60.5)
    found = celestial_cards(metadata)
    assert found == PC
    assert type(found["CRPIX1"]) is float
    assert type(found["A_ORDER"]) is int


def test_pixels_without_a_projection_have_no_wcs():
    assert celestial_cards({"CTYPE1": "X", "CTYPE2": "Y", "CRVAL1": 1.0}) == {}
    assert celestial_cards({"CRVAL1": 1.0}) == {}
    assert binned_cards({}, 3) == {}
