"""What is said of a run is true of a run whose errors are known."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamfit.io.errors import InputError
from streamfit.io.results import FitStatus
from streamfit.tools import compare as program
from streamfit.tools.agreement import WRONG_KMS, compare
from streamfit.tools.pull_plot import draw_pulls
from streamfit.tools.truth_plot import draw_against_truth

SIDE = 100
ERRORS = {
    "velocity": 2.0,
    "broadening": 3.0,
    "continuum": 0.1,
    "Halpha_flux": 0.5,
    "Halpha_amplitude": 0.2,
}


def tables(*, width: float = 1.0, offset: float = 0.0, change=None) -> tuple[pa.Table, pa.Table]:
    """A run that misses its truth by `offset` + `width` N(0, 1) errors, in another order."""
    rng = np.random.default_rng(8)
    x, y = (axis.ravel().astype(np.int32) for axis in np.mgrid[:SIDE, :SIDE])
    n = x.size
    truth = {"x": x, "y": y, "snr": 10 ** rng.uniform(np.log10(3), 2, n), "bad": np.full(n, "")}
    run = {
        "x": x,
        "y": y,
        "status": np.zeros(n, np.int32),
        "chi2": rng.chisquare(300, n),
        "dof": np.full(n, 300, np.int32),
    }
    for name, error in ERRORS.items():
        truth[name] = rng.uniform(20, 90, n)
        run[name] = truth[name] + error * (offset + width * rng.standard_normal(n))
        run[f"{name}_err"] = np.full(n, error)
    if change:
        change(run, truth)
    order = rng.permutation(n)
    return pa.table({name: column[order] for name, column in run.items()}), pa.table(truth)


def test_honest_errors_have_pulls_of_unit_width_and_full_coverage():
    quantities, detection = compare(*tables()).above(10)
    for name, error in ERRORS.items():
        q = quantities[name]
        assert q.n == detection.n > 6000
        # 6500 rows: 1.2 % of a width in the median, 1.4 % in a robust width, 0.6 % in a share.
        assert q.pull_median == pytest.approx(0, abs=0.05)
        assert q.pull_width == pytest.approx(1, abs=0.05)
        assert q.pull_half68 == pytest.approx(1, abs=0.05)
        assert q.within_1 == pytest.approx(0.683, abs=0.02)
        assert q.within_2 == pytest.approx(0.95, abs=0.01)
        assert q.scatter == pytest.approx(error, rel=0.05)
    assert detection.chi2_dof == pytest.approx(1, abs=0.01)
    assert detection.undetected == detection.flagged == detection.wrong == 0


def test_a_bias_and_errors_too_small_are_seen():
    quantities, _ = compare(*tables(width=1.5, offset=0.3)).above(10)
    q = quantities["velocity"]
    assert q.bias == pytest.approx(0.6, abs=0.1)
    assert q.pull_median == pytest.approx(0.3, abs=0.05)
    assert q.pull_width == pytest.approx(1.5, abs=0.08)
    assert q.within_1 < 0.55


def test_rows_are_matched_by_position_not_by_order():
    fitted, truth = tables(width=1e-6)
    quantities, _ = compare(fitted.slice(0, 700), truth).above(10)
    assert quantities["velocity"].scatter < 1e-4


def test_a_wrong_velocity_counts_whether_flagged_or_not():
    def change(run, truth):
        truth["snr"][:] = 20.0
        run["velocity"][:100] = truth["velocity"][:100] + WRONG_KMS + 5
        run["status"][:60] = int(FitStatus.SEEDS_DISAGREE)

    _, detection = compare(*tables(change=change)).above(5)
    assert detection.n == SIDE**2
    assert detection.wrong == pytest.approx(0.01)
    assert detection.wrong_unflagged == pytest.approx(40 / (SIDE**2 - 60))
    assert detection.flagged == pytest.approx(0.006)


def test_undetected_rows_are_counted_and_left_out():
    def change(run, truth):
        truth["snr"][:] = 20.0
        run["status"][:500] = int(FitStatus.NO_SIGNAL)
        run["velocity"][:500] = 9e9

    quantities, detection = compare(*tables(change=change)).above(10)
    assert detection.undetected == pytest.approx(0.05)
    assert detection.wrong == 0
    assert quantities["velocity"].n == SIDE**2 - 500


def test_hopeless_spectra_are_not_held_against_the_run_but_gaps_are():
    def change(run, truth):
        truth["snr"][:] = 20.0
        truth["bad"] = np.where(np.arange(SIDE**2) < 300, "cosmic", "gaps")
        run["velocity"][:300] = np.nan

    _, detection = compare(*tables(change=change)).above(10)
    assert detection.n == SIDE**2 - 300


def test_rows_without_a_value_or_an_error_are_left_out_of_pulls():
    def change(run, truth):
        truth["snr"][:] = 20.0
        run["broadening"][:10] = np.nan
        run["broadening_err"][10:30] = np.nan
        run["broadening_err"][30:35] = 0.0

    quantities, _ = compare(*tables(change=change)).above(10)
    assert quantities["broadening"].n == SIDE**2 - 35


def test_a_run_of_another_cube_is_refused():
    fitted, truth = tables()
    moved = fitted.set_column(0, "x", pa.array(fitted["x"].to_numpy() + 1000))
    with pytest.raises(InputError, match="none of the run's 10000 spaxels is among the 10000"):
        compare(moved, truth)
    with pytest.raises(InputError, match="share no line"):
        compare(fitted.drop_columns(["Halpha_flux"]), truth)


@pytest.fixture
def run_and_truth(tmp_path, monkeypatch):
    """A run directory whose table is ours; how tables lie on disk is tested elsewhere."""
    fitted, truth = tables()
    monkeypatch.setattr(program, "read_table", lambda folder: fitted)
    pq.write_table(truth, tmp_path / "truth.parquet")
    return tmp_path / "run", tmp_path / "truth.parquet"


def test_the_program_prints_tables_or_json_and_draws(run_and_truth, tmp_path, capsys):
    run, truth = (str(path) for path in run_and_truth)
    assert program.main([run, truth, "--picture", str(tmp_path / "pulls.png")]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "Halpha_flux" in printed
    assert "chi2/dof" in printed
    assert (tmp_path / "pulls.png").stat().st_size > 10_000
    assert program.main([run, truth, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"name", "snr", "pull_width", "within_2"} <= found["quantities"][0].keys()
    assert found["detections"][-1]["snr"] == [10.0, None]


def test_the_program_names_a_truth_that_is_not_there(run_and_truth, capsys):
    assert program.main([str(run_and_truth[0]), "nowhere.parquet"]) == 2
    assert "nowhere.parquet" in capsys.readouterr().err


def test_a_report_shows_good_rows_and_draws_the_field(run_and_truth, tmp_path):
    program.report(*run_and_truth, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 30_000


def test_pictures_bear_a_field_that_is_half_empty(tmp_path):
    def change(run, truth):
        run["status"][: SIDE**2 // 2] = int(FitStatus.NO_DATA)
        for name in ERRORS:
            run[name][: SIDE**2 // 2] = np.nan

    fitted, truth = tables(change=change)
    draw_against_truth(fitted, truth, "Halpha", tmp_path / "demo.png")
    draw_pulls(compare(fitted, truth).pulls, tmp_path / "pulls.png")
    assert (tmp_path / "demo.png").exists()
