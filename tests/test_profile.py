import numpy as np
import pytest
from cosine_integral import sincgauss as by_quadrature

from streamfit.kernels import ils
from streamfit.kernels.profile import (
    gaussian_row,
    gaussian_slope,
    sinc_row,
    sinc_slope,
    sincgauss_row,
    sincgauss_slope,
    turns,
)

STEP = 2.4779  # pi dx / W of SITELLE: 0.79 samples per width
# Of the line, in channels: inside, at both ends, outside on both sides. Loops go by eights.
CENTRES = (-50.3, -0.2, 3.0, 100.37, 421.0, 840.9, 870.2, *(300.05 + i for i in range(8)))
CHANNELS = 842
ROUNDING = 1e-12  # a phase of 2000 radians is known to 5e-13
# a of 1 km/s at R 5000 is 0.043; of 300 km/s, 13. The wings are hardest at 3.46, gone at 5.9.
SHAPES = (0.02, 0.043, 0.1, 0.3, 1.0, 2.4, 3.46, 5.9, 8.9, 12.0)


def waves(channels: int = CHANNELS, step: float = STEP) -> tuple[np.ndarray, np.ndarray]:
    cosine, sine = np.empty(channels), np.empty(channels)
    turns(step, cosine, sine)
    return cosine, sine


def weights(channels: int = CHANNELS) -> np.ndarray:
    return np.random.default_rng(3).uniform(0.1, 3.0, channels)


def phase(centre: float) -> np.ndarray:
    return STEP * (np.arange(CHANNELS) - centre)


def row(centre: float, a: float, weight: np.ndarray) -> np.ndarray:
    f = np.empty(CHANNELS)
    sincgauss_row(-centre * STEP, STEP, a, waves(), weight, f)
    return f


