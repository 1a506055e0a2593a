"""Factors between the members of a joint fit: against scipy, in closed form, and in words."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2
from xray_cases import task

from streamfit.kernels.likelihood import cash
from streamfit.kernels.xray_fit import Outcome, Task, default_starts, fit
from streamfit.kernels.xray_model import MODELS, to_coordinates
from streamfit.kernels.xray_posterior import sample
from streamfit.stream.xray_norms import Norms
from streamfit.tools.xray_fit_trials import narrowed

FACTORS = np.array([1.0, 0.2, 1.4])


def unlike(name="powerlaw", counts=4000.0, seed=0, factors=FACTORS):
    """Draw members whose areas are not what their responses say; give tied and free tasks."""
    one, values = task(name, counts=counts, seed=seed, members=1)
    made = one.folding()
    source = made.source(to_coordinates(one.model, values)[None])[0]
    generator = np.random.default_rng([seed, 1])
    members = tuple(
        dataclasses.replace(one.members[0], counts=generator.poisson(factor * source).astype(float))
        for factor in factors
    )
    tied = Task(members, one.model, one.table)
    return tied, dataclasses.replace(tied, model=one.model.with_factors(len(factors))), values


def test_factors_follow_the_parameters_of_a_model():
    model = MODELS["apec2"].with_factors(3)
    assert model.names[6:] == ("factor_2", "factor_3")
    assert (model.own, model.factors) == (6, 2)
    assert MODELS["apec2"].with_factors(1).names == MODELS["apec2"].names


def test_each_member_expects_its_factor_of_the_counts():
    tied, free, values = unlike()
    same = tied.folding().source(to_coordinates(tied.model, values)[None])[0].reshape(3, -1)
    point = to_coordinates(free.model, np.append(values, FACTORS[1:]))[None]
    found = free.folding().source(point)[0].reshape(3, -1)
    np.testing.assert_allclose(found, FACTORS[:, None] * same, rtol=1e-12)


def test_factors_need_as_many_members():
    tied, free, _ = unlike()
    with pytest.raises(ValueError, match="2 factors for 1 members"):
        dataclasses.replace(free, members=tied.members[:1]).folding()


@pytest.mark.parametrize("name", ["powerlaw", "apec1"])
def test_scipy_finds_no_better_factors(name):
    tied, free, values = unlike(name)
    found = fit(free, default_starts(free))
    one = tied.folding()

    def statistic(point):
        source = one.source(point[None, : values.size])[0].reshape(3, -1)
        factors = np.append(1.0, np.exp(point[values.size :]))
        return float(cash(one.counts.reshape(3, -1), factors[:, None] * source).sum())

    starts = [found.coordinates, to_coordinates(free.model, np.append(values, FACTORS[1:]))]
    best = min(
        minimize(statistic, start, method="Nelder-Mead", options={"maxiter": 800}).fun
        for start in starts
    )
    assert found.statistic == pytest.approx(statistic(found.coordinates), abs=1e-6)
    assert found.statistic <= best + 0.02
    assert not found.outcome & Outcome.MAX_ITERATIONS
    pulls = (found.values - np.append(values, FACTORS[1:])) / found.errors
    assert np.all(np.abs(pulls) < 3.5)


def test_a_member_whose_area_is_wrong_by_a_factor_leaves_the_shape_alone():
    """An index behind an area a tenth of the true one is that of a fit without the member."""
    shapes = []
    for seed in range(8):
        tied, free, values = unlike(counts=2000.0, seed=seed, factors=np.array([1.0, 10.0]))
        found, wrong = fit(free, default_starts(free)), fit(tied, default_starts(tied))
        shapes.append(found.coordinates - to_coordinates(free.model, np.append(values, 10.0)))
        assert wrong.statistic - found.statistic > 500.0
    away = np.array(shapes) / np.sqrt(np.diag(found.covariance))
    assert np.all(np.abs(away.mean(axis=0)) < 1.2)  # eight fits tell a mean to 0.35


def test_posteriors_of_a_factor_are_those_of_a_ratio_of_gammas():
    """With a known shape and even ln norm and ln factor, counts give gamma distributions."""
    _, free, values = unlike(counts=150.0, factors=np.array([1.0, 0.4]))
    index, column, _ = values
    held = {"index": (index - 1e-4, index + 1e-4), "nH": (column * 0.9999, column * 1.0001)}
    free = dataclasses.replace(free, model=narrowed(free.model, held))
    found = sample(free, fit(free, default_starts(free)), draws=8000, seed=4)
    first, second = (float(one.counts.sum()) for one in free.members)
    mean = second / (first - 1.0)
    variance = mean * ((second + 1.0) / (first - 2.0) - mean)
    assert found.trusted
    # Four thousand draws count: the mean to 0.016 sigma, sigma to 1.2 %.
    assert found.mean[3] == pytest.approx(mean, abs=0.06 * np.sqrt(variance))
    assert found.sigma[3] == pytest.approx(np.sqrt(variance), rel=0.05)


def test_the_statistic_falls_by_chi2_where_members_do_not_differ():
    falls = []
    for seed in range(60):
        tied, free, values = unlike(counts=800.0, seed=seed, factors=np.ones(3))
        start = np.append(values, [1.0, 1.0])[None]
        one = Norms.of(fit(tied, values[None]), fit(free, start), 3)
        assert one.probability == pytest.approx(chi2.sf(one.fall, 2), rel=1e-9)
        falls.append(one.fall)
    # chi2 of two degrees of freedom: mean 2, standard deviation 2, so 0.26 for sixty.
    assert np.mean(falls) == pytest.approx(2.0, abs=0.9)


NAMES = ("a.pha", "b.pha", "c.pha")


def test_a_tied_fit_says_who_disagrees_and_what_to_do():
    norms = Norms(np.array([1.0, 0.063, 1.1]), np.array([0.0, 0.02, 0.2]), 39.2)
    (text,) = norms.notes(NAMES, "tied")
    assert text == (
        "members disagree: with norms of their own cstat falls by 39.2 for 2 factors (probability "
        "3e-09); b.pha: 0.063 ± 0.02 of the first; give --norms free"
    )
    assert norms.notes(NAMES, "free") == ("norms differ: b.pha: 0.063 ± 0.02 of the first",)


@pytest.mark.parametrize(
    ("factor", "error", "fall"),
    [(1.05, 0.01, 3.0), (0.5, 0.3, 3.0), (1.0, 0.1, 0.0)],
    ids=["five per cent", "a large error", "the same"],
)
def test_small_or_ill_known_differences_are_not_told(factor, error, fall):
    norms = Norms(np.array([1.0, factor, 1.0]), np.array([0.0, error, 0.1]), fall)
    assert norms.notes(NAMES, "free") == ()
    assert norms.notes(NAMES, "tied") == ()
