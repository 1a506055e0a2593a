import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import truncnorm

from streamfit.kernels.gaussian_mixture import GaussianMixture
from streamfit.kernels.xray_features import FEATURES, TOLD
from streamfit.models.card import CardError
from streamfit.models.plasma_table import load_plasma
from streamfit.models.rim import Rim
from streamfit.models.xray_mdn import (
    COLUMN,
    COORDINATES,
    GRAPH,
    NORM,
    ONE,
    OUTPUTS,
    TWO,
    Calibration,
    XrayNetwork,
    density_of,
)
from streamfit.tools.compare_xray_mdn import COUNTS, figures, predict, ranks_within
from streamfit.tools.xray_batches import Simulator
from streamfit.tools.xray_clusters import TESTED
from streamfit.tools.xray_responses import invented
from streamfit.tools.xray_shards import draw_shard, joined

COLUMNS = "bias", "sigma", "inside_68", "inside_95", "uneven"  # of the table of accuracy
EVEN = 0.04  # distance of the ranks from even ones that the page admits to


@pytest.fixture(scope="module")
def network():
    return XrayNetwork()


@pytest.fixture(scope="module")
def shard():
    """Deconvolved clusters, 60 of one plasma and 60 of two, of one made-up response."""
    rng = np.random.default_rng(41)
    simulator = Simulator(load_plasma(), (), rng, keep=0)
    used, rim = [invented(rng)], Rim()
    return joined(
        [
            draw_shard(rim, simulator, instruments=used, each=60, ranges=TESTED, plasmas=plasmas)
            for plasmas in (1, 2)
        ]
    )


def told(shard, **changed):
    column = shard.truth[:, COLUMN].astype(np.float64)
    values = {
        "counts": shard.counts,
        "background": shard.background,
        "redshift": shard.redshift,
        "column": column,
        "column_sigma": np.full(len(column), 0.1),
    }
    return {**values, **changed}


def test_the_graph_is_small_and_its_card_says_what_it_is(network):
    assert GRAPH.stat().st_size < 5e6
    card = network.card
    assert card.licence == "BSD-3-Clause"
    assert card.training["digest"]
    assert card.inputs[0].shape == ("observation", FEATURES)
    assert card.outputs[0].shape == ("observation", OUTPUTS)
    assert network.provider == "CPUExecutionProvider"


def test_it_was_trained_on_the_machine_that_is_shipped(network):
    assert network.card.training["rim"] == Rim().card.sha256


@pytest.mark.parametrize(
    ("changed", "match"), [({"sha256": "0" * 64}, "SHA-256"), ({"calibration": {}}, "no 'log_c")]
)
def test_a_card_that_does_not_fit_is_refused(tmp_path, changed, match):
    other = tmp_path / "xray_mdn.onnx"
    shutil.copy(GRAPH, other)
    card = json.loads(GRAPH.with_suffix(".json").read_text())
    other.with_suffix(".json").write_text(json.dumps({**card, **changed}))
    with pytest.raises(CardError, match=match):
        XrayNetwork(graph=other)


def test_a_row_is_the_same_to_the_last_bit_in_any_company(network, shard):
    whole = network.density(shard.log_flux, shard.sigma, **told(shard))
    few = shard.part(np.array([70, 3]))
    part = network.density(few.log_flux, few.sigma, **told(few))
    for name in ("weights", "mean", "covariance"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[[70, 3]])


def test_densities_are_densities(network, shard):
    density = network.density(shard.log_flux, shard.sigma, **told(shard))
    assert density.mean.shape == (120, ONE + TWO, len(COORDINATES))
    for one in (density, density.one, density.two):
        np.testing.assert_allclose(one.weights.sum(axis=1), 1)
        assert (np.linalg.eigvalsh(one.covariance) > 0).all()
    np.testing.assert_allclose(density.weights[:, ONE:].sum(axis=1), density.second)


def test_norm_follows_the_flux_and_nothing_else_does(network, shard):
    first = network.density(shard.log_flux, shard.sigma, **told(shard))
    brighter = network.density(shard.log_flux + 5.0, shard.sigma, **told(shard))
    moved = brighter.mean - first.mean
    np.testing.assert_allclose(moved[..., NORM], 5.0, atol=2e-3)
    np.testing.assert_allclose(np.delete(moved, NORM, axis=2), 0.0, atol=2e-3)


