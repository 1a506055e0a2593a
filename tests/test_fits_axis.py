import numpy as np
import pytest
from fits_files import STEPS
from hypothesis import given
from hypothesis import strategies as st

from streamfit.io.errors import InputError
from streamfit.io.fits_axis import AxisFound, spectral_axis
from streamfit.io.records import FtsAxis, SampledAxis

WHERE = "a.fits[DATA]"


def axis(channels: int = 5, *, table: np.ndarray | None = None, **cards) -> AxisFound:
    given = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6500.0, "CDELT3": 2.0, "CRPIX3": 1.0}
    kept = {key: value for key, value in {**given, **cards}.items() if value is not None}
    return spectral_axis(kept, channels, where=WHERE, table=table)


def coordinate(found: AxisFound) -> np.ndarray:
    assert isinstance(found.axis, SampledAxis)
    return found.axis.coordinate


def kind(found: AxisFound) -> str:
    assert isinstance(found.axis, SampledAxis)
    return found.axis.kind


# --- known values ----------------------------------------------------------------------------


def test_reference_pixel_counts_from_one():
    assert np.array_equal(coordinate(axis()), [6500, 6502, 6504, 6506, 6508])
    assert np.array_equal(coordinate(axis(CRPIX3=3.0)), [6496, 6498, 6500, 6502, 6504])
    assert np.array_equal(coordinate(axis(CRPIX3=0.5))[:2], [6501, 6503])


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("Angstrom", 1),
        ("A", 1),
        ("angstroms", 1),
        ("0.1 nm", 1),
        ("nm", 10),
        ("um", 1e4),
        ("micron", 1e4),
        ("m", 1e10),
    ],
)
def test_wavelengths_become_angstrom(unit, factor):
    found = axis(CUNIT3=unit, CRVAL3=6500.0 / factor, CDELT3=2.0 / factor)
    assert np.allclose(coordinate(found), 6500 + 2 * np.arange(5), rtol=1e-14)
    assert found.notes == ()


@pytest.mark.parametrize(("value", "unit"), [(6500.0, "angstrom"), (650.0, "nm"), (2.1, "um")])
def test_a_forgotten_unit_follows_from_the_first_value(value, unit):
    found = axis(CUNIT3=None, CRVAL3=value, CDELT3=value * 1e-4)
    assert found.notes == (f"CUNIT3 is missing: {unit} assumed from the first value {value:g}",)


def test_steps_of_three_kinds():
    assert np.array_equal(np.diff(coordinate(axis(CD3_3=1.5))), [1.5] * 4)
    assert np.array_equal(np.diff(coordinate(axis(PC3_3=0.5))), [1.0] * 4)
    assert np.array_equal(np.diff(coordinate(axis(CDELT3=None, CD3_3=3.0))), [3.0] * 4)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"CTYPE3": "AWAV"}, "air"),
        ({"CTYPE3": "AWAV-LOG"}, "air"),
        ({"CTYPE3": "WAVE"}, "vacuum"),
        ({"CTYPE3": "WAVE-LOG"}, "vacuum"),
        ({"CTYPE3": "WAVE", "AIRORVAC": "air"}, "air"),
        ({"CTYPE3": "AWAV", "AIRORVAC": "vac"}, "vacuum"),
        ({"CTYPE3": "LINEAR", "VACUUM": True}, "vacuum"),
    ],
)
def test_air_and_vacuum(cards, expected):
    found = axis(**cards)
    assert kind(found) == expected
    assert found.notes == ()


@pytest.mark.parametrize("ctype", ["LAMBDA", "LINEAR", None])
def test_a_silent_ctype_means_air_and_says_so(ctype):
    found = axis(CTYPE3=ctype)
    assert kind(found) == "air"
    assert "neither AWAV nor WAVE: wavelengths taken in air" in found.notes[0]


def test_a_missing_reference_pixel_is_noted():
    found = axis(CRPIX3=None)
    assert coordinate(found)[0] == 6500
    assert found.notes == ("CRPIX3 is missing: CRVAL3 taken at the first channel",)


