import numpy as np
import pytest

from streamfit.kernels import consistency
from streamfit.kernels.consistency import LIMIT, consistent
from streamfit.kernels.likelihood import cash_moments
from streamfit.kernels.poisson import fold
from streamfit.kernels.refold import refold_cash


@pytest.fixture
def scene():
    """A smooth spectrum of 1e5 counts seen through a broad response."""
    rng = np.random.default_rng(4)
    energy, detector = np.arange(40.0), np.linspace(-2.0, 42.0, 90)
    matrix = np.exp(-0.5 * ((detector[:, None] - energy) / 2.0) ** 2)
    truth = np.log(500.0) - 0.05 * energy
    background = np.full(90, 3.0)
    return matrix, rng.poisson(fold(matrix, np.exp(truth), background)) * 1.0, background, truth


def z_of(scene, log_flux):
    matrix, counts, background, _ = scene
    return refold_cash(counts, fold(matrix, np.exp(log_flux), background)).z


def test_what_agrees_is_left_as_it_is(scene):
    matrix, counts, background, truth = scene
    found, widened = consistent(matrix, counts, background, truth, np.full(40, 0.1))
    assert found is truth
    assert widened == 1.0


def test_what_is_wrong_within_its_sigma_is_brought_to_agree(scene):
    matrix, counts, background, truth = scene
    wrong = truth + 0.1 * np.sin(np.arange(40.0) / 4.0)
    assert z_of(scene, wrong) > 5.0
    found, widened = consistent(matrix, counts, background, wrong, np.full(40, 0.1))
    assert z_of(scene, found) < LIMIT
    assert widened == 1.0
    assert np.abs(found - truth).mean() < 0.6 * np.abs(wrong - truth).mean()


def test_what_is_wrong_by_many_sigma_widens_the_bands(scene):
    matrix, counts, background, truth = scene
    wrong = truth + 0.1 * np.sin(np.arange(40.0) / 4.0)
    found, widened = consistent(matrix, counts, background, wrong, np.full(40, 0.01))
    assert z_of(scene, found) < z_of(scene, wrong)
    assert widened >= 4.0


def test_a_tight_sigma_holds_the_estimate(scene):
    matrix, counts, background, truth = scene
    found, _ = consistent(matrix, counts, background, truth + 0.5, np.full(40, 1e-6))
    np.testing.assert_allclose(found, truth + 0.5, atol=1e-3)


def test_no_true_bin_with_a_count_has_smaller_moments_than_are_taken_for_granted():
    mean, variance = cash_moments(np.geomspace(1.0, 1e6, 2000))
    assert mean.min() > 1.0
    assert variance.min() > consistency._LEAST_VARIANCE