def test_a_column_that_is_told_is_believed(network, shard):
    free = network.density(
        shard.log_flux, shard.sigma, **told(shard, column=np.full(120, np.nan))
    ).one.moments()[1]
    known = network.density(shard.log_flux, shard.sigma, **told(shard)).one.moments()[1]
    assert np.median(known[:, COLUMN]) < 0.12
    assert np.median(free[:, COLUMN]) > 2 * np.median(known[:, COLUMN])


def test_spectra_that_are_not_known_give_nan_and_are_out_of_range(network, shard):
    broken = shard.log_flux.copy()
    broken[5] = np.nan
    density = network.density(broken, shard.sigma, **told(shard))
    assert np.isnan(density.moments()[0][5]).all()
    assert np.isfinite(density.moments()[0][:5]).all()
    assert network.out_of_range(broken, shard.sigma, **told(shard))[5]


def test_what_the_network_never_saw_is_told(network, shard):
    assert network.out_of_range(shard.log_flux, shard.sigma, **told(shard)).mean() < 0.03
    for changed in ({"redshift": np.full(120, 3.0)}, {"counts": np.full(120, 5e7)}):
        assert network.out_of_range(shard.log_flux, shard.sigma, **told(shard, **changed)).all()


def test_outputs_become_the_gaussians_that_the_module_describes():
    rng = np.random.default_rng(3)
    outputs = np.zeros((1, OUTPUTS), np.float32)
    outputs[0, 0] = np.log(3.0)  # a second plasma is three times as likely
    one = outputs[:, 1 : 1 + ONE * 15].reshape(ONE, 15)
    one[1:, 0] = -50.0
    m, log_s = [1.0, 0.4, -0.5, 0.2], [-1.0, -0.5, 0.3, -2.0]
    t = [0.5, -0.3, 0.8, 0.2, -0.6, 0.7]
    one[0] = [0.0, *m, *log_s, *t]
    features = np.zeros((1, FEATURES), np.float32)
    features[0, TOLD:] = 1.0, np.log(0.2), np.log(0.1)
    e, y = rng.standard_normal((4, 400_000)), np.zeros((4, 400_000))
    at = 0
    for i in range(4):
        y[i] = m[i] + np.exp(log_s[i]) * e[i]
        for j in range(i):
            y[i] += t[at + j] * (y[j] - m[j])
        at += i
    y[COLUMN] = np.log(0.2) + 0.1 * y[COLUMN]
    y[NORM] += -9.0
    density = density_of(outputs, features, np.array([-9.0]))
    found = density.one
    np.testing.assert_allclose(density.second, 0.75)
    np.testing.assert_allclose(found.moments()[0][0], y.mean(axis=1), atol=0.01)
    np.testing.assert_allclose(found.covariance[0, 0], np.cov(y), atol=0.02, rtol=0.02)
    # One plasma says nothing of a second one.
    np.testing.assert_allclose(density.mean[0, 0, 4:], [m[0] - 0.7, np.log(0.01)], rtol=1e-6)
    assert density.covariance[0, 0, 5, 5] == pytest.approx(0.09)
    assert density.covariance[0, 0, 4, 4] == pytest.approx(np.exp(-2.0) + 0.49)


def test_calibration_widens_and_moves_by_counts_and_keeps_correlations():
    nothing, table = np.zeros((2, 4)), np.array([[0.0] * 6, [0.6] * 6])
    bias = np.array([[0.0] * 6, [0.4] * 6])
    found = Calibration(np.log([100.0, 1e4]), nothing, table, nothing, bias)
    root = np.random.default_rng(5).standard_normal((2, 1, 6, 6))
    given = GaussianMixture(np.ones((2, 1)), np.zeros((2, 1, 6)), root @ np.swapaxes(root, 2, 3))
    wide = found.apply(2, given, np.array([100.0, 1e3]))
    np.testing.assert_allclose(wide.covariance[0], given.covariance[0])
    np.testing.assert_allclose(wide.mean[0], 0.0)
    np.testing.assert_allclose(wide.covariance[1], np.exp(0.6) * given.covariance[1])
    np.testing.assert_allclose(wide.mean[1], -0.2 * wide.moments()[1][1:])