def test_logarithmic_axes_of_three_conventions():
    step = 1e-4
    expected = 6500.0 * 10 ** (step * np.arange(5))
    by_standard = axis(CTYPE3="WAVE-LOG", CDELT3=6500.0 * step * np.log(10))
    by_log10 = axis(CTYPE3="WAVE-LOG", CRVAL3=np.log10(6500.0), CDELT3=step)
    by_ln = axis(CTYPE3="WAVE-LOG", CRVAL3=np.log(6500.0), CDELT3=step * np.log(10))
    by_iraf = axis(CTYPE3="LINEAR", CRVAL3=np.log10(6500.0), CDELT3=step, **{"DC-FLAG": 1})
    for found in (by_standard, by_log10, by_ln, by_iraf):
        assert np.allclose(coordinate(found), expected, rtol=1e-13)
    assert "log10" in by_log10.notes[0]
    assert "ln" in by_ln.notes[0]


def test_a_table_of_wavelengths_stands_before_the_cards():
    table = np.array([6500.0, 6501.0, 6503.0, 6506.0, 6510.0])
    assert np.array_equal(coordinate(axis(table=table)), table)
    assert kind(axis(table=table, CTYPE3="WAVE-LOG")) == "vacuum"


def test_a_decreasing_axis_is_turned():
    found = axis(CDELT3=-2.0)
    assert found.flip
    assert np.array_equal(coordinate(found), [6492, 6494, 6496, 6498, 6500])


@pytest.mark.parametrize("cards", [{"CUNIT3": "cm-1"}, {"CUNIT3": "1/cm"}, {"CUNIT3": "cm^-1"}])
def test_wavenumbers(cards):
    found = axis(CTYPE3="WAVN", CRVAL3=15000.0, CDELT3=5.0, **cards)
    assert kind(found) == "wavenumber"
    assert np.array_equal(coordinate(found), 15000 + 5.0 * np.arange(5))


def test_wavenumbers_per_metre():
    found = axis(CTYPE3="WAVN", CUNIT3="m-1", CRVAL3=1.5e6, CDELT3=500.0)
    assert np.allclose(coordinate(found), 15000 + 5.0 * np.arange(5))


def test_luci_s_frequency_is_a_wavenumber():
    for unit in (None, "Hz", "cm-1"):
        found = axis(CTYPE3="FREQ", CUNIT3=unit, CRVAL3=15000.0, CDELT3=5.0)
        assert kind(found) == "wavenumber"
        assert "as LUCI writes it" in found.notes[0]


# --- interferometers -------------------------------------------------------------------------

SN3 = {"CTYPE3": "WAVE-SIP", "CUNIT3": "cm-1", "CRVAL3": 14099.1060729, "CDELT3": 5.50746330974}


def test_the_mirror_steps_of_a_real_header_give_its_axis():
    found = axis(320, **SN3, **STEPS)
    assert found.axis == FtsAxis(320, 2943.025792, 8, 320, 64, 1.03735082042, True)


@pytest.mark.parametrize(("written", "value"), [(1.3, 1.3), ("None", 1.0), (None, 1.0), (0.0, 1.0)])
def test_apodization_is_read(written, value):
    found = axis(320, **SN3, **STEPS, APODIZ=written)
    assert isinstance(found.axis, FtsAxis)
    assert found.axis.apodization == value


def test_an_odd_order_starts_one_step_later():
    steps = {**STEPS, "ORDER": 5, "STEP": 1680.0}
    spacing = STEPS["AXISCORR"] / (2 * 100 * 1680.0) * 1e7
    first = 5 / (2 * 1680.0) * STEPS["AXISCORR"] * 1e7 + spacing
    cards = {"CUNIT3": "cm-1", "CRVAL3": first, "CDELT3": spacing}
    assert isinstance(axis(100, **cards, **steps).axis, FtsAxis)
    cards["CRVAL3"] = first - spacing
    assert isinstance(axis(100, **cards, **steps).axis, SampledAxis)


def test_a_cube_cut_along_its_axis_is_no_longer_described_by_the_steps():
    found = axis(200, **SN3, **STEPS)
    assert kind(found) == "wavenumber"
    assert coordinate(found)[0] == pytest.approx(14099.1060729)
    assert any("line shape of the FTS is not known" in note for note in found.notes)


