import pyarrow as pa
import pytest
from astropy.io.votable.ucd import parse_ucd

from streamfit.io.results import (
    STATUS_TEXT,
    FitStatus,
    arrow_schema,
    flux_unit,
    line_names,
    optical_columns,
)

CONTRACT = [
    *("x", "y", "status", "velocity", "velocity_err", "broadening", "broadening_err"),
    *("continuum", "continuum_err", "chi2", "dof", "noise", "snr"),
    *("Halpha_amplitude", "Halpha_amplitude_err", "Halpha_flux", "Halpha_flux_err"),
]


def test_status_bits_stand_in_the_order_of_the_contract():
    names = [
        *("NO_DATA", "NONFINITE", "NO_SIGNAL", "MDN_OUT_OF_RANGE", "SEEDS_DISAGREE"),
        *("MAX_ITERATIONS", "AT_BOUND", "SINGULAR", "NEGATIVE_AMPLITUDE", "POOR_FIT"),
        *("REFOLD_REJECTED", "POSTERIOR_ROUGH"),
    ]
    assert [status.name for status in FitStatus] == names
    assert [int(status) for status in FitStatus] == [1 << bit for bit in range(12)]


def test_bits_16_to_23_are_free_for_users():
    assert all(int(status) < 1 << 16 for status in FitStatus)


def test_every_status_has_a_text():
    assert set(STATUS_TEXT) == set(FitStatus)


def test_columns_are_those_of_the_contract():
    names = [column.name for column in optical_columns(["Halpha"], "erg/s/cm2/A")]
    assert sorted(names) == sorted(CONTRACT)


def test_further_groups_have_columns_of_their_own():
    names = {column.name for column in optical_columns(["Halpha"], "", groups=2)}
    more = {"velocity_g2", "velocity_g2_err", "broadening_g2", "broadening_g2_err"}
    assert names == {*CONTRACT, *more}


def test_every_field_has_unit_and_description():
    for field in arrow_schema(optical_columns(["Halpha"], "count", 2), {}):
        assert {b"unit", b"description"} <= field.metadata.keys()


def test_positions_and_status_are_int32():
    schema = arrow_schema(optical_columns([], ""), {})
    assert {schema.field(name).type for name in ("x", "y", "status")} == {pa.int32()}


def test_every_ucd_is_a_word_of_the_ivoa():
    for column in optical_columns(["Halpha"], "", 2):
        if column.ucd:
            parse_ucd(column.ucd, check_controlled_vocabulary=True)


def test_lines_are_found_by_their_flux():
    schema = arrow_schema(optical_columns(["Hbeta", "Halpha"], ""), {"noise": "band"})
    assert line_names(schema) == ["Hbeta", "Halpha"]
    assert schema.metadata == {b"noise": b"band"}


@pytest.mark.parametrize(
    ("density", "flux"),
    [
        ("10**(-20)*erg/s/cm**2/Angstrom", "10**(-20)*erg/s/cm**2"),
        ("1E-17 erg/s/cm^2/Ang/spaxel", "1E-17 erg/s/cm^2/spaxel"),
        ("10**(-16) erg /s /cm**2 /angstrom /pixel", "10**(-16) erg /s /cm**2 /pixel"),
        ("erg/cm2/s/A", "erg/cm2/s"),
        ("erg s-1 cm-2 Angstrom-1", "erg s-1 cm-2"),
        ("10**-20 erg Angstrom-1 cm-2 s-1", "10**-20 erg cm-2 s-1"),
        ("erg / (Angstrom s cm2)", "erg / (s cm2)"),
        ("erg / (s Angstrom cm2)", "erg / (s cm2)"),
        ("1e-20 erg / (s cm2 Angstrom)", "1e-20 erg / (s cm2)"),
        ("count", "count Angstrom"),
        ("", ""),
    ],
)
def test_flux_unit_is_the_density_times_angstrom(density, flux):
    assert flux_unit(density) == flux
