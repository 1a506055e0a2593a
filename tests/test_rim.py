import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from streamfit.kernels.poisson import fold
from streamfit.kernels.refold import refold_cash
from streamfit.kernels.unfold import Problem
from streamfit.kernels.unfold_map import penalised_map
from streamfit.models.card import CardError, save_card
from streamfit.models.deconvolver import Deconvolved
from streamfit.models.rim import RIM, Calibration, Rim, load_prior
from streamfit.tools.rim_trials import STRANGE, draw_strange, draw_trials, invented_instruments
from streamfit.tools.spectrum_errors import BAND, coverage, errors


@pytest.fixture(scope="module")
def rim():
    return Rim()


@pytest.fixture(scope="module")
def instruments():
    return invented_instruments(6, seed=77)


def run(rim, trials):
    rows = range(len(trials))
    response = np.stack([trials.response(row) for row in rows])
    return rim.deconvolve(trials.counts, response, trials.background)


def test_it_recovers_spectra_it_has_never_seen_better_than_the_penalised_fit(rim, instruments):
    trials = draw_trials(instruments, (3e3, 1e4), 20, seed=1)
    found = run(rim, trials)
    truth = np.exp(trials.log_flux)
    ours = errors(truth, np.exp(found.log_flux))
    # The best fixed strength at these counts; the evidence, ten times as slow, gains 5 %.
    fits = [
        penalised_map(
            Problem(trials.counts[row], trials.response(row), trials.background[row]),
            strength=300.0,
        )
        for row in range(len(trials))
    ]
    theirs = errors(truth, np.array([one.flux for one in fits]))
    assert ours.smoothed.mean() < 0.8 * theirs.smoothed.mean()
    assert ours.l1.mean() < theirs.l1.mean()
    assert found.in_range.all()


@pytest.mark.parametrize("counts", [(3e2, 1e3), (1e4, 3e4)])
def test_bands_hold_about_as_many_truths_as_they_say(rim, instruments, counts):
    trials = draw_trials(instruments, counts, 40, seed=2)
    found = run(rim, trials)
    covered = coverage(trials.log_flux, found.log_flux, found.log_flux_sigma)
    # Forty spectra: the errors of one go together, which leaves 0.05 of scatter.
    assert covered[0.68] == pytest.approx(0.68, abs=0.12)
    assert covered[0.95] == pytest.approx(0.95, abs=0.06)


@pytest.mark.parametrize("counts", [(3e2, 1e3), (3e4, 1e5)])
def test_folded_again_it_agrees_with_the_counts(rim, instruments, counts):
    trials = draw_trials(instruments, counts, 16, seed=3)
    found = run(rim, trials)
    models = [
        fold(trials.response(row), np.exp(found.log_flux[row]), trials.background[row])
        for row in range(len(trials))
    ]
    given = zip(trials.counts, models, found.freedom, strict=True)
    z = np.array([replace(refold_cash(n, m), freedom=free).z for n, m, free in given])
    assert np.mean(np.abs(z) < 2.0) >= 0.9


def test_with_its_freedom_the_refolded_statistic_is_as_expected(rim, instruments):
    trials = draw_trials(instruments, (1e3, 3e4), 60, seed=10, background=False)
    found = run(rim, trials)
    refolds = [
        refold_cash(trials.counts[row], fold(trials.response(row), np.exp(found.log_flux[row])))
        for row in range(len(trials))
    ]
    freedom = found.freedom.mean()
    assert 3.0 < freedom < 30.0
    short = np.mean([one.expected - one.value for one in refolds])
    # The mean of sixty scatters by 21 / sqrt(60).
    assert short == pytest.approx(freedom, abs=8.0)


def test_the_brighter_the_more_parameters_follow_the_counts(rim, instruments):
    faint, bright = (
        run(rim, draw_trials(instruments, counts, 4, seed=11)).freedom
        for counts in ((1e2, 2e2), (1e4, 2e4))
    )
    assert (faint > 0).all()
    assert (bright > faint.max()).all()


def test_rows_do_not_depend_on_their_batch(rim, instruments):
    trials = draw_trials(instruments, (1e3, 1e5), 5, seed=4)
    together = run(rim, trials)
    for row in range(5):
        alone = rim.deconvolve(
            trials.counts[row, None], trials.response(row)[None], trials.background[row, None]
        )
        np.testing.assert_array_equal(alone.log_flux[0], together.log_flux[row])
        np.testing.assert_array_equal(alone.log_flux_sigma[0], together.log_flux_sigma[row])


def test_a_longer_exposure_with_the_same_counts_means_a_fainter_source(rim, instruments):
    trials = draw_trials(instruments, (1e3, 1e4), 3, seed=5)
    response = np.stack([trials.response(row) for row in range(3)])
    short, long = (
        rim.deconvolve(trials.counts, exposure * response, trials.background)
        for exposure in (1.0, 8e4)
    )
    np.testing.assert_allclose(long.log_flux + np.log(8e4), short.log_flux, atol=2e-3)
    np.testing.assert_allclose(long.log_flux_sigma, short.log_flux_sigma, rtol=5e-3)


def test_single_precision_is_enough(rim, instruments):
    trials = draw_trials(instruments, (1e3, 1e4), 2, seed=6)
    response = np.stack([trials.response(row) for row in range(2)])
    double = rim.deconvolve(trials.counts, response, trials.background)
    single = rim.deconvolve(trials.counts, response.astype(np.float32), trials.background)
    np.testing.assert_allclose(single.log_flux, double.log_flux, atol=1e-4)


