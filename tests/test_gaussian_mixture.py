import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal

from streamfit.kernels.gaussian_mixture import GaussianMixture


@pytest.fixture(scope="module")
def mixture():
    """Five rows of four components over three coordinates."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((5, 4, 3, 3)) + 2 * np.eye(3)
    return GaussianMixture(
        rng.dirichlet(np.ones(4), 5),
        3 * rng.standard_normal((5, 4, 3)),
        root @ np.swapaxes(root, -1, -2),
    )


def test_the_density_is_that_of_scipy(mixture):
    at = 3 * np.random.default_rng(2).standard_normal((5, 7, 3))
    found = mixture.log_density(at)
    for row in range(5):
        terms = zip(mixture.weights[row], mixture.mean[row], mixture.covariance[row], strict=True)
        wanted = sum(w * multivariate_normal(m, c).pdf(at[row]) for w, m, c in terms)
        np.testing.assert_allclose(found[row], np.log(wanted), rtol=1e-9)


def test_moments_quantiles_and_probabilities_are_those_of_the_marginal_density(mixture):
    mean, sigma = mixture.moments()
    for i in range(3):
        x = np.linspace(-60, 60, 20001)
        one = mixture.marginal(slice(i, i + 1))
        density = np.exp(one.log_density(np.broadcast_to(x[:, None], (5, x.size, 1))))
        np.testing.assert_allclose(trapezoid(density, x, axis=1), 1, rtol=1e-9)
        centre = trapezoid(density * x, x, axis=1)
        np.testing.assert_allclose(mean[:, i], centre, atol=1e-9)
        spread = trapezoid(density * np.square(x - centre[:, None]), x, axis=1)
        np.testing.assert_allclose(sigma[:, i], np.sqrt(spread), rtol=1e-9)
        below = trapezoid(density * (x <= 0.0), x, axis=1)
        np.testing.assert_allclose(mixture.cdf(np.zeros((5, 3)))[:, i], below, atol=2e-3)
    for probability in (0.025, 0.5, 0.84):
        np.testing.assert_allclose(mixture.cdf(mixture.quantile(probability)), probability)


def test_given_some_components_the_others_are_gone(mixture):
    part = mixture.given(slice(1, 3))
    np.testing.assert_allclose(part.weights.sum(axis=1), 1)
    ratio = mixture.weights[:, 1] / mixture.weights[:, 2]
    np.testing.assert_allclose(part.weights[:, 0] / part.weights[:, 1], ratio)
    np.testing.assert_array_equal(part.mean, mixture.mean[:, 1:3])


def test_given_components_without_weight_they_are_even(mixture):
    none = GaussianMixture(np.tile([1.0, 0, 0, 0], (5, 1)), mixture.mean, mixture.covariance)
    np.testing.assert_array_equal(none.given(slice(2, 4)).weights, 0.5)


def test_a_component_without_weight_adds_nothing(mixture):
    none = GaussianMixture(np.tile([1.0, 0, 0, 0], (5, 1)), mixture.mean, mixture.covariance)
    at = np.zeros((5, 1, 3))
    wanted = none.given(slice(0, 1)).log_density(at)
    np.testing.assert_allclose(none.log_density(at), wanted, rtol=1e-12)


def test_shapes_that_disagree_are_refused(mixture):
    with pytest.raises(ValueError, match=r"weights \(5, 3\), mean \(5, 4, 3\)"):
        GaussianMixture(mixture.weights[:, :3], mixture.mean, mixture.covariance)
    assert len(mixture.part(np.array([3, 1]))) == 2
