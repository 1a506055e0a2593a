"""Folding of many sources at once against the plain functions, and the score against slopes."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_array
from xray_cases import CHANNELS, EDGES, USUAL, expected, matrix, task

from streamfit.kernels.likelihood import background_in_source, cash, w_statistic
from streamfit.kernels.plasma import rebin
from streamfit.kernels.xray_fold import Folding, Member, observed, steady
from streamfit.kernels.xray_model import MODELS, to_coordinates
from streamfit.models.plasma_table import load_plasma


def folding(one):
    return Folding(one.members, one.model, one.table, one.redshift)


@pytest.mark.parametrize("name", list(MODELS))
def test_counts_are_those_of_the_plain_functions(name):
    one, values = task(name)
    norm = one.model.names.index("norm")
    factor = values[norm] / USUAL[name][norm]
    both = to_coordinates(one.model, np.stack([values, USUAL[name]]))
    found = folding(one).source(both)
    plain = expected(name, USUAL[name])
    np.testing.assert_allclose(found[1], plain, rtol=1e-12)
    np.testing.assert_allclose(found[0], plain * factor, rtol=1e-9)


def test_members_stand_one_behind_the_other():
    one, values = task(members=3)
    again = dataclasses.replace(one, members=one.members[1:2])
    point = to_coordinates(one.model, values)[None]
    whole = folding(one).source(point)
    assert whole.shape == (1, 3 * 40)
    np.testing.assert_array_equal(whole[:, 40:80], folding(again).source(point))


def test_a_redshift_moves_the_bins():
    """Photons arrive at E / (1 + z), fewer by 1 + z; absorption stays where it is."""
    whole = load_plasma()
    found = observed(whole, 0.25, 0.5, 7.0)
    first = int(np.argmin(np.abs(whole.edges - found.edges[0] * 1.25)))
    kept = whole.edges[first : first + found.edges.size]
    np.testing.assert_allclose(found.edges * 1.25, kept)
    assert found.edges[0] <= 0.5
    assert found.edges[-1] >= 7.0
    plain = MODELS["apec1"].photons(whole, USUAL["apec1"], 0.25)
    moved = rebin(found.edges, MODELS["apec1"].photons(found, USUAL["apec1"]), CHANNELS)
    again = rebin(whole.edges, plain, CHANNELS)
    # A line within 5 eV of an edge is spread over it by a bin's width in one of the two.
    np.testing.assert_allclose(moved, again, rtol=0.01)


def test_the_statistic_is_that_of_likelihood():
    one, values = task(background=2.0)
    other, _ = task(seed=4)
    known = dataclasses.replace(other.members[0], known=np.full(40, 3.0))
    both = dataclasses.replace(one, members=(*one.members, known))
    made, source = folding(both), expected("apec1", values)
    (member,) = one.members
    plain = w_statistic(member.counts, source, member.background, member.scale).sum()
    plain += cash(known.counts, source + 3.0).sum()
    point = to_coordinates(one.model, values)[None]
    assert made.statistic(made.source(point))[0] == pytest.approx(plain, rel=1e-12)
    assert made.log_likelihood(point)[0] == pytest.approx(-0.5 * plain, rel=1e-12)


@pytest.mark.parametrize("background", [0.0, 2.0])
def test_the_score_is_the_slope_of_the_likelihood(background):
    one, values = task(background=background)
    made = folding(one)
    source = made.source(to_coordinates(one.model, values)[None])
    score, _ = made.score(source)
    step = 1e-4 * source[0, 7]
    for channel in (7, 20, 35):
        moved = np.repeat(source, 2, axis=0)
        moved[:, channel] += [-step, step]
        low, high = -0.5 * made.statistic(moved)
        assert score[0, channel] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-5)


def test_the_information_is_the_variance_of_the_score():
    """Many counts in each channel, where W's profile is as good as Gaussian."""
    counts, background, scale = 400.0, 300.0, 0.5
    generator = np.random.default_rng(1)
    n = generator.poisson(counts + background, 40_000).astype(float)
    off = generator.poisson(background / scale, 40_000).astype(float)
    score = n / (counts + background_in_source(n, counts, off, scale)) - 1.0
    information = 1.0 / (counts + background + scale * background)
    assert score.var() == pytest.approx(information, rel=0.03)  # 40,000 draws tell it to 0.7 %


def test_few_counts_beside_are_smoothed_and_known():
    sparse, _ = task(background=0.001, counts=2000.0)
    plenty, _ = task(background=2.0)
    assert steady(plenty.members[0]) is plenty.members[0]
    found = steady(sparse.members[0])
    assert found.background is None
    assert found.known is not None
    assert found.known.min() > 0
    assert sparse.members[0].statistic == "cash"
    assert plenty.members[0].statistic == "w"


def test_a_response_that_is_nearly_full_is_folded_as_such():
    one, values = task()
    full = matrix() + csr_array(np.full(matrix().shape, 1e-3))
    member = dataclasses.replace(one.members[0], matrix=csr_array(full))
    dense = folding(dataclasses.replace(one, members=(member,)))
    point = to_coordinates(one.model, values)[None]
    np.testing.assert_allclose(
        dense.source(point), folding(one).source(point), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"known": np.ones(3)}, r"known has shape \(3,\), the counts \(40,\)"),
        ({"energy_edges": EDGES[1:]}, r"the matrix has shape \(40, 60\), not \(40, 59\)"),
        ({"background": np.ones(40)}, "a measured background needs its scale"),
        (
            {"background": np.ones(40), "scale": np.ones(40), "known": np.ones(40)},
            "either measured or known",
        ),
    ],
)
def test_members_that_do_not_fit_together_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        Member(**{"counts": np.ones(40), "matrix": matrix(), "energy_edges": EDGES, **change})
