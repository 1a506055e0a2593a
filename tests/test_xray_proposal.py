"""Mixtures to draw from: normalised, drawn as they say, found again from weighted draws."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from streamfit.kernels.xray_model import MODELS
from streamfit.kernels.xray_prior import ColumnPrior, Prior
from streamfit.kernels.xray_proposal import Mixture, Proposal, refit, shrunk, to_normal

MEANS = np.array([[0.0, 1.0], [-1.5, -0.5]])
COVARIANCES = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.05, 0.0], [0.0, 0.4]]])
WEIGHTS = np.array([0.7, 0.3])


def grid(half=12.0, steps=600):
    axis = (np.arange(steps) + 0.5) / steps * 2 * half - half
    first, second = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([first.ravel(), second.ravel()], axis=1), (2 * half / steps) ** 2


def test_a_mixture_is_normalised():
    mixture = Mixture.joined(list(zip(WEIGHTS, MEANS, COVARIANCES, strict=True)), 0.1)
    points, cell = grid()
    assert np.exp(mixture.log_density(points)).sum() * cell == pytest.approx(1.0, abs=2e-3)


def test_draws_come_from_the_mixture():
    """The mean of 1 / q over draws in a box is the box's area."""
    mixture = Mixture.joined(list(zip(WEIGHTS, MEANS, COVARIANCES, strict=True)), 0.1)
    drawn = mixture.draw(40_000, np.random.default_rng(1))
    inside = np.all(np.abs(drawn) < 1.5, axis=1)
    area = (inside / np.exp(mixture.log_density(drawn))).mean()
    assert area == pytest.approx(9.0, rel=0.03)
    assert drawn.mean(axis=0) == pytest.approx(0.9 * WEIGHTS @ MEANS, abs=0.03)


def test_a_proposal_is_its_gaussians():
    proposal = Proposal(WEIGHTS, MEANS, COVARIANCES)
    points = np.random.default_rng(3).normal(size=(20, 2))
    plain = sum(
        weight * multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )
    np.testing.assert_allclose(np.exp(proposal.log_density(points)), plain)
    wide = proposal.widened(2.0).draw(30_000, np.random.default_rng(4))
    middle = WEIGHTS @ MEANS
    spread = np.einsum("k,kij->ij", WEIGHTS, 4 * COVARIANCES)
    spread += np.einsum("k,ki,kj->ij", WEIGHTS, MEANS - middle, MEANS - middle)
    np.testing.assert_allclose(np.cov(wide.T), spread, atol=0.06)


def test_a_component_of_no_weight_adds_nothing():
    one = Proposal(np.array([1.0, 0.0]), MEANS, COVARIANCES)
    alone = Proposal(np.array([1.0]), MEANS[:1], COVARIANCES[:1])
    points = np.zeros((1, 2))
    np.testing.assert_allclose(one.log_density(points), alone.log_density(points))


def test_weighted_draws_give_their_mixture_back():
    generator = np.random.default_rng(7)
    drawn = generator.uniform(-4.0, 4.0, (20_000, 2))
    log_weight = Proposal(WEIGHTS, MEANS, COVARIANCES).log_density(drawn)
    parts = refit(drawn, log_weight, components=2, generator=generator)
    found = sorted(parts, key=lambda part: -part[0])
    for (weight, mean, covariance), truth in zip(found, range(2), strict=True):
        assert weight == pytest.approx(WEIGHTS[truth], abs=0.08)
        np.testing.assert_allclose(mean, MEANS[truth], atol=0.1)
        # A component of a third of the draws leans on the covariance of all by 6 %.
        np.testing.assert_allclose(covariance, COVARIANCES[truth], atol=0.12)


def test_one_heavy_draw_does_not_make_a_point_of_the_mixture():
    generator = np.random.default_rng(8)
    drawn = generator.normal(size=(500, 3))
    log_weight = np.where(np.arange(500) == 17, 50.0, 0.0)
    for _, _, covariance in refit(drawn, log_weight, components=4, generator=generator):
        assert np.linalg.eigvalsh(covariance).min() > 1e-3


def test_covariances_are_no_wider_than_the_prior():
    wide = shrunk(np.diag([9.0, 0.1]))
    np.testing.assert_allclose(wide, np.diag([1.0, 0.1]))


@pytest.mark.parametrize("column", [None, ColumnPrior(0.1)])
def test_a_narrow_proposal_is_bent_straight(column):
    prior = Prior(MODELS["apec2"], column)
    middle = np.log([4.0, np.exp(0.5), 0.1, 1e-3, 1.0, 0.5])
    covariance = 1e-4 * (np.eye(6) + 0.3)
    proposal = Proposal(np.ones(1), middle[None], covariance[None])
    ((weight, mean, found),) = to_normal(proposal, prior)
    drawn = prior.to_normal(proposal.draw(20_000, np.random.default_rng(5)))
    assert weight == 1.0
    np.testing.assert_allclose(mean, drawn.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(found, np.cov(drawn.T), rtol=0.1, atol=2e-6)


def test_what_is_inside_the_ranges_is_counted():
    prior = Prior(MODELS["powerlaw"])
    edge = np.array([[4.0, np.log(0.1), np.log(1e-3)]])
    proposal = Proposal(np.ones(1), edge, 1e-2 * np.eye(3)[None])
    assert proposal.log_inside(prior) == pytest.approx(np.log(0.5), abs=0.02)
    beyond = Proposal(np.ones(1), edge + np.array([9.0, 0.0, 0.0]), 1e-2 * np.eye(3)[None])
    assert beyond.log_inside(prior) == -np.inf