def test_calibration_keeps_the_shape_of_a_density():
    rng = np.random.default_rng(8)
    root = rng.standard_normal((1, 3, 4, 4))
    given = GaussianMixture(
        np.array([[0.5, 0.3, 0.2]]), rng.normal(0.0, 3.0, (1, 3, 4)), root @ np.swapaxes(root, 2, 3)
    )
    log_factor, bias = np.array([0.4, -0.3, 0.0, 0.2]), np.array([0.1, 0.0, -0.2, 0.3])
    one, two = np.stack([log_factor] * 2), np.zeros((2, 6))
    found = Calibration(np.log([1e2, 1e4]), one, two, np.stack([bias] * 2), two)
    moved = found.apply(1, given, np.array([500.0]))
    mean, sigma = given.moments()
    wide = np.exp(log_factor) * sigma
    np.testing.assert_allclose(moved.moments()[1], wide)
    for step in (-1.5, 0.2, 2.0):
        there = moved.cdf(mean + step * wide - bias * wide)
        np.testing.assert_allclose(there, given.cdf(mean + step * sigma), atol=1e-12)


def test_ranks_within_ranges_are_those_of_the_cut_density():
    mean, sigma = np.array([0.1, 0.9, -2.0, 0.0]), np.array([0.6, 0.3, 1.0, 0.5])
    density = GaussianMixture(np.ones((1, 1)), mean[None, None], np.diag(sigma**2)[None, None])
    truth = mean + np.array([0.2, -0.4, 1.0, 0.3]) * sigma
    low = np.array([np.log(TESTED.kT[0]), TESTED.abundance[0], np.log(TESTED.nH[0]), -np.inf])
    high = np.array([np.log(TESTED.kT[1]), TESTED.abundance[1], np.log(TESTED.nH[1]), np.inf])
    wanted = truncnorm.cdf(truth, (low - mean) / sigma, (high - mean) / sigma, mean, sigma)
    rng = np.random.default_rng(2)
    found = [ranks_within(TESTED, density, truth[None], rng)[0] for _ in range(50)]
    # Fifty times some five hundred draws: 0.003.
    np.testing.assert_allclose(np.mean(found, axis=0), wanted, atol=0.012)


def test_truths_lie_where_they_should(network, shard):
    for plasmas in (1, 2):
        for one in figures(predict(network, shard, plasmas, seed=1)):
            # Sixty clusters: three standard errors of a mean pull, and of a part of 95 %.
            assert abs(one.bias) < 0.2 + 3 / np.sqrt(60)
            assert one.inside_95 > 0.95 - 3 * 0.028
    probability = network.density(shard.log_flux, shard.sigma, **told(shard)).second
    assert probability[60:].mean() > probability[:60].mean() + 0.15


def test_what_was_measured_of_it_holds_on_every_range_of_counts(network):
    measured = network.card.measured
    assert measured["clusters"] >= 10_000
    for row in measured["rows"]:
        for one in row["figures"]:
            assert abs(one["bias"]) < 0.2, (row["plasmas"], row["column"], row["counts"], one)
    everything = [row for row in measured["rows"] if row["counts"] == [COUNTS[0], COUNTS[-1]]]
    assert len(everything) == 4
    for row in everything:
        for one in row["figures"]:
            assert one["uneven"] < EVEN, (row["plasmas"], row["column"], one)


def test_the_table_of_accuracy_is_what_the_card_measured(network):
    page = (Path(__file__).parents[1] / "docs" / "xray-accuracy.md").read_text()
    table = page.partition("<!-- figures: xray mdn -->\n")[2].partition("\n<!-- end")[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert len(found) == 11
    named = {("one", "told"): 1, ("one, column free", "free"): 1, ("two", "told"): 2}
    for plasmas, counts, clusters, *cells in found:
        (column, number) = next((key[1], n) for key, n in named.items() if key[0] == plasmas)
        row = next(
            row
            for row in network.card.measured["rows"]
            if (row["plasmas"], row["column"]) == (number, column) and labelled(row) == counts
        )
        assert int(clusters.replace(",", "")) == row["figures"][0]["n"]
        for cell, name in zip(cells, COLUMNS, strict=True):
            wanted = [one[name] for one in row["figures"][:4]]
            # Written with two digits at least.
            told = [float(number) for number in cell.split(", ")]
            np.testing.assert_allclose(told, wanted, rtol=0.05, atol=0.0051)


def labelled(row):
    """Name the counts of a row as the table does."""
    low, high = row["counts"]
    if [low, high] == [COUNTS[0], COUNTS[-1]]:
        return "all"
    return " to ".join(f"{one / 1000:g}k" if one >= 1000 else f"{one:g}" for one in (low, high))
