"""Peak resident memory of whole processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from peak_memory import peak_of

from streamfit.stream.cli import main

TOY = Path(__file__).with_name("toy_stage.py")
MEBI = 2**20


def peak(folder, **options):
    """Run a toy in a process of its own; give its peak [bytes]."""
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, str(TOY), "start", str(folder), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize("bound", [384 * MEBI, 768 * MEBI])
def test_the_bound_holds_for_the_whole_process(tmp_path, bound):
    # 4000 channels in double precision: 131 MB are streamed with each bound.
    used = peak(tmp_path / "run", spaxels=4096, channels=4000, batch=0, memory=bound)
    assert used <= bound


def test_a_cube_four_times_as_large_takes_no_more_memory(tmp_path):
    options = {"channels": 2000, "batch": 256, "memory": 768 * MEBI}
    small = peak(tmp_path / "small", spaxels=6_000, **options)
    large = peak(tmp_path / "large", spaxels=24_000, **options)
    assert large <= 1.1 * small


def test_a_bound_below_the_program_itself_is_refused_in_one_line(tmp_path):
    words = ["--memory", str(64 * MEBI)]
    done = subprocess.run(
        [sys.executable, str(TOY), "start", str(tmp_path / "run"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--memory 64MiB is too small" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_takes_no_more_memory_for_a_cube_four_times_as_large(tmp_path):
    peaks = []
    for side in (128, 256):
        cube, run = tmp_path / f"{side}.hdf5", tmp_path / f"run{side}"
        simulate = ["simulate", "cube", "-o", str(cube), "--shape", f"{side},{side}"]
        assert main([*simulate, "--tile", "128"]) == 0
        # A larger cube gets larger batches, and from 15,000 spectra a class on tables, once.
        peaks.append(peak_of("optical", str(cube), "-o", str(run), "--no-tui", "--batch", "1024"))
    assert peaks[1] <= 1.1 * peaks[0]
    assert peaks[1] < 0.8e9
