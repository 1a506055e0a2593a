import pytest
from astropy import units
from hypothesis import given
from hypothesis import strategies as st

from streamfit.io.fits_unit import normal_unit, parse_unit

CGS = "erg / (Angstrom s cm2)"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("10**(-20)*erg/s/cm**2/Angstrom", f"1e-20 {CGS}"),  # MUSE
        ("10**(-16) erg /s /cm**2 /angstrom /pixel", "1e-16 erg / (Angstrom pix s cm2)"),  # SAMI
        ("1E-17 erg/s/cm^2/Ang/spaxel", "1e-17 erg / (Angstrom pix s cm2)"),  # MaNGA
        ("erg/cm2/s/A/arcsec2", "erg / (Angstrom s arcsec2 cm2)"),  # GMOS
        ("FLAM16", f"1e-16 {CGS}"),  # KCWI
        ("1e-20 erg/s/cm2/A", f"1e-20 {CGS}"),
        ("10^-20 erg s-1 cm-2 A-1", f"1e-20 {CGS}"),
        ("10**-20 erg/(s cm2 Angstrom)", f"1e-20 {CGS}"),
        ("10**-20 Angstrom-1 cm-2 erg s-1", f"1e-20 {CGS}"),
        ("erg s^-1 cm^-2 Angstrom^-1", CGS),
        ("erg/s/cm2/AA", CGS),
        ("MJy/sr", "MJy / sr"),
        ("W/m2/um", "W / (um m2)"),
        ("counts", "ct"),
        ("electrons/s", "electron / s"),
        ("adu", "adu"),
    ],
)
def test_spellings_of_the_pipelines(written, normal):
    assert normal_unit(written) == normal
    assert normal_unit(normal) == normal
    unit = units.Unit(normal)  # astropy reads what we write
    assert unit.is_equivalent(parse_unit(written))
    assert unit.to(parse_unit(written)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("written", ["FLUX", "DN^", "some words here", "erg/?", "10(-20)erg"])
def test_what_cannot_be_read_stays(written):
    assert parse_unit(written) is None
    assert normal_unit(f" {written} ") == written


def test_an_empty_unit_stays_empty():
    assert normal_unit("") == ""


def test_an_ampere_is_not_meant():
    unit = parse_unit("erg/s/cm2/A")
    assert unit is not None
    assert unit.is_equivalent("erg / (s cm2 Angstrom)")


@given(power=st.integers(-40, 40))
def test_the_power_of_ten_is_kept(power):
    unit = parse_unit(f"10**({power})*erg/s/cm**2/Angstrom")
    assert unit is not None
    assert unit.scale == pytest.approx(10.0**power, rel=1e-12)
