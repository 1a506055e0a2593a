import mpmath
import numpy as np
import pytest
from cosine_integral import sincgauss as by_quadrature
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import dawsn

from streamfit.kernels import ils

WIDTH = 2.622906  # M31's [cm-1]
SERIES = 0.01  # where `ils.sincgauss` changes from the series to the closed form


def in_waves(u, a):
    """Evaluate the sincgauss at u = pi offset / W, a = pi s / (sqrt 2 W)."""
    return ils.sincgauss(np.asarray(u) * WIDTH / np.pi, a * np.sqrt(2) * WIDTH / np.pi, WIDTH)


@pytest.mark.parametrize("a", [1e-6, 0.003, 0.0099, 0.0101, 0.05, 0.4, 1.0, 3.0, 8.0, 30.0])
def test_sincgauss_is_the_cosine_integral(a):
    def integral(u):
        panels = mpmath.linspace(0, 1, int(u / 6) + 3)
        return mpmath.quad(lambda t: mpmath.exp(-((a * t) ** 2)) * mpmath.cos(u * t), panels)

    u = [0.0, 1e-5, 0.3, 1.7, 9.3, 131.7]
    with mpmath.workdps(25):
        expected = [float(integral(value) / integral(0.0)) for value in u]
    # Rounding is largest, 3e-14, just above the change to the closed form.
    np.testing.assert_allclose(in_waves(u, a), expected, rtol=0, atol=5e-14)


@pytest.mark.parametrize("a", [0.009, 0.011, 0.3, 2.0, 10.0])
def test_quadrature_and_closed_form_agree_over_a_whole_spectrum(a):
    u = np.linspace(-1500.0, 1500.0, 1201)
    np.testing.assert_allclose(in_waves(u, a), by_quadrature(u, a)[0], rtol=0, atol=5e-14)


def test_sincgauss_is_the_published_dawson_form():
    # Martin, Prunet & Drissen 2016 as ORB writes it; it overflows for larger b.
    a, b = 1.3, np.linspace(-30, 30, 601)
    dawson = dawsn(1j * a + b) * np.exp(2j * a * b) + dawsn(1j * a - b) * np.exp(-2j * a * b)
    expected = (dawson / (2 * dawsn(1j * a))).real
    np.testing.assert_allclose(in_waves(2 * a * b, a), expected, rtol=0, atol=1e-13)


def test_the_sinc_has_its_zeros_a_width_apart():
    offset = WIDTH * np.array([0.0, 0.5, 1.0, 2.0, 17.0])
    np.testing.assert_allclose(ils.sinc(offset, WIDTH), [1, 2 / np.pi, 0, 0, 0], atol=1e-15)


def test_the_gaussian_falls_to_its_known_values():
    offset = np.array([0.0, 1.0, 2.0, -3.0])
    expected = [1, 0.6065306597126334, 0.1353352832366127, 0.011108996538242306]
    np.testing.assert_allclose(ils.gaussian(2 * offset, 2.0), expected, rtol=1e-15)


@pytest.mark.parametrize("sigma", [0.0, 1e-9, 1e-4])
def test_a_narrow_sincgauss_is_the_sinc(sigma):
    offset = np.linspace(-400, 400, 2001)
    a = np.pi * sigma / (np.sqrt(2) * WIDTH)
    narrow = ils.sincgauss(offset, sigma, WIDTH)
    # The first term of the series in a^2 is below a^2 / 3.
    np.testing.assert_allclose(narrow, ils.sinc(offset, WIDTH), rtol=0, atol=a * a / 3 + 1e-15)


def test_a_broad_sincgauss_is_the_gaussian():
    offset = np.linspace(-400, 400, 2001)
    sigma = 8 * WIDTH  # exp(-a^2) = exp(-316)
    np.testing.assert_allclose(
        ils.sincgauss(offset, sigma, WIDTH), ils.gaussian(offset, sigma), rtol=0, atol=1e-15
    )


