import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy_reference import Lines
from synthetic_spectra import NAMES, REST, WIDTH

from streamfit.kernels.emission import (
    Continuum,
    Shape,
    peak_integral,
    profiles,
    resolution_element,
    tie,
)
from streamfit.kernels.lines import RATIOS

C = 299792.458
ANGSTROM = 1e8 / REST
LINES = dict(zip(NAMES, REST, strict=True))
IN_WAVELENGTH = dict(zip(NAMES, ANGSTROM, strict=True))


def sn3(shape: Shape = Shape.SINCGAUSS, **how):
    return tie(LINES, shape=shape, wavenumber=True, **how)


def test_free_lines_have_a_column_each_and_one_group():
    emission = sn3()
    assert emission.names == NAMES
    assert (emission.columns, emission.groups) == (5, 1)
    assert_array_equal(emission.column, range(5))
    assert_array_equal(emission.lead, range(5))
    assert_array_equal(emission.ratio, 1.0)
    assert_array_equal(emission.line_group, 0)


def test_a_fixed_doublet_shares_the_column_of_its_stronger_line():
    emission = sn3(ratios=RATIOS)  # [OIII] is not there and is left out
    assert emission.columns == 4
    assert_array_equal(emission.column, [0, 1, 1, 2, 3])
    assert_array_equal(emission.lead, [0, 2, 2, 3, 4])
    assert_allclose(emission.ratio, [1, 1 / 3.071, 1, 1, 1])


def test_groups_are_those_named_and_the_rest_joins_the_first():
    emission = sn3(groups=[["Halpha"], ["SII6716", "SII6731"]], ratios=RATIOS)
    assert emission.groups == 2
    assert_array_equal(emission.group, [0, 0, 1, 1])
    assert_array_equal(emission.line_group, [0, 0, 0, 1, 1])


@pytest.mark.parametrize("backwards", [False, True])
def test_ratios_may_be_chained_in_any_order(backwards):
    ratios = [(("SII6716", "SII6731"), 1.25), (("NII6583", "SII6716"), 2.0)]
    emission = sn3(ratios=dict(reversed(ratios) if backwards else ratios))
    assert_array_equal(emission.lead, [0, 1, 2, 2, 2])
    assert_array_equal(emission.column, [0, 1, 2, 2, 2])
    assert_allclose(emission.ratio, [1, 1, 1, 0.5, 0.4])


def test_velocities_are_optical_on_either_axis():
    velocity, z = np.array([[0.0], [300.0], [-508.1]]), np.array([0.0, 300.0, -508.1]) / C
    waves = tie(IN_WAVELENGTH, shape=Shape.GAUSSIAN, wavenumber=False)
    assert_allclose(waves.centres(velocity), ANGSTROM * (1 + z)[:, None], rtol=1e-15)
    assert_allclose(sn3().centres(velocity), 1e8 / (ANGSTROM * (1 + z)[:, None]), rtol=1e-15)


def test_broadening_is_a_fraction_of_the_line_itself():
    emission = sn3(groups=[["Halpha"], ["SII6716"]])
    velocity, broadening = np.array([[100.0, -50.0]]), np.array([[30.0, 60.0]])
    relative = emission.sigmas(velocity, broadening) / emission.centres(velocity)
    assert_allclose(relative[0] * C, [30, 30, 30, 60, 30], rtol=1e-14)


@pytest.mark.parametrize("shape", Shape)
def test_profiles_are_those_of_the_reference(shape):
    emission = sn3(shape)
    axis, width = np.linspace(14750, 15500, 364), WIDTH * np.linspace(0.9, 1.1, 5)
    centre = emission.centres(np.array([[123.0]]))[0]
    sigma = emission.sigmas(np.array([[123.0]]), np.array([[40.0]]))[0]
    lines = Lines(axis, REST, width, shape=shape.name.lower())
    expected = [lines.profile(centre[k], sigma[k], width[k])[0] for k in range(5)]
    found = profiles(emission, axis, centre, sigma, width)
    assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("wavenumber", [True, False])
