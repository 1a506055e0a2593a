"""Whole processes of ``stream-fit xray``: killed and resumed, and their peak memory."""

import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from peak_memory import COMMAND, peak_of

from streamfit.io.table import read_table
from streamfit.stream.cli import main
from streamfit.stream.directory import RunDirectory
from streamfit.tools.simulate_xray import simulate
from streamfit.tools.xray_plan import XrayPlan

pytestmark = pytest.mark.slow


def test_a_killed_run_resumes_to_the_same_table(tmp_path):
    plan = XrayPlan(tmp_path / "data", number=48, counts=(1e3, 1e4), responses=2)
    simulate(plan)
    files = [str(path) for path in sorted(plan.folder.glob("obs*.pi"))]
    words = [
        "xray",
        *files,
        "--no-fit",
        "--method",
        "tikhonov",
        "--threads",
        "1",
        "--no-tui",
        "--batch",
        "1",
    ]
    assert main([*words, "-o", str(tmp_path / "whole")]) == 0
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words, "-o", str(run)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not list(run.glob("deconvolve/part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = sum(pq.read_metadata(path).num_rows for path in run.glob("deconvolve/*.parquet"))
    assert 0 < done < 48
    assert RunDirectory(run).status()["state"] == "killed"
    assert main(["resume", str(run), "--no-tui"]) == 0
    tables = [read_table(folder / "deconvolve") for folder in (run, tmp_path / "whole")]
    assert tables[0].schema == tables[1].schema
    assert str(tables[0].to_pylist()) == str(tables[1].to_pylist())


@pytest.mark.parametrize("stage", ["deconvolve", "fit"])
def test_a_run_of_both_stages_killed_in_either_resumes_to_the_same_tables(tmp_path, stage):
    # A part holds 16 batches: some are left to kill, and few enough are fitted twice.
    number = {"deconvolve": 30, "fit": 18}[stage]
    plan = XrayPlan(
        tmp_path / "data", number=number, counts=(300, 1e3), responses=2, models=("powerlaw",)
    )
    simulate(plan)
    files = [str(path) for path in sorted(plan.folder.glob("obs*.pi"))]
    words = ["xray", *files, "--method", "richardson-lucy", "--model", "powerlaw"]
    words += ["--bayes"] if stage == "fit" else []
    words += ["--threads", "1", "--no-tui", "--batch", "1"]
    assert main([*words, "-o", str(tmp_path / "whole")]) == 0
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words, "-o", str(run)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not list(run.glob(f"{stage}/part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = sum(pq.read_metadata(path).num_rows for path in run.glob(f"{stage}/*.parquet"))
    assert 0 < done < number
    status = RunDirectory(run).status()
    assert (status["state"], status["stage"]) == ("killed", stage)
    assert main(["resume", str(run), "--no-tui"]) == 0
    for name in ("deconvolve", "fit"):
        tables = [read_table(folder / name) for folder in (run, tmp_path / "whole")]
        assert tables[0].schema == tables[1].schema
        assert str(tables[0].to_pylist()) == str(tables[1].to_pylist())


def test_memory_is_flat_from_50_to_1000_observations_with_large_images(tmp_path):
    plan = XrayPlan(tmp_path / "data", number=20, counts=(1e3, 1e4), responses=20, image=1024)
    simulate(plan)
    peaks = []
    for number in (50, 1000):
        files = []
        for index in range(number):
            link = plan.folder / f"n{number:04d}_{index:04d}.pi"
            os.link(plan.folder / f"obs{index % 20:04d}.pi", link)
            files.append(str(link))
        # Of two threads each has an arena of malloc's, which fill as chance has it.
        run = ("-o", str(tmp_path / f"run{number}"), "--no-tui", "--threads", "1")
        peaks.append(peak_of("xray", *files, "--method", "isis", "--no-fit", *run))
        assert read_table(tmp_path / f"run{number}" / "deconvolve").num_rows == number
    assert peaks[1] <= 1.1 * peaks[0]
    assert peaks[1] < 600e6
