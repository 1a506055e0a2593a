"""Trials of X-ray fits are what they say, and their summaries count right."""

import json
from dataclasses import replace

import numpy as np
import pytest

from streamfit.kernels.xray_model import MODELS
from streamfit.kernels.xray_posterior import XrayPosterior
from streamfit.tools import compare_xray_models as compare
from streamfit.tools.xray_fit_trials import CLUSTERS, asimov, narrowed, trial


def test_a_trial_is_the_same_whatever_else_is_tried():
    first, again = (trial("apec1", 3, counts=(1e3, 1e4)) for _ in range(2))
    other = trial("apec1", 4, counts=(1e3, 1e4))
    np.testing.assert_array_equal(first.task.members[0].counts, again.task.members[0].counts)
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("model", list(MODELS))
def test_trials_have_the_counts_and_parameters_wanted(model):
    one = trial(model, 1, counts=(2e4, 2e4), seed=5)
    (member,) = one.task.members
    assert one.counts == pytest.approx(2e4)
    assert member.counts.sum() == pytest.approx(2e4, abs=5 * np.sqrt(2e4))
    beside = (member.background * member.scale).sum()
    assert beside == pytest.approx(2e3, abs=5 * np.sqrt(2e3 / 8))
    for parameter, value in zip(one.task.model.parameters, one.values, strict=True):
        low, high = CLUSTERS.get(parameter.name, (parameter.low, parameter.high))
        assert low <= value <= high or "norm" in parameter.name
    source = one.task.folding().source(
        np.where(
            [part.logarithmic for part in one.task.model.parameters], np.log(one.values), one.values
        )[None]
    )
    assert source.sum() == pytest.approx(1.8e4, rel=1e-2)


def test_two_temperatures_have_the_ratio_wanted():
    for number in range(5):
        one = trial("apec2", number, counts=(1e4, 1e4), ratio=(3.0, 6.0))
        assert 3.0 <= one.values[0] / one.values[4] <= 6.0


def test_a_narrowed_model_has_another_prior_and_the_same_photons():
    model = narrowed(MODELS["apec1"], CLUSTERS)
    assert (model.parameters[0].low, model.parameters[0].high) == CLUSTERS["kT"]
    assert model.parameters[3] == MODELS["apec1"].parameters[3]
    assert model.emission is MODELS["apec1"].emission


def test_coverage_counts_the_truths_inside():
    below = [[0.5, 0.1, 0.99, 0.3], [0.2, 0.5, 0.5, 0.01]]
    rows = [
        {
            "counts": 5000.0,
            "fit": [1.0, -1.0, 2.0, 0.0],
            "drawn": {"below": row, "k_hat": 0.1},
            "broad": {"below": row, "k_hat": 0.9},
        }
        for row in below
    ]
    text = compare.coverage_summary(rows)
    assert "prior drawn: 68 % hold 62.5%, 95 % hold 75.0%" in text
    assert "k-hat under 0.7: 0.0%" in text
    assert "kT 1.000, abundance 1.000, nH 2.000, norm 0.000" in text


def test_evidence_is_counted_at_its_odds():
    rows = [{"part": 0.5, "log_odds": 5.0, "power": 1.0}]
    rows += [{"part": 0.1, "log_odds": 0.5, "power": 0.5}]
    rows += [{"part": 0.0, "log_odds": -1.0}]
    text = compare.evidence_summary(rows)
    assert "2 spectra of two temperatures: odds for two over 1: 100.0%, over 3: 50.0%" in text
    assert (
        "1 spectra of two, 30% of the counts or more of the cooler: odds for two over 1: 10" in text
    )
    assert "of those of one finds 75.0%" in text
    assert "1 spectra of one temperature: odds for two over 1: 0.0%" in text


def test_the_best_test_finds_a_bright_second_plasma_and_not_one_as_hot_as_the_first():
    bright = trial("apec2", 0, counts=(1e4, 1e4), seed=3, ratio=(3.0, 6.0))
    assert compare._power(bright) > 0.99
    values = bright.values.copy()
    values[4] = values[0]
    assert compare._power(replace(bright, values=values)) == pytest.approx(0.02, abs=0.005)


def test_the_counts_expected_are_the_mean_of_those_drawn():
    one = trial("apec1", 2, counts=(2e4, 2e4))
    (member,), (expected,) = one.task.members, asimov(one).members
    pulls = (member.counts - expected.counts) / np.sqrt(expected.counts)
    assert abs(pulls.mean()) < 3.0 / np.sqrt(pulls.size)
    assert pulls.std() == pytest.approx(1.0, abs=0.15)
    assert expected.background.sum() == pytest.approx(8 * 2e3, rel=1e-2)


def posterior(mean, sigma, evidence, evaluations):
    mean, sigma = np.array(mean), np.array(sigma)
    return XrayPosterior(
        mean, sigma, mean, mean, mean, evidence, 0.06, 0.2, 900.0, evaluations, True, mean[None]
    )


def test_runs_of_dynesty_are_put_together_and_tell_their_own_error():
    theirs = [
        posterior([1.0, 2.0], [0.3, 0.3], -5.1, 9),
        posterior([1.8, 2.0], [0.3, 0.3], -4.9, 7),
    ]
    row = compare.beside(posterior([1.4, 2.3], [0.5, 0.3], -5.0, 4), theirs)
    assert row["dynesty"] == [
        pytest.approx([1.4, 2.0]),
        pytest.approx([0.5, 0.3]),  # 0.3 of each and 0.4 between them
        pytest.approx(-5.0),
    ]
    assert row["mean"] == pytest.approx([0.0, 1.0])
    assert row["sigma"] == pytest.approx([1.0, 1.0])
    assert row["log_evidence"] == pytest.approx(0.0)
    assert row["error"] == pytest.approx(0.06 * np.sqrt(1.5))
    assert row["evaluations"] == [4, 8.0]
    text = compare.nested_summary([{**row, "model": "apec1"}])
    # The means of the first parameter lie 0.8 sigma on either side, of the second nowhere.
    assert f"dynesty's own error {0.8 / np.sqrt(2.0):.3f}" in text
    assert "dynesty's own error 0.100" in text


def test_differences_from_dynesty_are_summed_up():
    row = {
        "model": "apec1",
        "k_hat": 0.2,
        "effective": [1000.0, 9000.0],
        "mean": [0.03, -0.04],
        "sigma": [1.02, 0.98],
        "log_evidence": 0.1,
        "error": 0.1,
        "own": [[[0.0, 0.0]], [[0.0, 0.0]], [0.0]],
        "evaluations": [2000, 40_000.0],
    }
    text = compare.nested_summary([row, {**row, "model": "apec2", "mean": [0.5, 0.5]}])
    assert "2 spectra of apec1, apec2, 4 parameters" in text
    assert "1 spectra of apec2" in text
    assert "at most 0.500" in text
    assert "rms 0.035 sigma, at most 0.040" in text
    assert "within 0.2: 2" in text
    assert "20.0 times fewer; draws that count 1000 against 9000" in text
    assert "dynesty's own error nan" in text


@pytest.mark.slow
def test_the_program_writes_a_row_for_each_spectrum(tmp_path, capsys):
    for what in ("coverage", "evidence"):
        path = tmp_path / f"{what}.jsonl"
        arguments = [what, "--number", "2", "--draws", "400", "-o", str(path)]
        assert compare.main(arguments) == 0
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(rows) == 2
    text = capsys.readouterr().out
    assert "2 spectra" in text
    assert "1 spectra of two temperatures" in text
