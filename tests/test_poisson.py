import numpy as np
import pytest
from scipy.stats import poisson

from streamfit.kernels.poisson import (
    em_ratio,
    em_steps,
    fisher_score,
    flat_start,
    fold,
    poisson_score,
)


@pytest.fixture
def setup():
    rng = np.random.default_rng(1)
    matrix = rng.uniform(0.0, 1.0, (12, 8))
    flux = rng.uniform(1.0, 5.0, 8)
    background = rng.uniform(0.5, 2.0, 12)
    counts = rng.poisson(fold(matrix, flux, background)) * 1.0
    return matrix, counts, flux, background


def likelihood(matrix, counts, flux, background):
    return poisson.logpmf(counts, matrix @ flux + background).sum()


def test_the_score_is_the_slope_of_the_likelihood(setup):
    matrix, counts, flux, background = setup
    step = 1e-5
    slopes = []
    for energy in range(flux.size):
        up, down = flux.copy(), flux.copy()
        up[energy] *= np.exp(step)
        down[energy] *= np.exp(-step)
        values = [likelihood(matrix, counts, one, background) for one in (up, down)]
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(poisson_score(*setup), slopes, rtol=1e-6, atol=1e-6)


def test_the_ratio_is_one_at_the_truth_without_noise(setup):
    matrix, _, flux, background = setup
    model = fold(matrix, flux, background)
    np.testing.assert_allclose(em_ratio(matrix, model, model), 1.0)
    np.testing.assert_allclose(fisher_score(matrix, model, flux, background), 0.0, atol=1e-12)


def test_the_scaled_score_does_not_know_the_size_of_the_response(setup):
    matrix, counts, flux, background = setup
    found = fisher_score(matrix * 1e6, counts, flux / 1e6, background)
    np.testing.assert_allclose(found, fisher_score(matrix, counts, flux, background))


def test_the_scaled_score_has_at_most_unit_scatter():
    rng = np.random.default_rng(2)
    matrix = rng.uniform(0.0, 1.0, (12, 8))
    flux = np.full(8, 20.0)
    counts = rng.poisson(matrix @ flux, (4000, 12)) * 1.0
    scores = fisher_score(matrix, counts, np.tile(flux, (4000, 1)))
    assert np.all(scores.std(axis=0) < 1.05)
    assert np.all(np.abs(scores.mean(axis=0)) < 0.08)


def test_batches_are_the_same_as_one_by_one(setup):
    matrix, counts, flux, background = setup
    many = [np.stack([array, 2 * array]) for array in (matrix, counts, flux, background)]
    for function in (poisson_score, fisher_score, em_steps):
        both = function(*many)
        for row in range(2):
            np.testing.assert_allclose(both[row], function(*(array[row] for array in many)))
    shared = fold(matrix, many[2], background)
    np.testing.assert_allclose(shared[1], fold(matrix, many[2][1], background))
    assert flat_start(many[0], many[1], many[3]).shape == (2, 8)


def test_blind_energies_and_dead_bins_say_nothing(setup):
    matrix, counts, flux, _ = setup
    matrix[:, 3] = 0.0
    matrix[5] = 0.0
    ratio = em_ratio(matrix, counts, fold(matrix, flux))
    assert ratio[3] == 1.0
    assert np.all(np.isfinite(ratio))
    kept = np.delete(np.arange(12), 5)
    np.testing.assert_allclose(ratio, em_ratio(matrix[kept], counts[kept], matrix[kept] @ flux))


def test_steps_never_lower_the_likelihood(setup):
    matrix, counts, flux, background = setup
    values = []
    for _ in range(40):
        values.append(likelihood(matrix, counts, flux, background))
        flux = em_steps(matrix, counts, flux, background)
    assert np.all(np.diff(values) >= -1e-10)
    assert np.all(flux >= 0)


def test_a_damped_step_goes_part_of_the_way(setup):
    matrix, counts, flux, background = setup
    whole = np.log(em_steps(matrix, counts, flux, background) / flux)
    part = np.log(em_steps(matrix, counts, flux, background, power=0.3) / flux)
    np.testing.assert_allclose(part, 0.3 * whole)


def test_the_flat_start_has_the_right_counts(setup):
    matrix, counts, _, background = setup
    start = flat_start(matrix, counts, background)
    assert np.ptp(start) == 0.0
    assert fold(matrix, start, background).sum() == pytest.approx(counts.sum())
    assert fold(matrix, flat_start(matrix, 0 * counts)).sum() == pytest.approx(10.0)
