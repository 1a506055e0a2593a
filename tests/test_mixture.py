import numpy as np
import pytest
from scipy.stats import foldnorm, multivariate_normal, norm

from streamfit.kernels.mixture import Mixture


def two_components() -> Mixture:
    """Of two spaxels; the second component reaches across zero broadening."""
    weights = np.array([[0.7, 0.3], [0.2, 0.8]])
    mean = np.array([[[10.0, 40.0], [-200.0, 5.0]], [[0.0, 0.0], [50.0, -8.0]]])
    covariance = np.array(
        [
            [[[9.0, 4.0], [4.0, 16.0]], [[400.0, -60.0], [-60.0, 100.0]]],
            [[[25.0, 0.0], [0.0, 36.0]], [[4.0, 2.0], [2.0, 64.0]]],
        ]
    )
    return Mixture(weights, mean, covariance)


def test_density_is_that_of_scipy_folded():
    density = two_components()
    v, b = np.array([[9.0, -190.0, 40.0]]), np.array([[38.0, 3.0, 0.0]])
    found = density.log_density(np.repeat(v, 2, axis=0), np.repeat(b, 2, axis=0))
    for row in range(2):
        wanted = np.zeros(3)
        for k in range(2):
            of = multivariate_normal(density.mean[row, k], density.covariance[row, k])
            both = of.pdf(np.stack([v[0], b[0]], 1)) + of.pdf(np.stack([v[0], -b[0]], 1))
            wanted += density.weights[row, k] * both
        np.testing.assert_allclose(np.exp(found[row]), wanted, rtol=1e-10)


def test_density_has_mass_one_on_the_half_plane():
    density = two_components()
    v, b = np.linspace(-320, 120, 441), np.linspace(0, 80, 161)
    grid_v, grid_b = (x.ravel()[None] for x in np.meshgrid(v, b, indexing="ij"))
    p = np.exp(density.log_density(np.repeat(grid_v, 2, 0), np.repeat(grid_b, 2, 0)))
    edge = np.ones(b.size)
    edge[[0, -1]] = 0.5  # trapezoids
    mass = (p.reshape(2, v.size, b.size) * edge).sum(axis=(1, 2)) * 1.0 * 0.5
    np.testing.assert_allclose(mass, 1.0, atol=2e-4)


def test_moments_are_those_of_scipy():
    density = two_components()
    found = density.moments()
    for row in range(2):
        w = density.weights[row]
        m, s = density.mean[row, :, 1], np.sqrt(density.covariance[row, :, 1, 1])
        folded = [foldnorm(abs(a) / d, scale=d) for a, d in zip(m, s, strict=True)]
        first = sum(x * f.mean() for x, f in zip(w, folded, strict=True))
        second = sum(x * f.moment(2) for x, f in zip(w, folded, strict=True))
        assert found.broadening[row] == pytest.approx(first, rel=1e-9)
        assert found.broadening_sigma[row] == pytest.approx(np.sqrt(second - first**2), rel=1e-9)
        v, var = density.mean[row, :, 0], density.covariance[row, :, 0, 0]
        mean = (w * v).sum()
        assert found.velocity[row] == pytest.approx(mean)
        sigma = np.sqrt((w * (var + (v - mean) ** 2)).sum())
        assert found.velocity_sigma[row] == pytest.approx(sigma)


@pytest.mark.parametrize("p", [0.001, 0.16, 0.5, 0.84, 0.999])
def test_quantiles_undo_distributions(p):
    density = two_components()
    np.testing.assert_allclose(density.velocity_cdf(density.velocity_quantile(p)), p, atol=1e-9)
    np.testing.assert_allclose(density.broadening_cdf(density.broadening_quantile(p)), p, atol=1e-9)


def test_one_component_far_from_zero_is_a_plain_gaussian():
    one = Mixture(np.ones((1, 1)), np.array([[[3.0, 50.0]]]), np.array([[[[4.0, 0], [0, 1.0]]]]))
    assert one.broadening_quantile(0.975)[0] == pytest.approx(norm.ppf(0.975, 50, 1))
    assert one.moments().broadening_sigma[0] == pytest.approx(1.0)


def test_draws_follow_the_distributions():
    density = two_components()
    points = density.draw(20000, np.random.default_rng(1))
    assert (points[..., 1] >= 0).all()
    moments = density.moments()
    np.testing.assert_allclose(points[..., 0].mean(1), moments.velocity, atol=3)
    np.testing.assert_allclose(points[..., 1].mean(1), moments.broadening, rtol=0.03)
    np.testing.assert_allclose(points[..., 1].std(1), moments.broadening_sigma, rtol=0.03)


def test_widening_multiplies_standard_deviations():
    density = two_components()
    wide = density.widened(3.0)
    np.testing.assert_allclose(wide.covariance, 9 * density.covariance)
    np.testing.assert_array_equal(wide.mean, density.mean)


def test_a_component_without_weight_changes_nothing():
    one = two_components().part(np.array([0]))
    weights = np.array([[0.7, 0.3, 0.0]])
    more = Mixture(
        weights,
        np.concatenate([one.mean, one.mean[:, :1]], axis=1),
        np.concatenate([one.covariance, one.covariance[:, :1]], axis=1),
    )
    at = np.array([[0.0]]), np.array([[30.0]])
    np.testing.assert_allclose(more.log_density(*at), one.log_density(*at))


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match="not those of one mixture"):
        Mixture(np.ones((2, 3)), np.ones((2, 2, 2)), np.ones((2, 2, 2, 2)))
