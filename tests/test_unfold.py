import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from streamfit.kernels.likelihood import cash, cash_moments
from streamfit.kernels.poisson import em_steps, flat_start, fold
from streamfit.kernels.refold import refold_cash
from streamfit.kernels.response import DETECTOR_EDGES, ENERGY_EDGES
from streamfit.kernels.unfold import (
    Problem,
    condition_number,
    isis,
    isis_detector,
    pseudo_inverse,
    richardson_lucy,
    tikhonov,
)
from streamfit.kernels.unfold_map import penalised_map

ENERGY = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])
WIDTH = np.diff(ENERGY_EDGES)
CENTRE = 0.5 * (DETECTOR_EDGES[1:] + DETECTOR_EDGES[:-1])
INSIDE = (ENERGY > 0.8) & (ENERGY < 5.5)
METHODS = (tikhonov, richardson_lucy, penalised_map, isis)
FLUX = ENERGY**-1.7 * np.exp(-0.1 * ENERGY**-2.6)


@pytest.fixture(autouse=True)
def one_blas_thread():
    """As the engine has it: on matrices this small, two threads mostly wait for each other."""
    with threadpool_limits(1):
        yield


def acis_like():
    """A resolution of 100-150 eV, an area that falls on both sides, and a low-energy tail."""
    sigma = 0.0425 + 0.003 * ENERGY
    line = np.exp(-0.5 * np.square((CENTRE[:, None] - ENERGY) / sigma)) / sigma
    tail = 0.02 * (CENTRE[:, None] < ENERGY) / ENERGY
    area = 600.0 * np.exp(-0.5 * np.square(np.log(ENERGY / 1.6) / 0.8))
    return (line / np.sqrt(2 * np.pi) + tail) * 0.0292 * area * WIDTH


def problem(total, *, behind=0.1, seed=1):
    """A power law with `total` counts over a flat background, and the true flux."""
    matrix = acis_like()
    flux = FLUX * total / (matrix @ FLUX).sum()
    background = np.full(CENTRE.size, behind * total / CENTRE.size)
    model = fold(matrix, flux, background)
    counts = model if seed is None else np.random.default_rng(seed).poisson(model) * 1.0
    return Problem(counts, matrix, background), flux


def misplaced(found, truth):
    photons = np.abs(found - truth) * WIDTH
    return photons[INSIDE].sum() / (truth * WIDTH)[INSIDE].sum()


@pytest.mark.parametrize("method", METHODS)
def test_a_bright_smooth_spectrum_is_recovered(method):
    # A tenth of what 0.1 % of noise a bin is magnified to without a penalty; ISIS adds the tail.
    given, truth = problem(1e6)
    found = method(given)
    assert found.converged
    assert misplaced(found.flux, truth) < 0.06
    np.testing.assert_allclose(
        found.model, fold(given.matrix, found.flux, given.background), rtol=1e-12
    )


@pytest.mark.parametrize("method", [tikhonov, richardson_lucy, penalised_map])
@pytest.mark.parametrize("total", [100, 3000, 1e5])
def test_what_is_unfolded_is_positive_and_refolds(method, total):
    given, _ = problem(total, seed=2)
    found = method(given)
    assert np.all(found.flux >= 0)
    # Least squares with counts below one taken as one is biased where there are few.
    if method is not tikhonov or total > 1e4:
        assert abs(refold_cash(given.counts, found.model).z) < 3


@pytest.mark.parametrize("method", [*METHODS, pseudo_inverse])
@pytest.mark.parametrize("total", [0.0, 2.0])
def test_hardly_any_counts_are_no_accident(method, total):
    given, _ = problem(200.0)
    counts = np.zeros(CENTRE.size)
    counts[100] = total
    found = method(Problem(counts, given.matrix, np.zeros(CENTRE.size)))
    assert np.all(np.isfinite(found.flux))


@pytest.mark.parametrize("method", METHODS)
def test_bins_the_matrix_does_not_reach_do_no_harm(method):
    given, truth = problem(1e5)
    matrix = given.matrix.copy()
    matrix[40:45] = 0.0
    counts = np.where(matrix.any(axis=1), given.counts, 0.0)
    background = np.where(matrix.any(axis=1), given.background, 0.0)
    assert misplaced(method(Problem(counts, matrix, background)).flux, truth) < 0.15


def test_the_plain_inverse_magnifies_noise():
    given, truth = problem(1e5)
    assert condition_number(given) > 1e9
    found = pseudo_inverse(given)
    assert misplaced(found.flux, truth) > 10
    assert (found.flux < 0).mean() > 0.2
    assert refold_cash(given.counts, np.maximum(found.model, 1e-3)).z < -4


def test_the_plain_inverse_is_right_where_nothing_is_lost():
    matrix = np.diag(np.linspace(1.0, 3.0, 6))
    flux = np.arange(10.0, 70.0, 10.0)
    given = Problem(matrix @ flux + 2.0, matrix, np.full(6, 2.0))
    np.testing.assert_allclose(pseudo_inverse(given).flux, flux)
    weights = np.diag(matrix) / np.sqrt(given.counts)
    assert condition_number(given) == pytest.approx(weights.max() / weights.min())
    assert condition_number(Problem(np.ones(2), np.ones((2, 2)), np.zeros(2))) > 1e15


def test_tikhonov_is_as_strong_as_chi_squared_allows():
    given, _ = problem(3e4)
    found = tikhonov(given)

    def misfit(model):
        return (np.square(given.counts - model) / np.maximum(given.counts, 1.0)).sum()

    assert misfit(found.model) <= CENTRE.size
    assert misfit(tikhonov(given, strength=found.strength * 3).model) > CENTRE.size


