"""Fits against scipy on the same statistic, at bounds, and where there is nothing to fit."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array
from xray_cases import EDGES, expected, task

from streamfit.kernels.likelihood import cash_moments
from streamfit.kernels.xray_fit import ColumnPrior, Member, Outcome, default_starts, fit
from streamfit.kernels.xray_model import MODELS, to_coordinates
from streamfit.kernels.xray_scoring import information, jacobian


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("background", [0.0, 2.0])
def test_scipy_finds_no_better_fit(name, background):
    one, values = task(name, counts=2e4, background=background)
    found = fit(one, default_starts(one))
    made, prior = one.folding(), one.prior()

    def statistic(point):
        inside = np.clip(point, prior.low, prior.high)
        return -2.0 * made.log_likelihood(inside[None])[0]

    starts = [found.coordinates, to_coordinates(one.model, values)]
    best = min(
        minimize(statistic, start, method="Nelder-Mead", options={"maxiter": 600}).fun
        for start in starts
    )
    # A hundredth of a standard deviation is 1e-4 of the statistic; corners of the table's
    # interpolation in temperature hold the search up a little before.
    assert found.statistic <= best + 0.02
    assert not found.outcome & Outcome.MAX_ITERATIONS


def test_errors_are_the_scatter_of_fits():
    pulls = []
    for seed in range(60):
        one, values = task("powerlaw", counts=4000.0, seed=seed)
        found = fit(one, values[None])
        pulls.append((found.coordinates - to_coordinates(one.model, values)) / _sigma(found))
    pulls = np.array(pulls)
    # Sixty fits tell a mean to 0.13 and a width to 9 %.
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.4)
    assert np.all(np.abs(pulls.std(axis=0) - 1.0) < 0.3)


def _sigma(found):
    return np.sqrt(np.diag(found.covariance))


def test_the_jacobian_is_that_of_analytic_slopes():
    one, values = task("powerlaw")
    made = one.folding()
    point = to_coordinates(one.model, values)[None]
    slope, source = jacobian(made, point)[0], made.source(point)[0]
    np.testing.assert_allclose(slope[2], source, rtol=2e-5)  # of a norm's logarithm
    moved = point.copy()
    moved[0, 0] += 1e-5
    plain = (made.source(moved)[0] - source) / 1e-5
    np.testing.assert_allclose(slope[0], plain, rtol=1e-3, atol=1e-4 * np.abs(plain).max())


def test_four_members_are_known_twice_as_well_as_one():
    one, values = task(counts=4000.0)
    four = dataclasses.replace(one, members=one.members * 4)
    point = to_coordinates(one.model, values)
    single, whole = (information(each.folding(), point) for each in (one, four))
    np.testing.assert_allclose(whole, 4.0 * single, rtol=1e-9)
    together = fit(four, values[None])
    alone = fit(one, values[None])
    np.testing.assert_allclose(together.coordinates, alone.coordinates, atol=0.02)
    assert together.bins == 4 * alone.bins
    assert together.dof == together.bins - 4


def test_the_statistic_stands_beside_its_expectation():
    one, values = task(counts=2e4)
    found = fit(one, values[None])
    moments = cash_moments(one.folding().source(found.coordinates[None])[0])
    assert found.expected == pytest.approx(moments.mean.sum())
    assert found.scatter == pytest.approx(np.sqrt(moments.variance.sum()))
    assert abs(found.statistic - found.expected) < 4.0 * found.scatter


def test_a_known_column_is_kept_to():
    loose, _ = task("powerlaw", counts=200.0, seed=3)
    tight = dataclasses.replace(loose, column=ColumnPrior(0.05, 0.1))
    free, held = (fit(one, default_starts(one)) for one in (loose, tight))
    assert held.values[1] == pytest.approx(0.05, rel=0.2)
    assert held.errors[1] < 0.11 * held.values[1]
    assert held.errors[1] < free.errors[1]
    assert held.statistic >= free.statistic - 1e-3


def test_fits_at_a_bound_say_so():
    one, values = task("apec1", counts=3000.0)
    values[1] = 0.0
    source = expected("apec1", values)
    member = dataclasses.replace(
        one.members[0], counts=np.round(source * np.r_[[1.1] * 20, 20 * [0.9]])
    )
    found = fit(dataclasses.replace(one, members=(member,)), default_starts(one))
    assert found.outcome & Outcome.AT_BOUND
    assert np.all(np.isfinite(found.errors))


def test_what_the_data_do_not_tell_is_singular():
    one, _ = task("apec2", counts=60.0)
    found = fit(one, default_starts(one))
    assert found.outcome & Outcome.SINGULAR
    assert np.all(np.isfinite(found.errors))


def test_the_hotter_plasma_comes_first():
    one, values = task("apec2", counts=1e5)
    swapped = values[[4, 1, 2, 3, 0, 5]]
    for starts in (default_starts(one), swapped[None]):
        found = fit(one, starts)
        assert found.values[0] >= found.values[4]


def test_starts_without_a_value_are_taken_from_the_middle():
    one, _ = task("powerlaw", counts=5000.0)
    usual = fit(one, default_starts(one))
    found = fit(one, np.array([[np.nan, -1.0, np.nan]]))
    np.testing.assert_allclose(found.coordinates, usual.coordinates, atol=0.02)


def test_a_source_nobody_sees_has_no_fit():
    one, values = task()
    blind = csr_array((40, 60))
    for member in (
        dataclasses.replace(one.members[0], counts=np.zeros(40)),
        Member(np.ones(40), blind, EDGES),
    ):
        found = fit(dataclasses.replace(one, members=(member,)), values[None])
        assert found.outcome == Outcome.NO_DATA
        assert np.all(np.isnan(found.values))


def test_the_default_starts_lie_in_the_ranges():
    for name, model in MODELS.items():
        one, _ = task(name)
        starts = to_coordinates(model, default_starts(one))
        assert np.all(np.isfinite(one.prior().log_density(starts)))


def test_a_start_does_not_depend_on_the_others():
    one, values = task(counts=1e4)
    alone = fit(one, values[None])
    beside = fit(one, np.vstack([values, values * [0.3, 1.0, 1.0, 1.0]]))
    assert beside.statistic <= alone.statistic + 1e-3
