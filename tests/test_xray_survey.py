"""The survey of two plasmas: what it covers, and Laplace's method in windows."""

import dataclasses

import numpy as np
import pytest
from xray_cases import task

from streamfit.kernels.xray_brightness import Brightness
from streamfit.kernels.xray_fit import default_starts, fit
from streamfit.kernels.xray_model import MODELS, to_values
from streamfit.kernels.xray_posterior import sample
from streamfit.kernels.xray_scoring import Ends, climb
from streamfit.kernels.xray_survey import Normal, about, distinct, survey


@pytest.fixture(scope="module")
def degenerate():
    """Counts of one plasma, fitted with two: a second one may be anything that is not seen."""
    one, _ = task("apec1", counts=1500.0)
    return dataclasses.replace(one, model=MODELS["apec2"])


def test_one_plasma_or_a_power_law_needs_no_survey():
    for name in ("apec1", "powerlaw"):
        one, _ = task(name)
        found = survey(one.folding(), one.prior(), fit(one, default_starts(one)).coordinates)
        assert (found.parts, len(found.summits)) == ([], 0)
        assert np.all(np.isinf(found.window))


def test_a_plasma_and_a_power_law_are_surveyed_by_the_ratio_of_their_counts():
    one, _ = task("apec1+powerlaw", counts=2000.0)
    made, bright = one.folding(), Brightness(one.folding())
    prior = one.prior(log_counts=bright.log_counts, counts_range=bright.range)
    found = survey(made, prior, fit(one, default_starts(one)).coordinates)
    names = one.model.names
    pinned = [names.index(one) for one in ("kT", "nH", "index_norm")]
    assert np.flatnonzero(np.isfinite(found.window)).tolist() == pinned
    points = prior.from_normal(np.array([mean for _, mean, _ in found.parts]))
    counts = points[:, prior.norms] + bright.log_counts(points)
    for brighter in (counts[:, 0] > 2.0 + counts[:, 1], counts[:, 0] < counts[:, 1] - 2.0):
        assert np.any(brighter)
    expected = made.source(points).sum(axis=1)
    np.testing.assert_allclose(np.log(expected), np.logaddexp(*counts.T), atol=0.1)


def test_all_ways_to_part_the_emission_are_met(degenerate):
    made, prior = degenerate.folding(), degenerate.prior()
    found = survey(made, prior, fit(degenerate, default_starts(degenerate)).coordinates)
    points = prior.from_normal(np.array([mean for _, mean, _ in found.parts]))
    hot, _, _, _, cool, second = to_values(degenerate.model, points).T
    likely = made.log_likelihood(points) > made.log_likelihood(points).max() - 4.0
    for way in (
        (second < 0.05) & (cool < 1.0),  # a cool one too faint to be seen
        (cool > 0.6 * hot) & (second < 0.1),  # one as hot as the first
        (cool > 0.6 * hot) & (second > 1.0),
        (second > 3.0) & (hot > 1.5 * cool),  # a hot one faint beside the cooler
    ):
        assert np.any(way & likely)
    assert max(weight for weight, *_ in found.parts) == pytest.approx(1.0)


def test_without_a_window_a_mode_has_the_mass_of_laplace_wherever_it_is_looked_at_from():
    one, _ = task("powerlaw", counts=20_000.0)
    made, prior = one.folding(), one.prior()
    best = fit(one, default_starts(one))
    start = prior.to_normal(best.coordinates[None])
    end = climb(made, start, Normal(prior))
    free = np.full(prior.size, np.inf)
    ((mass, mean, covariance),) = about(made, prior, end.points, free)
    exact = sample(one, best, draws=4000).log_evidence
    assert mass == pytest.approx(exact, abs=0.1)
    np.testing.assert_allclose(covariance, np.linalg.inv(end.information[0]), rtol=1e-3)
    moved = end.points + 0.5 * np.sqrt(np.diag(covariance))
    ((other, back, _),) = about(made, prior, moved, free)
    assert other == pytest.approx(mass, abs=0.05)
    np.testing.assert_allclose(back, mean, atol=0.2 * np.sqrt(np.diag(covariance)).max())


def test_pinned_parameters_stay():
    one, _ = task("apec1")
    prior = one.prior()
    start = np.array([[0.3, -0.2, 0.1, -0.5]])
    end = climb(one.folding(), start, Normal(prior, (0, 2)))
    np.testing.assert_array_equal(end.points[0, [0, 2]], start[0, [0, 2]])
    assert end.points[0, 1] != start[0, 1]


def test_climbs_that_end_at_one_place_count_once():
    points = np.array([[0.0, 0.0], [0.05, 0.0], [2.0, 0.0], [0.0, 9.0]])
    height = np.array([1.0, 0.9, 3.0, 50.0])
    flat, none = np.repeat(np.eye(2)[None], 4, axis=0), np.zeros((4, 2), bool)
    found = distinct(Ends(points, height, flat, none, np.ones(4, bool)))
    np.testing.assert_array_equal(found.objective, [0.9, 3.0])