def test_missing_steps_are_named():
    found = axis(320, **SN3, STEP=2943.0, ORDER=8)
    assert kind(found) == "wavenumber"
    assert found.notes == (
        "no STEPNB, ZPDINDEX in the header: the line shape of the FTS is not known",
    )


def test_a_missing_correction_follows_from_the_axis():
    steps = {key: value for key, value in STEPS.items() if key != "AXISCORR"}
    found = axis(320, **SN3, **steps)
    assert isinstance(found.axis, FtsAxis)
    assert found.axis.axis_corr == pytest.approx(1.03735082042, rel=1e-9)
    assert "no AXISCORR" in found.notes[0]


# --- invariants ------------------------------------------------------------------------------


@given(
    first=st.floats(3000.0, 20000.0),
    step=st.floats(0.01, 10.0),
    pixel=st.floats(-50.0, 100.0),
    channels=st.integers(2, 80),
    down=st.booleans(),
)
def test_any_linear_axis_increases_and_holds_its_reference(first, step, pixel, channels, down):
    sign = -1.0 if down else 1.0
    found = axis(channels, CRVAL3=first, CDELT3=sign * step, CRPIX3=pixel)
    values = coordinate(found)
    assert np.all(np.diff(values) > 0)
    assert found.flip is down
    stored = values[::-1] if down else values
    at_reference = np.interp(pixel, np.arange(1, channels + 1), stored)
    if 1 <= pixel <= channels:
        assert at_reference == pytest.approx(first, rel=1e-9)


# --- what is wrong with a header -------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"CRVAL3": None}, "CRVAL3 is missing, no wavelength of a channel; write it"),
        ({"CDELT3": None}, "CD3_3 or CDELT3 is missing"),
        ({"CDELT3": 0.0}, "the step of axis 3 is 0 from CRVAL3 6500.0; write CDELT3"),
        ({"CRVAL3": "blue"}, "CRVAL3 is 'blue', not a number; write its value"),
        ({"CUNIT3": "parsec"}, "CUNIT3 is 'parsec'; write Angstrom, nm, um, m or cm-1"),
        ({"CUNIT3": None, "CRVAL3": 1e6}, "CUNIT3 is missing and 1e\\+06 is no optical"),
        (
            {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1.4e9},
            "a frequency from 1.4e\\+09 Hz;",
        ),
        ({"CTYPE3": "VRAD", "CUNIT3": "m/s"}, "CTYPE3 is 'VRAD'; give a cube whose third axis"),
        ({"CTYPE3": "WAVE-TAB"}, "CTYPE3 is 'WAVE-TAB', a lookup table; resample"),
        ({"CTYPE1": "AWAV"}, "CTYPE1 is 'AWAV', the spectral axis must be the third"),
        ({"CUNIT3": "m"}, "axis 3 runs from 6.5e\\+13 to .* angstrom \\(unit m\\), outside 900"),
        ({"CDELT3": -3000.0}, "axis 3 runs from -5500 to 6500 angstrom"),
    ],
)
def test_one_line_for_each_fault(cards, said):
    with pytest.raises(InputError, match=said) as raised:
        axis(**cards)
    assert str(raised.value).startswith(f"{WHERE}: ")
    assert "\n" not in str(raised.value)


def test_a_table_that_does_not_fit():
    with pytest.raises(InputError, match="has 5 channels but its table of wavelengths has 4"):
        axis(table=np.arange(4.0))
    with pytest.raises(InputError, match="1 of 5 tabulated wavelengths are not finite"):
        axis(table=np.array([6500.0, 6501.0, np.nan, 6503.0, 6504.0]))
    with pytest.raises(InputError, match="does not run one way, from 6500 to 6503"):
        axis(table=np.array([6500.0, 6502.0, 6501.0, 6502.5, 6503.0]))


def test_steps_without_a_path_difference():
    with pytest.raises(InputError, match="STEPNB 50 and ZPDINDEX 64 leave no path difference"):
        axis(320, **SN3, **{**STEPS, "STEPNB": 50})
