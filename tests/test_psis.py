"""Pareto-smoothed importance sampling against integrals and tails that are known exactly."""

import numpy as np
import pytest
from scipy.stats import genpareto, norm, t

from streamfit.kernels.psis import TRUSTED, effective_draws, fit_pareto, smooth


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.5, 0.9])
def test_the_shape_of_a_pareto_distribution_is_found(shape):
    draws = np.sort(genpareto.rvs(shape, scale=3.0, size=(40, 2000), random_state=5), axis=1)
    k, scale = fit_pareto(draws)
    assert np.mean(k) == pytest.approx(shape, abs=0.02)  # 40 fits scatter by (1 + k) / sqrt(2000)
    assert np.mean(scale) == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("shape", [-0.2, 0.3, 0.8])
def test_fits_agree_with_the_greatest_likelihood_of_scipy(shape):
    draws = np.sort(genpareto.rvs(shape, scale=2.0, size=4000, random_state=8))
    found, _, scale = genpareto.fit(draws, floc=0)
    k, sigma = fit_pareto(draws[None])
    assert k[0] == pytest.approx(found, abs=0.02)
    assert sigma[0] == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("rate", [1.25, 2.0, 5.0])
def test_k_hat_is_the_tail_of_the_weights(rate):
    """Exp(1) drawn from Exp(rate): weights exp((rate - 1) x) have the tail index 1 - 1 / rate."""
    x = np.random.default_rng(3).exponential(1.0 / rate, (60, 4000))
    _, k = smooth((rate - 1.0) * x)
    assert np.mean(k) == pytest.approx(1.0 - 1.0 / rate, abs=0.05)


def test_moments_of_a_gaussian_come_back_from_a_wider_proposal():
    x = t.rvs(4, scale=1.5, size=(200, 1000), random_state=1)
    weight, k = smooth(norm.logpdf(x, 0.4, 0.8) - t.logpdf(x, 4, scale=1.5))
    w = np.exp(weight)
    assert np.all(k < 0.5)
    assert np.mean((w * x).sum(axis=1)) == pytest.approx(0.4, abs=0.01)
    assert np.mean((w * (x - 0.4) ** 2).sum(axis=1)) == pytest.approx(0.64, abs=0.01)
    assert np.all(effective_draws(weight) > 300)


def test_smoothing_lowers_the_error_where_the_tail_is_heavy():
    """Mean of Exp(1) from Exp(3), k = 2/3: raw weights have infinite variance."""
    x = np.random.default_rng(9).exponential(1.0 / 3.0, (400, 1000))
    raw = np.exp(2.0 * x - (2.0 * x).max(axis=1, keepdims=True))
    raw /= raw.sum(axis=1, keepdims=True)
    smoothed = np.exp(smooth(2.0 * x)[0])
    errors = [np.sqrt(np.mean(((w * x).sum(axis=1) - 1.0) ** 2)) for w in (raw, smoothed)]
    assert errors[1] < errors[0]


def test_a_proposal_that_is_too_narrow_is_told():
    x = norm.rvs(0.0, 0.3, size=(30, 2000), random_state=4)
    _, k = smooth(norm.logpdf(x) - norm.logpdf(x, 0.0, 0.3))
    assert np.mean(k) > TRUSTED  # 1 - 0.3^2, each known to 0.2


def test_rows_are_normalised_and_order_is_kept():
    log_weight = np.random.default_rng(2).normal(0.0, 3.0, (20, 300))
    smoothed, _ = smooth(log_weight)
    np.testing.assert_allclose(np.exp(smoothed).sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.argsort(smoothed, axis=1), np.argsort(log_weight, axis=1))


def test_a_constant_changes_nothing():
    log_weight = np.random.default_rng(2).normal(0.0, 1.0, (3, 100))
    first, second = smooth(log_weight), smooth(log_weight + 700.0)
    np.testing.assert_allclose(first[0], second[0], atol=1e-9)
    np.testing.assert_allclose(first[1], second[1], atol=1e-9)


def test_equal_weights_have_no_tail():
    smoothed, k = smooth(np.zeros((2, 100)))
    np.testing.assert_allclose(smoothed, -np.log(100.0))
    assert np.all(k == -np.inf)


def test_rows_with_few_weights_or_none_say_so():
    log_weight = np.full((2, 100), -np.inf)
    log_weight[0, :3] = 0.0
    smoothed, k = smooth(log_weight)
    np.testing.assert_allclose(smoothed[0, :3], -np.log(3.0))
    assert np.all(np.isnan(smoothed[1]))
    assert np.all(k == np.inf)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="24 draws have too short a tail to smooth; draw 25"):
        smooth(np.zeros((1, 24)))
