"""Rounds against densities of known evidence, and rounds that miss a part."""

import numpy as np
import pytest
from scipy.special import logsumexp

from streamfit.kernels.psis import TRUSTED
from streamfit.kernels.xray_proposal import Mixture
from streamfit.kernels.xray_rounds import Rounds, evidence

AWAY = np.array([[-1.5, 0.0], [1.5, 0.5]])
WIDTH = 0.1
LOG_EVIDENCE = 3.7


def two_hills(points):
    """Two equal Gaussians whose integral is exp(LOG_EVIDENCE)."""
    square = np.square((points[:, None, :] - AWAY) / WIDTH).sum(axis=2)
    return LOG_EVIDENCE + logsumexp(-0.5 * square, axis=1) - np.log(4.0 * np.pi * WIDTH**2)


def about(*places):
    scale = 1.5 * WIDTH**2 * np.eye(2)
    return Mixture.joined([(1.0, AWAY[place], scale) for place in places], 0.04)


def drawn(*proposals, count=1500, seed=0):
    generator, rounds = np.random.default_rng(seed), Rounds(two_hills, 2)
    for one in proposals:
        rounds.add(one, count, generator)
    return rounds


def test_rounds_weighed_together_give_the_evidence():
    rounds = drawn(about(0, 1), about(0), about(1))
    found, error = evidence(rounds.log_weight)
    assert error < 0.03
    assert found == pytest.approx(LOG_EVIDENCE, abs=4 * error)
    smoothed, _ = rounds.smoothed()
    assert np.exp(smoothed).sum() == pytest.approx(1.0)
    right = np.exp(smoothed)[rounds.normal[:, 0] > 0].sum()
    assert right == pytest.approx(0.5, abs=0.05)


def test_weights_are_over_the_mixture_of_all_rounds():
    proposals = about(0, 1), about(0)
    rounds = drawn(*proposals, count=200)
    mixture = logsumexp([one.log_density(rounds.normal) for one in proposals], axis=0) - np.log(2.0)
    np.testing.assert_allclose(rounds.log_weight, two_hills(rounds.normal) - mixture)
    assert len(rounds) == 2


def test_rounds_that_agree_are_trusted():
    _, quality = drawn(about(0, 1), about(0, 1)).smoothed()
    assert quality.trusted
    assert quality.effective > 1000
    assert quality.apart < 3.0


def test_a_last_round_that_misses_a_hill_is_not_settled():
    """Alone it would look sound: with no draw there, nothing tells it of the other hill."""
    scale = 1.5 * WIDTH**2 * np.eye(2)
    blind = Mixture.joined([(1.0, AWAY[0], scale)], 1e-9)
    _, quality = drawn(about(0, 1), blind).smoothed()
    assert quality.k_hat < TRUSTED
    assert quality.apart > 10.0
    assert not quality.settled
    assert not quality.trusted


def test_k_hat_is_that_of_the_worse():
    thin = Mixture.joined([(1.0, AWAY[0], 0.2 * WIDTH**2 * np.eye(2))], 1e-9)
    _, fine = drawn(about(0, 1)).smoothed()
    _, worse = drawn(about(0, 1), thin).smoothed()
    assert worse.k_hat > fine.k_hat


def test_more_draws_of_the_last_proposal_are_of_its_round():
    first, last = about(0), about(0, 1)
    rounds = drawn(first, last, count=300)
    rounds.more(500, np.random.default_rng(1))
    normal, log_weight = rounds.alone()
    np.testing.assert_array_equal(normal, rounds.normal[300:])
    np.testing.assert_allclose(log_weight, two_hills(normal) - last.log_density(normal))
    found, error = evidence(log_weight)
    assert found == pytest.approx(LOG_EVIDENCE, abs=4 * error)
    whole = logsumexp(
        [np.log(300 / 1100) + first.log_density(rounds.normal),
         np.log(800 / 1100) + last.log_density(rounds.normal)], axis=0
    )  # fmt: skip
    np.testing.assert_allclose(rounds.log_weight, two_hills(rounds.normal) - whole)
    quality = rounds.smoothed()[1]
    assert quality.last == pytest.approx(
        np.exp(log_weight).sum() ** 2 / np.exp(2 * log_weight).sum(), rel=0.02
    )


def test_a_target_that_is_nowhere_is_not_trusted():
    generator, rounds = np.random.default_rng(0), Rounds(lambda x: np.full(len(x), -np.inf), 2)
    rounds.add(about(0), 100, generator)
    _, quality = rounds.smoothed()
    assert quality.k_hat == np.inf
    assert not quality.trusted
