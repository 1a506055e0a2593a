import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import poisson

from streamfit.kernels.likelihood import (
    background_in_source,
    cash,
    cash_moments,
    gaussian,
    w_moments,
    w_statistic,
)


def log_likelihood(counts, model):
    return poisson.logpmf(counts, model)


def xspec_w(n, m, off, scale):
    """The formulas of XSPEC's appendix B, special cases spelt out; t_b is one."""
    ts, tb = scale, 1.0
    rate = m / ts
    if n == 0:
        return 2 * (ts * rate - off * np.log(tb / (ts + tb)))
    if off == 0:
        if rate < n / (ts + tb):
            return 2 * (-tb * rate - n * np.log(ts / (ts + tb)))
        return 2 * (ts * rate + n * (np.log(n) - np.log(ts * rate) - 1))
    d = np.sqrt(((ts + tb) * rate - n - off) ** 2 + 4 * (ts + tb) * off * rate)
    f = (n + off - (ts + tb) * rate + d) / (2 * (ts + tb))
    return 2 * (
        ts * rate
        + (ts + tb) * f
        - n * np.log(ts * rate + ts * f)
        - off * np.log(tb * f)
        - n * (1 - np.log(n))
        - off * (1 - np.log(off))
    )


def test_gaussian_is_chi_squared():
    np.testing.assert_allclose(gaussian([3.0, 1.0], [1.0, 1.0], 2.0), [1.0, 0.0])


def test_cash_is_the_likelihood_ratio():
    counts = np.arange(60.0)[:, None]
    model = np.array([0.01, 0.7, 3.0, 40.0])
    ratio = log_likelihood(counts, np.maximum(counts, 1e-300)) - log_likelihood(counts, model)
    np.testing.assert_allclose(cash(counts, model), 2 * ratio, rtol=1e-9, atol=1e-9)


def test_cash_at_its_limits():
    np.testing.assert_array_equal(cash([0, 0, 2, 5], [0, 3, 0, 5]), [0.0, 6.0, np.inf, 0.0])


# Values of Kaastra's approximations (2017, eqs 8-22), good to 0.003 where they were fitted.
@pytest.mark.parametrize(
    ("model", "mean", "variance"),
    [
        (0.05, -0.25 * 0.05**3 + 1.38 * 0.05**2 - 2 * 0.05 * np.log(0.05), None),
        (0.15, None, -262 * 0.15**4 + 195 * 0.15**3 - 51.24 * 0.15**2 + 4.34 * 0.15 + 0.77005),
        (3.0, 1.019275 + 0.1345 * 3.0 ** (0.461 - 0.9 * np.log(3.0)), None),
        (7.0, 1.00624 + 0.604 * 7.0**-1.68, 2.05159 + 0.331 * 7.0 ** (1.343 - np.log(7.0))),
        (20.0, 1 + 0.1649 / 20 + 0.226 / 400, 12 / 20**3 + 0.79 / 400 + 0.6747 / 20 + 2),
    ],
)
def test_moments_of_cash_as_kaastra_has_them(model, mean, variance):
    found = cash_moments(np.array([model]))
    if mean is not None:
        assert found.mean[0] == pytest.approx(mean, abs=0.005)
    if variance is not None:
        assert found.variance[0] == pytest.approx(variance, abs=0.015)


@pytest.mark.parametrize("model", [1e-6, 0.03, 0.4, 1.0, 9.0, 19.99, 20.01, 35.0, 400.0, 2e4])
def test_moments_of_cash_by_summing_every_term(model):
    reach = 14 * np.sqrt(model) + 30
    counts = np.arange(max(0, int(model - reach)), int(model + reach))
    weights = poisson.pmf(counts, model)
    values = cash(counts, model)
    mean = (weights * values).sum()
    found = cash_moments(np.array([model]))
    assert found.mean[0] == pytest.approx(mean, rel=1e-7)
    assert found.variance[0] == pytest.approx((weights * (values - mean) ** 2).sum(), rel=1e-6)


def test_moments_of_cash_go_to_those_of_chi_squared():
    found = cash_moments(np.array([0.0, 1e6, 1e9]))
    np.testing.assert_allclose(found.mean, [0.0, 1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(found.variance, [0.0, 2.0, 2.0], atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 7, 300])
@pytest.mark.parametrize("off", [0, 1, 12, 900])
@pytest.mark.parametrize("scale", [0.01, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("model", [1e-3, 0.6, 25.0])
def test_w_is_what_xspec_documents(n, off, scale, model):
    assert w_statistic(n, model, off, scale) == pytest.approx(
        xspec_w(n, model, off, scale), rel=1e-9, abs=1e-9
    )


@given(
    n=st.integers(0, 400),
    off=st.integers(0, 400),
    scale=st.floats(1e-3, 10.0),
    model=st.floats(0.0, 300.0),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_w_is_profiled_over_the_background(n, off, scale, model):
    def misfit(log_background):
        background = np.exp(log_background)
        return float(cash(n, model + background) + cash(off, background / scale))

    best = min(
        minimize_scalar(misfit, bounds=(low, low + 8), method="bounded").fun
        for low in (-28.0, -20.0, -12.0, -4.0, 2.0)
    )
    found = float(w_statistic(n, model, off, scale))
    assert found <= best + 1e-6
    assert found == pytest.approx(best, rel=1e-4, abs=1e-4)


def test_the_background_of_w_where_it_is_hard_to_compute():
    # n = 0: off / k; a model far above the counts: what is left is small, but not lost.
    assert background_in_source(0, 5.0, 12, 0.5) == pytest.approx(12 / 3)
    assert background_in_source(3, 1e9, 2, 0.5) == pytest.approx(2 / 3, rel=1e-6)
    assert background_in_source(4, 1.0, 0, 1.0) == pytest.approx(1.0)
    assert background_in_source(1, 3.0, 0, 1.0) == 0.0
    assert background_in_source(0, 0.0, 0, 1.0) == 0.0


def test_w_without_a_background_is_cash():
    counts, model = np.array([0.0, 3.0, 9.0]), np.array([0.5, 2.0, 11.0])
    np.testing.assert_array_equal(w_statistic(counts, model, 0.0, 0.0), cash(counts, model))
    found, plain = w_moments(model, 0.0, 0.0), cash_moments(model)
    np.testing.assert_allclose(found.mean, plain.mean, rtol=1e-10)
    np.testing.assert_allclose(found.variance, plain.variance, rtol=1e-10)


@pytest.mark.parametrize(
    ("model", "background", "scale"),
    [(0.2, 0.05, 0.1), (2.0, 1.0, 0.5), (0.5, 4.0, 2.0), (60.0, 30.0, 0.3)],
)
def test_moments_of_w_by_summing_every_pair(model, background, scale):
    counts = np.arange(250)[:, None]
    beside = np.arange(250)[None, :]
    weights = poisson.pmf(counts, model + background) * poisson.pmf(beside, background / scale)
    values = w_statistic(counts, model, beside, scale)
    mean = (weights * values).sum()
    found = w_moments(np.array([model]), background, scale)
    assert found.mean[0] == pytest.approx(mean, rel=1e-7)
    assert found.variance[0] == pytest.approx((weights * (values - mean) ** 2).sum(), rel=1e-6)


def test_moments_of_w_go_to_those_of_chi_squared():
    found = w_moments(np.array([1e5]), 3e4, 0.2)
    assert found.mean[0] == pytest.approx(1.0, abs=1e-4)
    assert found.variance[0] == pytest.approx(2.0, abs=1e-3)
