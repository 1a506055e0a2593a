"""Folding of many sources at once against the plain functions, and the score against slopes."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_array
from xray_cases import CHANNELS, EDGES, USUAL, expected, matrix, task

from streamfit.kernels.likelihood import cash, w_statistic
from streamfit.kernels.plasma import rebin
from streamfit.kernels.xray_fold import Folding, Member, observed
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
    """With twenty counts a channel beside, every channel has a background of its own: W."""
    one, values = task(background=2.0)
    other, _ = task(seed=4)
    known = dataclasses.replace(other.members[0], known=np.full(40, 3.0))
    both = dataclasses.replace(one, members=(*one.members, known))
    made, source = folding(both), expected("apec1", values)
    (member,) = one.members
    plain = w_statistic(member.counts, source, member.background, member.scale).sum()
    plain += cash(known.counts, source + 3.0).sum()
    point = to_coordinates(one.model, values)[None]
    assert made.statistic(made.source(point))[0] == pytest.approx(plain, rel=1e-9)
    assert made.log_likelihood(point)[0] == pytest.approx(-0.5 * plain, rel=1e-9)


@pytest.mark.parametrize("background", [0.0, 0.02, 2.0])
def test_the_curvature_has_the_slope_of_the_likelihood(background):
    one, values = task(background=background)
    made = folding(one)
    source = made.source(to_coordinates(one.model, values)[None])
    direction = np.zeros((1, 3, 40))
    for place, channel in enumerate((7, 20, 35)):
        direction[0, place, channel] = source[0, channel]
    _, rise = made.curvature(source, direction)
    for place in range(3):
        moved = source + np.array([[-1e-4], [1e-4]]) * direction[:, place]
        low, high = -0.5 * made.statistic(moved)
        assert rise[0, place] == pytest.approx((high - low) / 2e-4, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("background", [0.02, 0.3, 2.0])
def test_the_information_is_the_variance_of_the_slope(background):
    one, values = task(background=background, counts=4000.0)
    (member,) = one.members
    generator, found = np.random.default_rng(1), []
    beside = background * 4000.0 / 40
    true = expected("apec1", values)
    slope = np.stack([true, true * np.linspace(-1.0, 1.0, 40)])[None]
    for _ in range(400):
        drawn = dataclasses.replace(
            member,
            counts=generator.poisson(true + beside).astype(float),
            background=generator.poisson(np.full(40, beside / member.scale)).astype(float),
        )
        made = folding(dataclasses.replace(one, members=(drawn,)))
        information, rise = made.curvature(true[None], slope)
        found.append((information[0], rise[0]))
    mean = np.mean([one for one, _ in found], axis=0)
    # 400 draws tell a variance to 7 %.
    np.testing.assert_allclose(np.cov(np.array([one for _, one in found]).T), mean, rtol=0.25)


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
