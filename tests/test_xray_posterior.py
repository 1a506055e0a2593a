"""Posteriors against sums over a fine grid, and against nested sampling."""

import dataclasses

import numpy as np
import pytest
from xray_cases import task

from streamfit.kernels.psis import TRUSTED
from streamfit.kernels.xray_fit import ColumnPrior, default_starts, fit
from streamfit.kernels.xray_model import MODELS, to_coordinates, to_values
from streamfit.kernels.xray_posterior import Proposal, nested, sample

_STEPS = 34


def by_grid(one, centre, sigma, given=None):
    """Sum the posterior of a power law over a box; give mean, sigma and log evidence.

    Coordinates far from a bound make the sum as good as exact: its error falls with the
    exponential of the square of sigma over the step, here below 1e-6.
    """
    prior, made = one.prior(), one.folding()
    low, high = (
        np.maximum(prior.low, centre - 7 * sigma),
        np.minimum(prior.high, centre + 7 * sigma),
    )
    part = (np.arange(_STEPS) + 0.5) / _STEPS
    axes = [bottom + (top - bottom) * part for bottom, top in zip(low, high, strict=True)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    log_prior = prior.log_density(points)
    if given is not None:
        log_prior = given.log_density(points) - given.log_inside(prior)
    log_post = made.log_likelihood(points) + log_prior
    weight = np.exp(log_post - log_post.max())
    cell = np.prod((high - low) / _STEPS)
    values = to_values(one.model, points)
    mean = weight @ values / weight.sum()
    sigma = np.sqrt(weight @ np.square(values - mean) / weight.sum())
    return mean, sigma, float(np.log(weight.sum() * cell) + log_post.max())


@pytest.mark.parametrize(
    ("counts", "column"), [(20_000.0, None), (2000.0, None), (800.0, ColumnPrior(0.2))]
)
def test_a_sum_over_a_grid_agrees(counts, column):
    one, _ = task("powerlaw", counts=counts, background=1.0, column=column)
    found = fit(one, default_starts(one))
    ours = sample(one, found, draws=4000, seed=1)
    centre = to_coordinates(one.model, ours.q50)
    spread = to_coordinates(one.model, ours.draws).std(axis=0)
    mean, sigma, evidence = by_grid(one, centre, spread)
    assert ours.k_hat < TRUSTED
    # Two thousand draws count: means to 0.022 sigma, sigmas to 1.6 %, the evidence to 0.02.
    np.testing.assert_allclose((ours.mean - mean) / sigma, 0.0, atol=0.09)
    np.testing.assert_allclose(ours.sigma / sigma, 1.0, atol=0.07)
    assert ours.log_evidence == pytest.approx(evidence, abs=0.08)
    assert ours.log_evidence_error < 0.04


def test_the_evidence_of_few_draws_has_no_bias():
    """Draws that later proposals were fitted to would make it too low."""
    one, _ = task("powerlaw", counts=2000.0, background=1.0)
    found = fit(one, default_starts(one))
    runs = [sample(one, found, draws=200, seed=seed) for seed in range(16)]
    sigma = to_coordinates(one.model, sample(one, found, seed=1).draws).std(axis=0)
    *_, evidence = by_grid(one, found.coordinates, sigma)
    errors = np.array([run.log_evidence for run in runs]) - evidence
    claimed = np.sqrt(np.mean([run.log_evidence_error**2 for run in runs]))
    assert abs(errors.mean()) < 3.0 * claimed / np.sqrt(len(runs))
    assert errors.std() == pytest.approx(claimed, rel=0.4)


def test_another_prior_takes_the_place_of_the_broad_one():
    one, values = task("powerlaw", counts=1500.0)
    found = fit(one, default_starts(one))
    given = Proposal(
        np.array([0.6, 0.4]),
        to_coordinates(one.model, values) + np.array([[0.1, 0.0, 0.0], [-0.2, 0.3, 0.1]]),
        np.array([np.diag([0.02, 0.2, 0.02]), np.diag([0.05, 0.3, 0.05])]),
    )
    ours = sample(one, found, prior=given, draws=4000, seed=2)
    mean, sigma, evidence = by_grid(one, found.coordinates, np.array([0.1, 0.3, 0.07]), given)
    np.testing.assert_allclose((ours.mean - mean) / sigma, 0.0, atol=0.09)
    assert ours.log_evidence == pytest.approx(evidence, abs=0.08)


def test_a_network_that_is_right_or_wrong_changes_only_the_cost():
    one, _ = task("apec1", counts=2000.0)
    found = fit(one, default_starts(one))
    alone = sample(one, found, seed=3)
    for shift in (0.0, 1.5):
        network = Proposal(
            np.ones(1), found.coordinates[None] + shift, 2.0 * found.covariance[None]
        )
        other = sample(one, found, proposal=network, seed=3)
        np.testing.assert_allclose((other.mean - alone.mean) / alone.sigma, 0.0, atol=0.15)
        assert other.log_evidence == pytest.approx(alone.log_evidence, abs=0.12)


def test_the_same_seed_gives_the_same_posterior():
    one, _ = task("apec1", counts=2000.0)
    found = fit(one, default_starts(one))
    first, second, other = (sample(one, found, draws=400, seed=seed) for seed in (5, 5, 6))
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    assert not np.array_equal(first.draws, other.draws)


def test_quantiles_and_draws_are_of_one_posterior():
    one, _ = task("apec1", counts=1000.0)
    found = sample(one, fit(one, default_starts(one)))
    assert np.all(found.q16 < found.q50)
    assert np.all(found.q50 < found.q84)
    below = (found.draws[:, None] < np.stack([found.q16, found.q50, found.q84])).mean(axis=0)
    np.testing.assert_allclose(below.T, np.tile([0.159, 0.5, 0.841], (4, 1)), atol=0.04)
    np.testing.assert_allclose(found.draws.mean(axis=0), found.mean, atol=0.15 * found.sigma.max())


def test_abundance_and_column_that_are_not_told_keep_their_prior():
    one, _ = task("apec1", counts=30.0)
    found = sample(one, fit(one, default_starts(one)), draws=4000)
    assert found.k_hat < TRUSTED
    assert found.sigma[1] == pytest.approx(2.0 / np.sqrt(12.0), rel=0.15)
    assert found.mean[1] == pytest.approx(1.0, abs=0.25)


def test_two_temperatures_are_preferred_where_there_are_two():
    two, values = task("apec2", counts=30_000.0)
    assert values[0] / values[4] > 3.0
    single = dataclasses.replace(two, model=task("apec1")[0].model)
    evidence = [
        sample(one, fit(one, default_starts(one)), draws=1000).log_evidence for one in (two, single)
    ]
    assert evidence[0] - evidence[1] > 3.0


def test_a_source_nobody_sees_has_no_posterior():
    one, values = task()
    dark = dataclasses.replace(one.members[0], counts=np.zeros(40))
    nothing = dataclasses.replace(one, members=(dark,))
    found = sample(nothing, fit(nothing, values[None]))
    assert np.all(np.isnan(found.mean))
    assert found.k_hat == np.inf
    assert found.evaluations == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apec1", "powerlaw"])
def test_nested_sampling_agrees(name):
    pytest.importorskip("dynesty", reason="needs the extra `bayes`")
    one, _ = task(name, counts=3000.0, background=1.0)
    ours = sample(one, fit(one, default_starts(one)))
    theirs = nested(one, live=500)
    # Of ours 1,000 draws count and of dynesty's twice as many: 0.04 sigma and 2.8 %.
    np.testing.assert_allclose((ours.mean - theirs.mean) / theirs.sigma, 0.0, atol=0.12)
    np.testing.assert_allclose(ours.sigma / theirs.sigma, 1.0, atol=0.1)
    assert ours.log_evidence == pytest.approx(
        theirs.log_evidence, abs=3.0 * theirs.log_evidence_error
    )
    assert theirs.evaluations > 5 * ours.evaluations
    assert np.isnan(theirs.k_hat)


@pytest.mark.slow
def test_nested_sampling_agrees_on_two_plasmas_that_may_be_parted_in_several_ways():
    pytest.importorskip("dynesty", reason="needs the extra `bayes`")
    one, _ = task("apec1", counts=1500.0)
    free = MODELS["apec2"].parameters
    held = {part.name: part for part in free} | {
        "norm": dataclasses.replace(free[3], low=1e-5, high=1e-2),
        "nH": dataclasses.replace(free[2], low=0.02, high=1.0),
    }
    model = dataclasses.replace(MODELS["apec2"], parameters=tuple(held.values()))
    two = dataclasses.replace(one, model=model)
    ours = sample(two, fit(two, default_starts(two)))
    theirs = nested(two, live=400)
    assert ours.trusted
    # Some 2,000 draws of each count, but sigmas of long tails vary by 4 %.
    np.testing.assert_allclose((ours.mean - theirs.mean) / theirs.sigma, 0.0, atol=0.12)
    np.testing.assert_allclose(ours.sigma / theirs.sigma, 1.0, atol=0.15)
    assert ours.log_evidence == pytest.approx(
        theirs.log_evidence, abs=3.0 * theirs.log_evidence_error
    )
    assert theirs.evaluations > 2 * ours.evaluations
