import numpy as np
import pytest

from streamfit.stream.labels import (
    counted,
    duration,
    line_label,
    percent,
    quantity_label,
    scale_exponent,
    size,
    unit_text,
    with_error,
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Halpha", "Hα"),
        ("NII6583", "[N II] 6583"),
        ("OI6300", "[O I] 6300"),
        ("HeI5876", "He I 5876"),
        ("ArIII7136", "[Ar III] 7136"),
        ("mystery", "mystery"),
    ],
)
def test_lines_are_written_as_astronomers_do(name, label):
    assert line_label(name) == label


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("Halpha_flux", "Hα flux"),
        ("SII6716_amplitude", "[S II] 6716 amplitude"),
        ("velocity_g2", "velocity, group 2"),
        ("NII6583_flux_c2", "[N II] 6583 flux, component 2"),
        ("snr", "signal to noise"),
        ("N2", "N2"),
    ],
)
def test_columns_are_written_in_words(column, label):
    assert quantity_label(column) == label


@pytest.mark.parametrize(
    ("unit", "exponent", "text"),
    [
        ("km/s", 0, "km s⁻¹"),
        ("1e-16 erg/s/cm^2", 0, "10⁻¹⁶ erg s⁻¹ cm⁻²"),
        ("10**(-20)*erg/s/cm**2", 3, "10⁻¹⁷ erg s⁻¹ cm⁻²"),
        ("erg s-1 cm-2", -17, "10⁻¹⁷ erg s⁻¹ cm⁻²"),
        ("", 0, ""),
        ("", 4, "10⁴"),
        ("furlong per week", -2, "10⁻² furlong per week"),
    ],
)
def test_units_carry_their_power_of_ten(unit, exponent, text):
    assert unit_text(unit, exponent) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (123.456, 1.234, "123.5 ± 1.2"),
        (3.4e-17, 1.2e-18, "(3.40 ± 0.12) × 10⁻¹⁷"),
        (0.0, 1e-18, "(0.0 ± 1.0) × 10⁻¹⁸"),
        (-7.2, 153.0, "-7 ± 153"),
        (5.0, np.nan, "5"),
        (2.639e-17, np.nan, "2.639 × 10⁻¹⁷"),
        (np.nan, 1.0, "—"),
    ],
)
def test_values_have_the_digits_their_errors_allow(value, error, text):
    assert with_error(value, error) == text


def test_powers_of_ten_are_taken_out_only_where_they_help():
    assert [scale_exponent(value) for value in (0.5, 250.0, 3e-17, 4e7, np.nan, 0.0)] == [
        *(0, 0, -17, 7, 0, 0)
    ]


def test_times_counts_and_sizes():
    assert [duration(value) for value in (0.4, 75, 7500, 200000, None)] == [
        *("0 s", "1 min 15 s", "2 h 05 min", "2 d 07 h", "—")
    ]
    assert [counted(0), counted(1234567)] == ["0", "1 234 567"]
    assert [size(3 * 2**20), size(3 * 2**30)] == ["3 MiB", "3.0 GiB"]


def test_only_all_of_it_is_a_hundred_percent():
    assert percent(999999, 1000000) == "99.9 %"
    assert percent(10, 10) == "100 %"
    assert percent(0, 7) == "0.0 %"