def test_richardson_lucy_raises_the_likelihood_at_every_step():
    given, _ = problem(5000.0)
    values = [
        cash(given.counts, richardson_lucy(given, steps=steps).model).sum() for steps in range(25)
    ]
    assert np.all(np.diff(values) < 0)
    start = flat_start(given.matrix, given.counts, given.background)
    np.testing.assert_allclose(
        richardson_lucy(given, steps=7).flux,
        em_steps(given.matrix, given.counts, start, given.background, steps=7),
    )


def test_richardson_lucy_keeps_the_counts_without_a_background():
    given, _ = problem(5000.0, behind=0.0)
    found = richardson_lucy(given, steps=3)
    assert found.model.sum() == pytest.approx(given.counts.sum())


def test_richardson_lucy_stops_where_a_true_model_would_lie():
    given, _ = problem(2e4)
    found = richardson_lucy(given)
    assert 0 < found.steps < 500
    assert cash(given.counts, found.model).sum() <= cash_moments(found.model).mean.sum()
    before = richardson_lucy(given, steps=found.steps - 1)
    assert cash(given.counts, before.model).sum() > cash_moments(before.model).mean.sum()
    assert not richardson_lucy(given, most=2).converged


def test_late_steps_of_richardson_lucy_fit_the_noise():
    given, truth = problem(5000.0)
    late = richardson_lucy(given, steps=1000)
    assert refold_cash(given.counts, late.model).z < -2
    assert misplaced(late.flux, truth) > 2 * misplaced(richardson_lucy(given).flux, truth)


def test_the_penalised_fit_is_at_a_minimum():
    given, _ = problem(2000.0)
    found = penalised_map(given, strength=100.0)
    assert found.converged
    bend = np.diff(np.eye(256), n=2, axis=0)

    def objective(eta):
        model = fold(given.matrix, np.exp(eta), given.background)
        penalty = 50.0 * np.square(bend @ eta).sum()
        return 0.5 * cash(given.counts, model).sum() + penalty

    eta = np.log(found.flux)
    lowest = objective(eta)
    rng = np.random.default_rng(1)
    for _ in range(50):
        assert objective(eta + rng.normal(0.0, 0.01, 256)) > lowest
    for shape in (np.ones(256), np.linspace(-1, 1, 256), np.sin(np.linspace(0, 9, 256))):
        slope = (objective(eta + 1e-4 * shape) - objective(eta - 1e-4 * shape)) / 2e-4
        assert abs(slope) < 0.1


def test_a_strong_penalty_gives_a_power_law():
    given, _ = problem(1e5)
    found = penalised_map(given, strength=1e9)
    slopes = np.diff(np.log(found.flux))
    assert np.ptp(slopes) < 0.01


def test_the_evidence_asks_for_less_smoothing_where_there_is_a_line():
    smooth, truth = problem(3e4)
    line = truth + 0.8 * truth.max() * np.exp(-0.5 * np.square((ENERGY - 2.0) / 0.03))
    model = fold(smooth.matrix, line, smooth.background)
    counts = np.random.default_rng(1).poisson(model) * 1.0
    found = penalised_map(Problem(counts, smooth.matrix, smooth.background))
    assert found.strength < penalised_map(smooth).strength
    assert misplaced(found.flux, line) < 0.1


def test_the_bands_of_the_penalised_fit_cover_a_spectrum_without_bends():
    # Where the penalty holds, the sigmas are those of a posterior: half of 20 spectra times 150
    # energies, which go up and down together, still tell 68 % from 40 or 95.
    inside = []
    for seed in range(10):
        given, truth = problem(2000.0, seed=seed)
        found = penalised_map(given, strength=3e4)
        pulls = np.log(found.flux / truth) / found.sigma
        inside.append(np.mean(np.abs(pulls[INSIDE]) < 1))
    assert 0.5 < np.mean(inside) < 0.97


def test_isis_is_counts_over_the_summed_response():
    given, _ = problem(1e4)
    expected = (given.counts - given.background) / given.matrix.sum(axis=1)
    np.testing.assert_allclose(isis_detector(given), expected)
    flat = np.full(256, 0.3)
    clean = Problem(fold(given.matrix, flat, given.background), given.matrix, given.background)
    np.testing.assert_allclose(isis(clean).flux, 0.3)


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"background has shape \(3,\), the matrix \(4, 5\)"):
        Problem(np.zeros(4), np.zeros((4, 5)), np.zeros(3))


def test_the_penalised_fit_tells_how_many_parameters_follow_the_counts():
    energy, detector = np.arange(12.0), np.linspace(-2.0, 14.0, 30)
    matrix = 400.0 * np.exp(-0.5 * ((detector[:, None] - energy) / 1.0) ** 2)

    def fitted(counts):
        return penalised_map(Problem(counts, matrix, np.zeros(30)), strength=30.0, tolerance=1e-9)

    # Counts that are a fit's own, so that the expected curvature is that of the likelihood.
    counts = fitted(matrix @ np.exp(-0.1 * energy + 0.5 * np.sin(energy))).model
    step = 0.3 * np.sqrt(counts)
    moved = [fitted(counts + one).model - fitted(counts - one).model for one in np.diag(step)]
    freedom = fitted(counts).freedom
    assert (np.diag(moved) / (2.0 * step)).sum() == pytest.approx(freedom, rel=0.01)
    assert 3.0 < freedom < 12.0


def test_under_a_strong_penalty_a_level_and_a_slope_are_free():
    energy, detector = np.arange(12.0), np.linspace(-2.0, 14.0, 30)
    matrix = 400.0 * np.exp(-0.5 * ((detector[:, None] - energy) / 1.0) ** 2)
    found = penalised_map(Problem(matrix.sum(axis=1), matrix, np.zeros(30)), strength=1e8)
    assert found.freedom == pytest.approx(2.0, abs=0.01)
