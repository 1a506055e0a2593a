import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfit.kernels.lines import RATIOS, REST_AIR_NM, STRONG, default_lines, rest_wavelengths

# Vacuum wavelengths [angstrom] of the NIST and SDSS lists, independent of the air values held.
VACUUM = {
    "OII3726": 3727.092,
    "OII3729": 3729.875,
    "Hgamma": 4341.684,
    "Hbeta": 4862.683,
    "OIII4959": 4960.295,
    "OIII5007": 5008.240,
    "OI6300": 6302.046,
    "NII6548": 6549.85,
    "Halpha": 6564.614,
    "NII6583": 6585.27,
    "SII6716": 6718.29,
    "SII6731": 6732.67,
}


@pytest.mark.parametrize("name", VACUUM)
def test_rest_wavelengths_are_those_of_air(name):
    squared = (1e4 / VACUUM[name]) ** 2
    # Edlen 1966, Metrologia 2, 71.
    index = 1 + 1e-8 * (8342.13 + 2406030 / (130 - squared) + 15997 / (38.9 - squared))
    # The lists differ by up to 0.03 A in [SII]; a vacuum wavelength would be 1.2 A off.
    assert REST_AIR_NM[name] == pytest.approx(VACUUM[name] / index / 10, abs=3e-3)


@pytest.mark.parametrize(
    ("band", "names"),
    [
        ((647.7, 685.0), ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731")),  # SN3
        ((479.8, 513.2), ("Hbeta", "OIII4959", "OIII5007")),  # SN2
        ((362.6, 385.6), ("OII3726", "OII3729")),  # SN1
        ((652.5, 664.0), ("NII6548", "Halpha", "NII6583")),  # SN4
        ((100.0, 200.0), ()),
    ],
)
def test_default_lines_of_a_filter(band, names):
    assert default_lines(*band) == names


def test_default_lines_follow_the_redshift():
    assert default_lines(798.5, 823.4, redshift=0.25) == ("NII6548", "Halpha", "NII6583")


@given(st.floats(300, 800), st.floats(300, 800), st.floats(0, 3))
def test_default_lines_come_by_wavelength(low, high, redshift):
    found = default_lines(low, high, redshift=redshift)
    observed = [REST_AIR_NM[name] * (1 + redshift) for name in found]
    assert observed == sorted(observed)
    assert all(low < value < high for value in observed)


def test_fixed_ratios_are_of_lines_we_know():
    assert RATIOS["NII6583", "NII6548"] == 3.071  # Storey & Zeippen 2000
    assert RATIOS["OIII5007", "OIII4959"] == 3.013
    assert {name for pair in RATIOS for name in pair} <= set(STRONG) <= set(REST_AIR_NM)


def test_custom_lines_stand_beside_and_before_ours():
    found = rest_wavelengths(["Halpha", "FeXIV5303", "Hbeta"], {"FeXIV5303": 530.286, "Hbeta": 486})
    assert found == {"Halpha": 656.2819, "FeXIV5303": 530.286, "Hbeta": 486}
    assert list(found) == ["Halpha", "FeXIV5303", "Hbeta"]


def test_an_unknown_line_is_named_with_those_known():
    with pytest.raises(ValueError, match=r"line Halfa is unknown; known are ArIII7136, .*, mine"):
        rest_wavelengths(["Halfa"], {"mine": 500.0})


def test_a_line_given_twice_is_refused():
    with pytest.raises(ValueError, match="line Halpha is given twice; name it once"):
        rest_wavelengths(["Halpha", "Halpha"])


@pytest.mark.parametrize("name", ["[NII]", "6583", "N II", ""])
def test_a_line_that_cannot_name_a_column_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a column; use letters, digits and _"):
        rest_wavelengths([name], {name: 658.3})


@pytest.mark.parametrize("wavelength", [0.0, -5.0, np.nan])
def test_a_wavelength_must_be_positive(wavelength):
    with pytest.raises(ValueError, match=r"line mine has wavelength .* nm; give air nm above 0"):
        rest_wavelengths(["mine"], {"mine": wavelength})