def test_a_peak_flux_is_the_integral_over_wavelength(shape, wavenumber):
    # A taper of known effect lets the wings of a sinc be summed: see test_ils.
    rest, width = (LINES, WIDTH) if wavenumber else (IN_WAVELENGTH, 1.2)
    emission = tie(rest, shape=shape, wavenumber=wavenumber)
    at, wide, widths = np.array([[600.0]]), np.array([[40.0]]), np.full(5, width)
    centre, sigma = emission.centres(at)[0], emission.sigmas(at, wide)[0]
    step, taper = 0.7 * width, 50 * width
    offset = step * np.arange(-500, 501)
    line = profiles(emission, centre[0] + offset, centre, sigma, widths)[0]
    own = {Shape.SINC: 0.0, Shape.SINCGAUSS: sigma[0], Shape.GAUSSIAN: np.hypot(sigma[0], width)}
    tapered = line * np.exp(-0.5 * (offset / taper) ** 2) * np.hypot(1, own[shape] / taper)
    wavelength = 1e8 / (centre[0] + offset) if wavenumber else centre[0] + offset
    per_channel = np.abs(np.gradient(wavelength, offset)) * step
    flux = emission.peak_fluxes(at, wide, widths[None, :])[0, 0]
    # 1e8 / x^2 is taken at the centre: the taper's width over the centre, squared, is left out.
    assert flux == pytest.approx((tapered * per_channel).sum(), rel=4 * (taper / centre[0]) ** 2)


def test_one_wavenumber_at_halpha_is_0_43_angstrom():
    flux = sn3(Shape.SINC).peak_fluxes(np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 5)))
    assert flux[0, 0] == pytest.approx(0.4307, abs=5e-5)


@given(
    st.sampled_from(Shape),
    st.booleans(),
    st.floats(-2000, 2000),
    st.floats(0.1, 1000),
    st.floats(0.5, 3.0),
)
def test_fixed_ratios_are_ratios_of_flux(shape, wavenumber, velocity, broadening, spread):
    emission = tie(
        LINES if wavenumber else IN_WAVELENGTH,
        shape=shape,
        wavenumber=wavenumber,
        ratios={("NII6583", "NII6548"): 3.071, ("SII6716", "SII6731"): 1.2},
    )
    at, wide = np.array([[velocity]]), np.array([[broadening]])
    width = np.geomspace(1, spread, 5)[None, :]  # an instrument whose resolution varies
    peak = emission.shares(at, wide, width)[0] * np.array([0.3, 2.0, 2.0, 5.0, 5.0])
    flux = peak * emission.peak_fluxes(at, wide, width)[0]
    assert flux[2] / flux[1] == pytest.approx(3.071, rel=1e-12)
    assert flux[3] / flux[4] == pytest.approx(1.2, rel=1e-12)
    assert_array_equal(peak[[0, 2, 3]], [0.3, 2.0, 5.0])  # leads keep their amplitude


@given(
    st.sampled_from(Shape),
    st.booleans(),
    st.floats(-2000, 2000),
    st.floats(0.1, 1000),
    st.floats(0.2, 5.0),
)
def test_flux_slopes_are_those_of_the_fluxes(shape, wavenumber, velocity, broadening, width):
    emission = tie(LINES if wavenumber else IN_WAVELENGTH, shape=shape, wavenumber=wavenumber)
    at, wide, own = np.array([[velocity]]), np.array([[broadening]]), np.full((1, 5), width)

    def flux(dv, db):
        return emission.peak_fluxes(at + dv, wide + db, own)

    by_v, by_b = emission.flux_slopes(at, wide, own, flux(0, 0))
    step = 1e-4 * broadening
    noise = 1e-15 * flux(0, 0).max()
    assert_allclose(by_v, (flux(1, 0) - flux(-1, 0)) / 2, rtol=1e-5, atol=noise)
    expected = (flux(0, step) - flux(0, -step)) / (2 * step)
    assert_allclose(by_b, expected, rtol=1e-4, atol=1e-9 * flux(0, 0).max() / broadening)


