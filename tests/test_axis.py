import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfit.kernels.axis import (
    GAUSSIAN_FWHM,
    SINC_FWHM,
    SPEED_OF_LIGHT,
    UniformGrid,
    air_to_vacuum,
    fts_grid,
    ils_width,
    optical_to_relativistic,
    relativistic_to_optical,
    vacuum_to_air,
)


def test_the_axis_of_ngc6946_is_that_of_its_header():
    # CRVAL3 and CDELT3 of the SN3 cube, to the digits its header prints.
    grid = fts_grid(channels=320, step_nm=2943.025792, order=8, corr=1.03735082042)
    assert grid.first == pytest.approx(14099.1060729, abs=5e-8)
    assert grid.step == pytest.approx(5.50746330974, abs=5e-12)


def test_the_axis_of_m31_is_that_of_its_attributes(shared_data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "sitelle" / "m31_spectrum0.hdf5") as file:
        said = dict(file.attrs)
    corr, step, channels = said["axis_corr"], said["step"], int(said["step_nb"])
    grid = fts_grid(channels=channels, step_nm=step, order=int(said["order"]), corr=corr)
    assert grid.first == pytest.approx(said["axis_min"], abs=1e-9)
    assert grid.step == pytest.approx(said["axis_step"], abs=1e-12)
    assert grid.coordinates()[-1] == pytest.approx(said["axis_max"], abs=1e-8)
    width = ils_width(step_nm=step, step_nb=channels, zpd_index=int(said["zpd_index"]), corr=corr)
    assert SINC_FWHM * width == pytest.approx(said["line_fwhm"], rel=1e-6)  # 1.20671 W


def test_the_width_of_m31_gives_its_line_fwhm():
    width = ils_width(step_nm=2943.025792, step_nb=840, zpd_index=168, corr=1.0374712062298759)
    assert width == pytest.approx(2.622906, abs=1e-6)
    assert SINC_FWHM * width == pytest.approx(3.165087, rel=1e-6)  # theirs is 1.20671 W


def test_odd_orders_are_mirrored_and_start_one_channel_later():
    # From 5 / (2 step) to 6 / (2 step), the first left out, the last included.
    grid = fts_grid(channels=500, step_nm=1680.0, order=5, corr=1.02)
    expected = np.linspace(5, 6, 501)[1:] / (2 * 1680.0) * 1.02 * 1e7
    np.testing.assert_allclose(grid.coordinates(), expected, rtol=1e-14)


def test_even_orders_end_one_channel_short():
    grid = fts_grid(channels=500, step_nm=1680.0, order=6, corr=1.02)
    expected = np.linspace(6, 7, 501)[:-1] / (2 * 1680.0) * 1.02 * 1e7
    np.testing.assert_allclose(grid.coordinates(), expected, rtol=1e-14)


def test_widths_at_half_maximum():
    half = mpmath.findroot(lambda u: mpmath.sinc(mpmath.pi * u) - 0.5, 0.6)
    assert pytest.approx(float(2 * half), abs=1e-15) == SINC_FWHM
    assert np.exp(-0.5 * (GAUSSIAN_FWHM / 2) ** 2) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(
    ("vacuum", "air"),
    [(5008.240, 5006.843), (6564.614, 6562.801), (3727.092, 3726.032)],  # NIST's pairs
)
def test_air_wavelengths_of_known_lines(vacuum, air):
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=2e-3)


def test_air_agrees_with_an_older_dispersion_formula():
    # Edlen 1966, Metrologia 2, 71; both are good to 1e-8, which is 0.003 km/s.
    vacuum = np.linspace(3500.0, 12000.0, 300)
    squared = (1e4 / vacuum) ** 2
    index = 1 + 1e-8 * (8342.13 + 2406030 / (130 - squared) + 15997 / (38.9 - squared))
    np.testing.assert_allclose(vacuum_to_air(vacuum), vacuum / index, rtol=2e-8)


@given(st.floats(2000, 1e5))
def test_air_and_vacuum_are_inverse(wavelength):
    assert vacuum_to_air(air_to_vacuum(wavelength)) == pytest.approx(wavelength, rel=1e-14)


def test_optical_and_radial_velocity_differ_by_half_a_beta():
    assert 500.0 - optical_to_relativistic(500.0) == pytest.approx(
        500.0**2 / (2 * SPEED_OF_LIGHT), rel=2e-3
    )
    assert optical_to_relativistic(0.0) == 0.0
    # (1 + z)^2 = (1 + beta) / (1 - beta): beta = 0.6 gives z = 1.
    assert relativistic_to_optical(0.6 * SPEED_OF_LIGHT) == pytest.approx(SPEED_OF_LIGHT)


@given(st.floats(-1e5, 1e6))
def test_velocity_conventions_are_inverse(velocity):
    there = relativistic_to_optical(optical_to_relativistic(velocity))
    assert there == pytest.approx(velocity, rel=1e-9, abs=1e-9)


@given(st.floats(1.0, 1.1), st.integers(2, 1000), st.integers(0, 20))
def test_corr_stretches_the_axis(corr, channels, order):
    common = fts_grid(channels=channels, step_nm=2943.0, order=order, corr=1.0)
    own = fts_grid(channels=channels, step_nm=2943.0, order=order, corr=corr)
    np.testing.assert_allclose(common.scaled(corr).coordinates(), own.coordinates(), rtol=1e-13)


def test_the_width_follows_each_spaxel_and_keeps_its_nan():
    corr = np.array([1.0, 1.05, np.nan])
    width = ils_width(step_nm=2943.0, step_nb=842, zpd_index=169, corr=corr)
    assert width[1] == pytest.approx(1.05 * width[0], rel=1e-15)
    assert np.isnan(width[2])
    # A spectrum of n channels recorded from the centre on is sampled at exactly its width.
    step = fts_grid(channels=842, step_nm=2943.0, order=8, corr=1.0).step
    assert ils_width(step_nm=2943.0, step_nb=842, zpd_index=0, corr=1.0) == pytest.approx(step)


def test_a_uniform_grid_counts_from_zero():
    np.testing.assert_array_equal(UniformGrid(10.0, 0.5, 3).coordinates(), [10.0, 10.5, 11.0])


@pytest.mark.parametrize(
    "wrong", [{"channels": 1}, {"step_nm": 0.0}, {"order": -1}, {"corr": 0.0}, {"corr": -1.0}]
)
def test_no_axis_without_positive_numbers(wrong):
    given_ = {"channels": 10, "step_nm": 2943.0, "order": 8, "corr": 1.0} | wrong
    with pytest.raises(ValueError, match=r"no axis from channels=.*, corr="):
        fts_grid(**given_)


@pytest.mark.parametrize("wrong", [{"zpd_index": 842}, {"step_nm": 0.0}])
def test_no_width_without_path_difference(wrong):
    given_ = {"step_nm": 2943.0, "step_nb": 842, "zpd_index": 169, "corr": 1.0} | wrong
    with pytest.raises(ValueError, match=r"no path difference from step_nm=.*zpd_index="):
        ils_width(**given_)