def test_what_cannot_be_deconvolved_is_nan_and_out_of_range(rim, instruments):
    trials = draw_trials(instruments, (1e3, 1e4), 6, seed=7, background=False)
    response = np.stack([trials.response(row) for row in range(6)])
    counts, background = trials.counts.copy(), trials.background.copy()
    counts[0], response[1], counts[2, 5], background[3, 7] = 0.0, 0.0, -1.0, np.nan
    response[4, 3, 9] = np.inf
    found = rim.deconvolve(counts, response, background)
    assert np.isnan(found.log_flux[:5]).all()
    assert np.isnan(found.log_flux_sigma[:5]).all()
    np.testing.assert_array_equal(found.in_range, [False] * 5 + [True])
    np.testing.assert_array_equal(np.isnan(found.freedom), [True] * 5 + [False])
    assert np.isfinite(found.log_flux[5]).all()


def test_too_few_counts_and_too_much_background_are_out_of_range(rim, instruments):
    faint = draw_trials(instruments, (20.0, 25.0), 2, seed=8, background=False)
    found = run(rim, faint)
    assert not found.in_range.any()
    assert np.isfinite(found.log_flux).all()
    bright = draw_trials(instruments, (1e3, 1e3 + 1), 2, seed=8, background=False)
    drowned = bright.counts + 3.0 * bright.counts.mean()
    known = np.full_like(drowned, 3.0 * bright.counts.mean())
    response = np.stack([bright.response(row) for row in range(2)])
    assert not rim.deconvolve(np.rint(drowned), response, known).in_range.any()


@pytest.mark.parametrize("name", STRANGE)
def test_where_the_prior_is_wrong_the_refold_or_wider_bands_say_so(rim, instruments, name):
    trials = draw_strange(instruments[0], name, 3e4, 6, seed=9)
    usual = draw_trials(instruments[:1], (2.9e4, 3.1e4), 20, seed=9, background=False)
    found, normal = run(rim, trials), run(rim, usual)
    far = np.abs(found.log_flux - trials.log_flux)[:, BAND].mean(axis=1)
    models = (
        fold(trials.response(row), np.exp(found.log_flux[row]), trials.background[row])
        for row in range(6)
    )
    z = np.array([refold_cash(n, m).z for n, m in zip(trials.counts, models, strict=True)])
    wide = found.log_flux_sigma[:, BAND].mean(axis=1)
    typical = normal.log_flux_sigma[:, BAND].mean()
    wrong = far > 4.0 * typical
    assert ((z > 2.0) | (wide > 1.5 * typical))[wrong].all()


def test_shapes_off_the_working_grid_are_refused(rim):
    with pytest.raises(ValueError, match=r"response has shape \(1, 200, 256\), the network takes"):
        rim.deconvolve(np.zeros((1, 222)), np.zeros((1, 200, 256)), np.zeros((1, 222)))
    with pytest.raises(ValueError, match="log_flux has shape"):
        Deconvolved(np.zeros((2, 5)), np.zeros((2, 4)), np.ones(2, dtype=bool), np.ones(2))


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path):
    path = tmp_path / "rim.onnx"
    with pytest.raises(CardError, match=r"rim.onnx: no card rim.json"):
        Rim(weights=path)
    shutil.copy(RIM, path)
    shutil.copy(RIM.with_suffix(".json"), tmp_path)
    with pytest.raises(CardError, match=r"rim_prior.npz: no card rim_prior.json"):
        Rim(weights=path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CardError, match=r"rim.onnx: SHA-256 is"):
        Rim(weights=path)


def test_a_card_without_calibration_is_refused(rim, tmp_path):
    path = tmp_path / "rim.onnx"
    shutil.copy(RIM, path)
    where = save_card(path, rim.card)
    held = json.loads(where.read_text())
    held["calibration"].pop("temperature")
    where.write_text(json.dumps(held))
    for name in ("rim_prior.npz", "rim_prior.json"):
        shutil.copy(RIM.with_name(name), tmp_path)
    with pytest.raises(CardError, match=r"rim.json: no 'temperature'; install it again"):
        Rim(weights=path)


def test_the_temperature_is_interpolated_in_the_logarithm_of_counts(rim):
    calibration = Calibration(rim.card)
    at = rim.card.calibration["log10_counts"]
    values = rim.card.calibration["temperature"]
    middle = 10.0 ** (0.5 * (at[2] + at[3]))
    assert calibration.temperature(middle) == pytest.approx(0.5 * (values[2] + values[3]))
    assert calibration.temperature(0.0) == values[0]
    assert calibration.temperature(1e9) == values[-1]
    assert calibration.freedom(0.0) == rim.card.calibration["freedom"][0]


def test_the_graph_is_small_and_takes_batches_of_any_size(rim):
    assert RIM.stat().st_size < 5e6
    session, prior = rim._session, load_prior(RIM)
    components = prior.basis.shape[1]
    for size in (1, 3):
        feed = {
            "counts": np.ones((size, 222), np.float32),
            "response": np.full((size, 222, 256), 0.1, np.float32),
            "background": np.zeros((size, 222), np.float32),
            "start": np.zeros((size, 256), np.float32),
            "spread": np.repeat(np.eye(components, dtype=np.float32)[None], size, 0),
        }
        log_flux, log_sigma = session.run(None, feed)
        assert log_flux.shape == log_sigma.shape == (size, 256)
