"""The stack against sums written out, drawn noise of a known correlation, and its limits."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.linalg import cholesky, toeplitz

from streamfit.kernels.stack import correlation_length, mean_sigma, stack

BINS = 256
TRUTH = np.sin(np.linspace(0.0, 9.0, BINS)) - 8.0


@lru_cache
def correlated(length):
    """The correlation exp(-(k / length)^2 / 2) and a root of its matrix."""
    lag = np.arange(BINS)
    shape = np.exp(-0.5 * np.square(lag / length)) if length else (lag == 0).astype(float)
    return shape, cholesky(toeplitz(shape) + 1e-9 * np.eye(BINS), lower=True)


def drawn(members, length, *, seed=1, sigma=None):
    """Spectra whose errors are correlated over some bins."""
    rng = np.random.default_rng(seed)
    shape, root = correlated(length)
    sigma = np.full((members, BINS), 0.3) if sigma is None else sigma
    return TRUTH + sigma * (rng.standard_normal((members, BINS)) @ root.T), sigma, shape


def test_the_mean_of_two_is_the_one_written_out():
    values = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    errors = np.array([[1.0, 0.5, np.nan], [2.0, 0.5, 0.1]])
    found = stack(values, errors)
    np.testing.assert_allclose(found.log_flux, [(1 + 3 / 4) / (1 + 1 / 4), 3.0, 5.0])
    np.testing.assert_allclose(found.sigma, [1 / np.sqrt(1.25), 0.5 / np.sqrt(2), 0.1])
    np.testing.assert_array_equal(found.members, [2, 2, 1])
    assert np.isnan(found.jackknife[2])


def test_one_member_is_its_own_stack_and_tells_no_correlation():
    values, errors, _ = drawn(1, 3)
    found = stack(values, errors)
    np.testing.assert_allclose(found.log_flux, values[0])
    np.testing.assert_allclose(found.sigma, errors[0])
    assert np.isnan(found.jackknife).all()
    assert np.isnan(found.length)
    assert np.isnan(found.ratio)


def test_the_jackknife_of_equal_members_is_the_error_of_a_mean():
    values, errors, _ = drawn(20, 3)
    found = stack(values, errors)
    np.testing.assert_allclose(found.jackknife, values.std(axis=0, ddof=1) / np.sqrt(20))
    assert 0.85 < found.ratio < 1.1  # the median of a chi of 19 lies 2 % below one


@pytest.mark.parametrize("length", [0, 2, 5])
def test_the_correlation_of_the_members_is_found_again(length):
    values, errors, shape = drawn(30, length, seed=length)
    found = stack(values, errors)
    # 30 members of 256 bins, some length x 1.8 of them independent: 0.02 of scatter for length 5.
    np.testing.assert_allclose(found.correlation[:8], shape[:8], atol=0.08)
    whole = 2.0 * shape.sum() - 1.0
    assert found.length == pytest.approx(whole, rel=0.25)


def test_a_band_covers_what_was_drawn_and_a_mean_over_bins_too():
    """The pulls of 200 stacks have unit width, bin by bin and in a mean over 40 bins."""
    rng_pulls, wide = [], []
    window = np.zeros(BINS)
    window[100:140] = 1.0
    for seed in range(200):
        rows = np.random.default_rng(seed).uniform(0.1, 0.6, (4, 1)) * np.ones((4, BINS))
        values, errors, shape = drawn(4, 3, seed=seed, sigma=rows)
        found = stack(values, errors)
        rng_pulls.append((found.log_flux - TRUTH)[::20] / found.sigma[::20])
        away = (found.log_flux - TRUTH)[100:140].mean()
        wide.append(away / mean_sigma(found.sigma, shape, window))
    assert np.std(rng_pulls) == pytest.approx(1.0, abs=0.05)
    assert np.std(wide) == pytest.approx(1.0, abs=0.13)  # 200 draws: 5 % of scatter
    independent = found.sigma[100] / np.sqrt(40)
    assert mean_sigma(found.sigma, shape, window) > 2.0 * independent


def test_members_are_moved_to_where_the_others_are():
    values = np.stack([TRUTH, np.roll(TRUTH, -4)])
    errors = np.full(values.shape, 0.1)
    found = stack(values, errors, shift=np.array([0.0, 4.0]))
    np.testing.assert_allclose(found.log_flux[4:], TRUTH[4:], rtol=1e-12)
    np.testing.assert_array_equal(found.members[:4], 1)


def test_half_a_bin_takes_the_correlation_into_the_band():
    values, errors, shape = drawn(30, 4, seed=3)
    found = stack(values, errors, shift=np.full(30, 0.5))
    narrow = 0.3 / np.sqrt(2 * 30)  # if neighbours were independent
    wide = 0.3 * np.sqrt(0.5 * (1 + shape[1])) / np.sqrt(30)
    np.testing.assert_allclose(found.sigma[1:], wide, rtol=0.02)
    assert found.sigma[10] > 1.3 * narrow
    np.testing.assert_allclose(found.log_flux[1:], 0.5 * (TRUTH[1:] + TRUTH[:-1]), atol=0.25)


def test_without_bands_members_weigh_the_same():
    values, errors, _ = drawn(5, 2)
    found = stack(values, np.full(errors.shape, np.nan))
    np.testing.assert_allclose(found.log_flux, values.mean(axis=0))
    assert np.isnan(found.sigma).all()
    assert np.isfinite(found.jackknife).all()


def test_bins_go_together_one_at_least():
    assert correlation_length(np.array([1.0, 0.5, 0.2, -0.1, 0.4])) == pytest.approx(2.4)
    assert correlation_length(np.array([1.0, -0.3])) == 1.0


def test_what_disagrees_is_refused():
    with pytest.raises(ValueError, match=r"log_flux has shape \(2, 3\), sigma \(2, 2\)"):
        stack(np.zeros((2, 3)), np.zeros((2, 2)))