def test_the_series_meets_the_closed_form():
    u = np.linspace(-600, 600, 5001)
    below, above = in_waves(u, SERIES * (1 - 1e-12)), in_waves(u, SERIES * (1 + 1e-12))
    np.testing.assert_allclose(below, above, rtol=0, atol=1e-13)


def test_each_spaxel_may_have_its_own_sigma_and_width():
    offset, sigma, width = (
        np.linspace(-20, 20, 41),
        np.array([[0.0], [1.0]]),
        np.array([[2.0], [3]]),
    )
    both = ils.sincgauss(offset, sigma, width)
    assert both.shape == (2, 41)
    for row in range(2):
        alone = ils.sincgauss(offset, sigma[row, 0], width[row, 0])
        np.testing.assert_array_equal(both[row], alone)


@given(
    st.floats(-1e6, 1e6),
    st.one_of(st.just(0.0), st.floats(1e-12, 1e5)),
    st.floats(0.1, 100.0),
)
def test_sincgauss_is_finite_even_and_nowhere_above_its_peak(offset, sigma, width):
    value = ils.sincgauss(offset, sigma, width)
    assert np.isfinite(value)
    assert abs(value) <= 1 + 1e-13  # a mean of cosines under a positive weight
    assert value == pytest.approx(float(ils.sincgauss(-offset, sigma, width)), abs=1e-13)
    assert ils.sincgauss(0.0, sigma, width) == pytest.approx(1.0, abs=1e-13)


@given(st.floats(0.01, 100.0), st.floats(-300.0, 300.0), st.floats(0.0, 50.0))
def test_only_ratios_to_the_width_matter(scale, offset, sigma):
    one = ils.sincgauss(offset, sigma, WIDTH)
    other = ils.sincgauss(scale * offset, scale * sigma, scale * WIDTH)
    assert other == pytest.approx(float(one), abs=1e-12)  # u carries 1e-14 of its 360 waves


def integral(profile, sigma):
    """Integral of a band-limited shape of Gaussian spectrum.

    Under a wide Gaussian taper, whose effect is known, samples sum to the integral to rounding.
    """
    step, taper = 0.8 * WIDTH, 40 * WIDTH
    offset = step * np.arange(-400, 401) + 0.3
    tapered = profile(offset) * np.exp(-0.5 * (offset / taper) ** 2)
    return step * tapered.sum() * np.hypot(1, sigma / taper)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 3.0, 7.0])
def test_fluxes_are_the_integrals(sigma):
    a = np.pi * sigma / (np.sqrt(2) * WIDTH)
    whole = integral(lambda x: by_quadrature(np.pi * x / WIDTH, a)[0], sigma)
    assert ils.sincgauss_flux(sigma, WIDTH) == pytest.approx(whole, rel=1e-12)
    gauss = mpmath.quad(lambda x: mpmath.exp(-((x / sigma) ** 2) / 2), [-mpmath.inf, 0, mpmath.inf])
    assert ils.gaussian_flux(sigma) == pytest.approx(float(gauss), rel=1e-12)


def test_the_flux_of_a_sinc_is_its_width():
    whole = integral(lambda x: np.sin(np.pi * x / WIDTH) / (np.pi * x / WIDTH), 0.0)
    assert ils.sinc_flux(WIDTH) == pytest.approx(whole, rel=1e-12)


def test_fluxes_have_the_right_limits():
    for sigma in (0.0, 1e-12, 1e-6):
        assert ils.sincgauss_flux(sigma, WIDTH) == pytest.approx(WIDTH, rel=1e-11)
    broad = 10 * WIDTH
    assert ils.sincgauss_flux(broad, WIDTH) == pytest.approx(float(ils.gaussian_flux(broad)))
    both = ils.sincgauss_flux(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    assert both[0] == pytest.approx(2.0)
    assert both[1] == pytest.approx(float(ils.sincgauss_flux(1.0, 3.0)))
