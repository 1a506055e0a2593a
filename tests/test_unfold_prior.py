import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from streamfit.kernels.poisson import fold
from streamfit.kernels.unfold_prior import SpectralPrior, fit_prior


@pytest.fixture
def scene():
    """Twelve energies seen by thirty bins through a broad response, and a prior of four shapes."""
    rng = np.random.default_rng(8)
    energy, detector = np.arange(12.0), np.linspace(-2.0, 14.0, 30)
    matrix = 40.0 * np.exp(-0.5 * ((detector[:, None] - energy) / 1.5) ** 2)
    basis = 0.5 * np.cos(np.outer(energy, np.arange(4)) * np.pi / 11)
    prior = SpectralPrior(-0.1 * energy, basis)
    background = np.full(30, 0.7)
    truth = np.exp(prior.mean + basis @ rng.normal(size=4))
    return prior, matrix, background, rng.poisson(fold(matrix, truth, background)).astype(float)


def objective(z, scene, level):
    prior, matrix, background, counts = scene
    model = fold(matrix, np.exp(level + prior.mean + prior.basis @ z), background)
    return (model - counts * np.log(model)).sum() + 0.5 * z @ z


def test_it_finds_what_a_general_minimiser_finds(scene):
    prior, matrix, background, counts = scene
    fit = fit_prior(prior, counts, matrix, background, steps=25)
    best = minimize(objective, np.zeros(4), (scene, fit.level), method="BFGS", tol=1e-10)
    exact = fit.level + prior.mean + prior.basis @ best.x
    np.testing.assert_allclose(fit.log_flux, exact, atol=1e-4)


def test_the_covariance_is_the_inverse_of_the_expected_curvature(scene):
    prior, matrix, background, _ = scene
    model = fold(matrix, np.exp(prior.mean), background)
    # Counts that are the model's own: there the curvature is the expected one.
    fit = fit_prior(prior, model, matrix, background, steps=25)
    held = (prior, matrix, background, model)
    z = np.linalg.lstsq(prior.basis, fit.log_flux - fit.level - prior.mean, rcond=None)[0]

    def slope(at):
        return approx_fprime(at, objective, 1e-6, held, fit.level)

    curvature = np.array(
        [(slope(z + 1e-3 * one) - slope(z - 1e-3 * one)) / 2e-3 for one in np.eye(4)]
    )
    np.testing.assert_allclose(np.linalg.inv(fit.covariance), curvature, rtol=0.02, atol=0.2)
    spread = prior.basis @ fit.covariance @ prior.basis.T
    np.testing.assert_allclose(fit.sigma(prior), np.sqrt(np.diag(spread)), rtol=1e-9)


def test_without_information_the_prior_is_left(scene):
    prior, matrix, _, _ = scene
    drowned = np.full(30, 1e9)
    fit = fit_prior(prior, drowned, matrix, drowned, steps=10)
    np.testing.assert_allclose(fit.log_flux - fit.level, prior.mean, atol=1e-3)
    np.testing.assert_allclose(fit.covariance, np.eye(4), atol=1e-3)


def test_rows_of_a_batch_and_rows_that_share_a_response_are_the_same(scene):
    prior, matrix, background, counts = scene
    many = np.stack([counts, counts[::-1].copy(), 3.0 * counts])
    known = np.broadcast_to(background, many.shape)
    shared = fit_prior(prior, many, matrix, known, steps=6)
    each = fit_prior(prior, many, np.stack([matrix] * 3), known, steps=6)
    for row, alone in enumerate(many):
        single = fit_prior(prior, alone, matrix, background, steps=6)
        np.testing.assert_allclose(shared.log_flux[row], single.log_flux, rtol=1e-10)
        np.testing.assert_allclose(each.covariance[row], single.covariance, rtol=1e-8)


def test_no_counts_at_all_stay_finite(scene):
    prior, matrix, background, counts = scene
    fit = fit_prior(prior, 0.0 * counts, matrix, background, steps=6)
    assert np.isfinite(fit.log_flux).all()
    assert fit.log_flux.max() < np.log(1.0)


def test_a_basis_of_other_energies_is_refused():
    with pytest.raises(ValueError, match=r"mean has shape \(12,\), the basis \(11, 4\)"):
        SpectralPrior(np.zeros(12), np.zeros((11, 4)))


def test_the_freedom_is_how_far_the_refolded_counts_follow_the_observed_ones(scene):
    prior, matrix, background, counts = scene

    def refolded(observed):
        fit = fit_prior(prior, observed, matrix, background, steps=25)
        return fold(matrix, np.exp(fit.log_flux), background)

    # Fitted counts, so that the expected curvature is that of the likelihood.
    counts = refolded(counts)
    freedom = fit_prior(prior, counts, matrix, background, steps=25).freedom
    step = 0.3 * np.sqrt(counts)
    moved = [refolded(counts + one) - refolded(counts - one) for one in np.diag(step)]
    assert (np.diag(moved) / (2.0 * step)).sum() == pytest.approx(freedom, abs=0.1)
    assert 2.0 < freedom < 4.0