def test_peak_integrals_broadcast():
    width = np.array([1.0, 2.0])
    assert_allclose(peak_integral(Shape.SINC, np.zeros((3, 1)), width), [[1, 2]] * 3)
    assert_allclose(
        peak_integral(Shape.GAUSSIAN, 0.0, width), np.sqrt(2 * np.pi) * width, rtol=1e-15
    )
    assert_allclose(peak_integral(Shape.SINCGAUSS, np.zeros((3, 1)), width), [[1, 2]] * 3)


def test_the_resolution_element_is_c_over_r():
    # R = wavenumber / FWHM: 4733.5 at the middle of M31's filter, where it is given.
    middle = (14598.540145985402 + 15439.246564767638) / 2
    assert middle / 3.165086817 == pytest.approx(4745, abs=1)
    element = resolution_element(Shape.SINC, 2.622906, middle)
    assert element == pytest.approx(C / middle * 3.165087, rel=1e-6)
    assert resolution_element(Shape.SINCGAUSS, 2.622906, middle) == element
    assert resolution_element(Shape.GAUSSIAN, 1.0, C) == pytest.approx(2.354820045)


def test_a_continuum_is_a_polynomial_of_its_own_in_each_window():
    axis = np.linspace(0, 10, 101)
    continuum = Continuum(((0.0, 4.0), (6.0, 10.0)), 2)
    rows = continuum.rows(axis)
    assert continuum.terms == 6
    assert rows.shape == (6, 101)
    first, gap, last = axis <= 4, (axis > 4) & (axis < 6), axis >= 6
    for index, inside in ((0, first), (3, last)):
        unit = (axis[inside] - axis[inside].mean()) / 2
        assert_allclose(rows[index, inside], 1.0)
        assert_allclose(rows[index + 1, inside], unit, atol=1e-14)
        assert_allclose(rows[index + 2, inside], 1.5 * unit**2 - 0.5, atol=1e-14)
    assert not rows[:, gap].any()
    assert not rows[:3, last].any()
    assert not rows[3:, first].any()


@given(st.integers(0, 6), st.floats(-1e4, 1e4), st.floats(1e-2, 1e4))
def test_a_continuum_never_leaves_one(degree, low, length):
    continuum = Continuum(((low, low + length),), degree)
    rows = continuum.rows(np.linspace(low, low + length, 50))
    assert np.abs(rows).max() <= 1 + 1e-9
    assert np.linalg.matrix_rank(rows) == degree + 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"groups": [["Hbeta"]]}, "group 1 names Hbeta, which is not fitted; drop it"),
        (
            {"groups": [["Halpha"], ["SII6716", "Halpha"]]},
            "Halpha is in groups 1 and 2; keep one",
        ),
        ({"groups": [["Halpha"], []]}, "group 2 names no line; drop it"),
        (
            {"groups": [["NII6548"], ["NII6583"]], "ratios": RATIOS},
            "NII6583/NII6548 = 3.071 ties two kinematic groups; free the ratio",
        ),
        (
            {"ratios": {("NII6583", "NII6548"): 0.0}},
            "NII6583/NII6548 = 0.0 is not positive; give a ratio above 0",
        ),
        (
            {"ratios": {("NII6583", "NII6548"): np.nan}},
            "NII6583/NII6548 = nan is not positive; give a ratio above 0",
        ),
        (
            {"ratios": {("NII6583", "NII6548"): 3.0, ("Halpha", "NII6548"): 9.0}},
            "NII6548 is tied to NII6583 and to Halpha; keep one",
        ),
        (
            {"ratios": {("NII6583", "NII6548"): 3.0, ("NII6548", "NII6583"): 0.3}},
            "ratios lead from NII6548 back to NII6548; free one",
        ),
    ],
)
def test_what_cannot_be_tied_is_refused(how, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        sn3(**how)
