import json
import shutil

import numpy as np
import pytest

from streamfit.models.card import load_card
from streamfit.models.rim import RIM
from streamfit.tools import rim_comparison, rim_methods
from streamfit.tools.compare_rim import main, record
from streamfit.tools.rim_trials import draw_trials, invented_instruments
from streamfit.tools.spectrum_errors import BAND, WIDTHS, coverage, errors


def test_the_truth_has_no_error_and_a_factor_has_its_own():
    truth = np.exp(np.random.default_rng(1).normal(size=(3, 256)))
    assert max(errors(truth, truth)[0]) == 0.0
    found = errors(truth, 1.2 * truth)
    np.testing.assert_allclose(found.l1, 0.2)
    np.testing.assert_allclose(found.smoothed, 0.2)


def test_smoothing_forgives_what_no_ccd_resolves():
    truth = np.full((1, 256), 2.0) / WIDTHS
    wiggly = truth * (1.0 + 0.5 * (-1.0) ** np.arange(256))
    found = errors(truth, wiggly)
    assert found.l1[0] == pytest.approx(0.5)
    assert found.smoothed[0] < 0.01


def test_coverage_is_that_of_a_normal_distribution():
    rng = np.random.default_rng(2)
    truth, sigma = rng.normal(size=(400, 256)), np.full((400, 256), 0.3)
    found = coverage(truth, truth + 0.3 * rng.normal(size=truth.shape), sigma)
    assert found[0.68] == pytest.approx(0.683, abs=0.005)
    assert found[0.95] == pytest.approx(0.950, abs=0.003)


def test_errors_are_taken_within_the_band_alone():
    truth = np.ones((1, 256))
    found = np.where(BAND, truth, 100.0)
    assert errors(truth, found).l1[0] == 0.0


def test_one_seed_gives_the_same_sources_behind_any_response():
    one, other = (
        draw_trials(invented_instruments(3, seed=seed), (1e3, 3e3), 4, seed=5) for seed in (1, 2)
    )
    shapes = [
        trials.log_flux - trials.log_flux.mean(axis=1, keepdims=True) for trials in (one, other)
    ]
    np.testing.assert_allclose(shapes[0], shapes[1], atol=1e-9)
    assert not np.array_equal(one.counts, other.counts)


@pytest.mark.slow
def test_a_comparison_makes_its_tables_its_figures_and_its_picture(
    shared_data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(rim_comparison, "DECADES", ((3e3, 1e4),))
    monkeypatch.setattr(rim_comparison, "FAINT", (500.0,))
    monkeypatch.setattr(rim_comparison, "_FOR_INVERSE", 2)
    monkeypatch.setattr(rim_comparison, "STRANGE", ("tenfold step",))
    monkeypatch.setattr(rim_methods, "STRENGTHS", (300.0,))
    monkeypatch.setattr(rim_methods, "EM_STEPS", (5,))
    figures, picture = tmp_path / "rim.json", tmp_path / "rim.png"
    given = ["--size", "4", "--json", str(figures), "--picture", str(picture)]
    main([str(shared_data / "xray"), *given])
    assert "Clusters, a response never seen" in capsys.readouterr().out
    found = json.loads(figures.read_text())
    scores = {one["method"]: one for one in found["clusters"][0]["scores"]}
    assert scores["RIM"]["smoothed"] < scores["Tikhonov"]["smoothed"]
    assert scores["plain inverse"]["smoothed"] > 10.0
    assert scores["plain inverse"]["refold_z"] is None
    assert found["clusters"][0]["condition_number"] > 1e8
    assert picture.stat().st_size > 20_000
    again = tmp_path / "again.json"
    given = ["--size", "4", "--earlier", str(figures), "--json", str(again)]
    main([str(shared_data / "xray"), *given])
    assert json.loads(again.read_text()) == found
    with pytest.raises(ValueError, match="the earlier comparison has size 4, not 5"):
        main([str(shared_data / "xray"), "--size", "5", "--earlier", str(figures)])
    path = tmp_path / "rim.onnx"
    shutil.copy(RIM, path)
    shutil.copy(RIM.with_suffix(".json"), tmp_path)
    record(found, path)
    measured = load_card(path).measured
    assert measured["clusters"][0]["smoothed"] == scores["RIM"]["smoothed"]
    assert measured["observations"] == 4