@pytest.mark.parametrize("step", [1e-3, 0.7, STEP, -1.9])
def test_turns_are_cosines_and_sines(step):
    cosine, sine = waves(1001, step)
    turned = step * np.arange(1001)
    np.testing.assert_allclose(cosine, np.cos(turned), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(sine, np.sin(turned), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("a", SHAPES)
def test_the_sincgauss_is_that_of_ils(a):
    weight = weights()
    for centre in CENTRES:
        offset, sigma, width = phase(centre) / np.pi, a * np.sqrt(2) / np.pi, 1.0
        expected = weight * ils.sincgauss(offset, sigma, width)
        # Weideman's series is wrong by 7e-11 where a is small, and that is over erf(a); the wings
        # are, by 1e-11, where a^2 is 12. Weights reach 3.
        tolerance = 3 * (7e-11 / a if a < 0.5 else 1e-11)
        np.testing.assert_allclose(row(centre, a, weight), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("a", SHAPES)
def test_slopes_of_the_sincgauss_are_those_of_the_integral(a):
    weight, one = weights(), np.ones(CHANNELS)
    for centre in (-50.3, 100.37, 840.9):
        _, by_u, by_q = by_quadrature(phase(centre), a)
        f, m_v, m_b = row(centre, a, one), np.zeros(CHANNELS), np.zeros(CHANNELS)
        sincgauss_slope(-centre * STEP, STEP, a, waves(), (1.0, 0.0, 1.0), one, f, m_v, m_b)
        # Each derivative loses 1/2q of the profile's own error: 1e-4 of its size at 1 km/s.
        np.testing.assert_allclose(m_v, by_u, rtol=0, atol=2e-10 / a**2 + ROUNDING)
        np.testing.assert_allclose(m_b, by_q, rtol=0, atol=2e-9 / a**3 + ROUNDING)
        f, v, b = row(centre, a, weight), np.full(CHANNELS, 5.0), np.full(CHANNELS, 7.0)
        sincgauss_slope(-centre * STEP, STEP, a, waves(), (2.0, 3.0, 4.0), weight, f, v, b)
        # The rounding of the profile over 4 q^2.
        rounding = 4e-12 / a**4 + ROUNDING
        np.testing.assert_allclose(v - 5, weight * (2 * m_v + 3 * m_b), rtol=0, atol=rounding)
        np.testing.assert_allclose(b - 7, 4 * weight * m_b, rtol=0, atol=rounding)


def test_a_narrow_sincgauss_tends_to_the_sinc():
    for centre in CENTRES:
        f, one = np.empty(CHANNELS), np.ones(CHANNELS)
        sinc_row(-centre * STEP, STEP, waves(), one, f)
        np.testing.assert_allclose(row(centre, 0.01, one), f, rtol=0, atol=0.01**2 / 3)


def test_a_broad_sincgauss_tends_to_the_gaussian():
    expected = np.exp(-((phase(421.3) / (2 * 12.0)) ** 2))
    found = row(421.3, 12.0, np.ones(CHANNELS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_the_sinc_is_that_of_ils():
    weight = weights()
    for centre in CENTRES:
        f = np.empty(CHANNELS)
        sinc_row(-centre * STEP, STEP, waves(), weight, f)
        expected = weight * ils.sinc(phase(centre) / np.pi, 1.0)
        np.testing.assert_allclose(f, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("centre", [*CENTRES, 421 + 1e-5, 421 + 1e-3, 421 + 5e-3])
def test_slopes_of_the_sinc(centre):
    u, weight = phase(centre), weights()
    f, m_v = np.empty(CHANNELS), np.zeros(CHANNELS)
    sinc_row(-centre * STEP, STEP, waves(), weight, f)
    sinc_slope(-centre * STEP, STEP, waves(), 3.0, weight, f, m_v)
    far = np.abs(u) > 0.02  # nearer, the series: u^5 / 840 is 4e-12
    safe = np.where(far, u, 1.0)
    exact = np.where(far, (np.cos(safe) - np.sin(safe) / safe) / safe, -u / 3 + u**3 / 30)
    # Where the kernel leaves the series it divides the rounding of a sine by u^2 = 1e-4.
    np.testing.assert_allclose(m_v, 3 * weight * exact, rtol=0, atol=1e-8)


def test_the_gaussian_is_that_of_ils_within_its_reach():
    t, weight = np.sort(np.random.default_rng(1).uniform(0, 100, 300)), weights(300)
    for centre, sigma in ((50.0, 2.0), (-3.0, 1.0), (99.0, 8.0), (200.0, 1.0)):
        f = np.empty(300)
        gaussian_row(t, centre, sigma, weight, f)
        expected = weight * ils.gaussian(t - centre, sigma)
        np.testing.assert_allclose(f, expected, rtol=1e-13, atol=3 * 7e-10)  # exp(-6.5^2 / 2)


def test_slopes_of_the_gaussian_are_its_differences():
    t, one, h = np.linspace(0, 100, 301), np.ones(301), 1e-4
    f, m_v, m_b = np.empty(301), np.zeros(301), np.zeros(301)
    gaussian_row(t, 40.3, 3.0, one, f)
    gaussian_slope(t, 40.3, 3.0, (2.0, 0.5, 4.0), f, m_v, m_b)
    by_centre = (ils.gaussian(t - 40.3 - h, 3.0) - ils.gaussian(t - 40.3 + h, 3.0)) / (2 * h)
    by_sigma = (ils.gaussian(t - 40.3, 3.0 + h) - ils.gaussian(t - 40.3, 3.0 - h)) / (2 * h)
    # Differences are good to h^2, the cut at 6.5 sigma leaves out 42 * 7e-10.
    np.testing.assert_allclose(m_v, 2 * by_centre + 0.5 * by_sigma, rtol=0, atol=4e-8)
    np.testing.assert_allclose(m_b, 4 * by_sigma, rtol=0, atol=6e-8)


def test_a_channel_without_weight_stays_empty_and_nan_stays_nan():
    weight = np.ones(CHANNELS)
    weight[100], weight[700] = 0.0, np.nan
    f = row(421.0, 0.8, weight)
    assert f[100] == 0
    assert np.isnan(f[700])
    assert np.isfinite(np.delete(f, 700)).all()
