import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_stage import toy_config, toy_opener

from streamfit.io.errors import ChangedInputError, InputError, RunError, StorageError
from streamfit.io.parts import PartSink
from streamfit.io.table import read_table
from streamfit.stream.cli import main
from streamfit.stream.directory import RunDirectory
from streamfit.stream.job import Manners
from streamfit.stream.run import resume_run, start_run

TOY = Path(__file__).with_name("toy_stage.py")


def start(folder, config=None, **toy):
    return start_run(config or toy_config(), folder, manners=Manners(opener=toy_opener(**toy)))


def resume(folder, **toy):
    return resume_run(folder, manners=Manners(opener=toy_opener(**toy)))


def spawn(action, folder, *options):
    words = [sys.executable, str(TOY), action, str(folder), *map(str, options)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(process, reached):
    """Wait until `reached()` while the process works."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if reached():
            return
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"it was never reached: {process.communicate()}")


def sealed(folder):
    """Rows in sealed parts."""
    return sum(pq.read_metadata(path).num_rows for path in (folder / "fit").glob("*.parquet"))


def same_bytes(one, other):
    """Compare tables bit by bit, NaN included."""
    assert one.schema == other.schema
    for name in one.column_names:
        left, right = (table[name].to_numpy().tobytes() for table in (one, other))
        assert left == right, name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start(folder, spaxels=2048)
    return read_table(folder / "fit")


def test_resume_after_sigkill_at_20_50_75_90_percent_gives_the_same_table(tmp_path, whole):
    folder = tmp_path / "run"
    action = "start"
    # Slower towards the end, so that the kill comes before it on a busy machine too.
    for share, delay in ((0.2, 0.1), (0.5, 0.1), (0.75, 0.1), (0.9, 0.5)):
        options = ("--spaxels", 2048, "--delay", delay, "--part", 0.2)
        process = spawn(action, folder, *options)
        wait_until(process, lambda share=share: sealed(folder) >= share * 2048)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert RunDirectory(folder).status()["state"] == "killed"
        assert share * 2048 <= read_table(folder / "fit").num_rows < 2048
        action = "resume"
    outcome = resume(folder, spaxels=2048)
    assert outcome.state == "done"
    assert 0 < outcome.spaxels < 2048
    same_bytes(read_table(folder / "fit"), whole)
    assert not list((folder / "fit").glob("*.tmp"))


def test_resume_deletes_what_was_not_sealed(tmp_path, whole):
    folder = tmp_path / "run"
    start(folder, spaxels=2048)
    lost = folder / "fit" / "part-000001.parquet"
    lost.rename(lost.with_suffix(".parquet.tmp"))
    assert resume(folder, spaxels=2048).spaxels == 16 * 32
    assert not list((folder / "fit").glob("*.tmp"))
    same_bytes(read_table(folder / "fit"), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_seals_the_part_and_leaves_a_run_that_resumes(tmp_path, whole, number):
    folder = tmp_path / "run"
    process = spawn("start", folder, "--spaxels", 2048, "--delay", 0.1, "--part", 0.2)
    wait_until(process, lambda: sealed(folder) >= 400)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert f"stream-fit resume {folder}" in err
    status = RunDirectory(folder).status()
    assert status["state"] == "interrupted"
    assert read_table(folder / "fit").num_rows == status["spaxels_done"]
    assert resume(folder, spaxels=2048).spaxels == 2048 - status["spaxels_done"]
    same_bytes(read_table(folder / "fit"), whole)


def test_a_second_signal_leaves_at_once(tmp_path):
    folder = tmp_path / "run"
    process = spawn("start", folder, "--delay", 60)
    wait_until(process, (folder / "progress.json").exists)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130


def two_stages(last=()):
    """Give what opens two toy stages, each into a table of its own; `last` is called at the end."""

    def opener(config):
        first, second = (toy_opener(spaxels=256)(config) for _ in range(2))
        fit = first.recipe.fit

        def telling(batch):
            if batch.key.stop == 256:
                for one in last:
                    one()
            return fit(batch)

        first.recipe.fit = telling
        second = dataclasses.replace(second, rows="sources")
        return dataclasses.replace(first, table="deconvolve", then=lambda run: second)

    return opener


def test_two_stages_fill_two_tables_and_both_are_resumed(tmp_path):
    folder = tmp_path / "run"
    manners = Manners(opener=two_stages())
    config = dataclasses.replace(toy_config(), stage="xray")
    assert start_run(config, folder, manners=manners).spaxels == 512
    before = {name: read_table(folder / name) for name in ("deconvolve", "fit")}
    for name, table in before.items():
        next((folder / name).glob("part-*")).unlink()
        assert resume_run(folder, manners=manners).spaxels == 256
        same_bytes(read_table(folder / name), table)
    assert resume_run(folder, manners=manners).spaxels == 0


def test_a_signal_at_the_end_of_the_first_stage_leaves_the_second_to_resume(tmp_path):
    folder = tmp_path / "run"
    last = [lambda: os.kill(os.getpid(), signal.SIGINT), lambda: time.sleep(0.2)]
    config = dataclasses.replace(toy_config(threads=1), stage="xray")
    outcome = start_run(config, folder, manners=Manners(opener=two_stages(last)))
    assert outcome.state == "interrupted"
    assert outcome.spaxels == 256
    assert RunDirectory(folder).status()["state"] in ("killed", "interrupted")
    assert resume_run(folder, manners=Manners(opener=two_stages())).spaxels == 256
    assert read_table(folder / "fit").num_rows == 256


def test_a_later_stage_that_is_cut_otherwise_is_refused(tmp_path):
    folder = tmp_path / "run"
    config = dataclasses.replace(toy_config(), stage="xray")
    start_run(config, folder, manners=Manners(opener=two_stages()))
    next((folder / "fit").glob("part-*")).unlink()

    def other(config):
        first = two_stages()(config)
        return dataclasses.replace(first, then=lambda run: toy_opener(spaxels=512)(config))

    with pytest.raises(ChangedInputError, match="is cut into 16 batches, the run began with 8"):
        resume_run(folder, manners=Manners(opener=other))


def test_resume_of_a_complete_run_does_nothing_even_without_its_input(tmp_path):
    folder = tmp_path / "run"
    start(folder)

    def gone(config):
        raise InputError("no such file")

    outcome = resume_run(folder, manners=Manners(opener=gone))
    assert outcome.state == "done"
    assert outcome.spaxels == 0


def test_resume_tries_failed_batches_again(tmp_path, whole):
    folder = tmp_path / "run"
    assert start(folder, spaxels=2048, failing=(64, 512)).state == "failed"
    outcome = resume(folder, spaxels=2048)
    assert outcome.state == "done"
    assert outcome.spaxels == 64
    same_bytes(read_table(folder / "fit"), whole)


def test_resume_may_use_other_threads_and_memory_but_keeps_the_batches(tmp_path, whole):
    folder = tmp_path / "run"
    start(folder, spaxels=2048, failing=(0,))
    engine = {"threads": 5, "memory": 3 * 2**30}
    resume_run(folder, engine=engine, manners=Manners(opener=toy_opener(spaxels=2048)))
    same_bytes(read_table(folder / "fit"), whole)


def test_resume_names_what_changed_in_the_input(tmp_path):
    folder = tmp_path / "run"
    start(folder, failing=(0,))
    identity = {"size": 124, "header": "a" * 64, "last_block": "c" * 64}
    with pytest.raises(ChangedInputError) as caught:
        resume(folder, identity=identity)
    text = str(caught.value)
    assert "size 123 -> 124" in text
    assert "last block" in text
    assert "header" not in text
    assert "\n" not in text
    assert read_table(folder / "fit").num_rows == 1024 - 32


def test_resume_names_what_changed_in_the_configuration(tmp_path):
    folder = tmp_path / "run"
    start(folder, failing=(0,))
    path = folder / "run.toml"
    path.write_text(path.read_text().replace('ils = "auto"', 'ils = "sinc"\nredshift = 0.1'))
    with pytest.raises(ChangedInputError) as caught:
        resume(folder)
    assert "optical.ils auto -> sinc" in str(caught.value)
    assert "optical.redshift none -> 0.1" in str(caught.value)


def test_resume_refuses_another_version(tmp_path):
    folder = tmp_path / "run"
    start(folder, dataclasses.replace(toy_config(), version="0.0.1"), failing=(0,))
    path = folder / "run.toml"
    path.write_text(path.read_text().replace("0.0.1", "0.1.0"))
    with pytest.raises(ChangedInputError, match=r"version 0\.0\.1 -> 0\.1\.0"):
        resume(folder)


def test_resume_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"not a run of stream-fit"):
        resume(tmp_path)
    with pytest.raises(InputError, match="not there"):
        resume(tmp_path / "nowhere")


def test_a_tampered_part_is_named_and_only_its_batches_are_fitted_again(tmp_path, whole):
    folder = tmp_path / "run"
    start(folder, spaxels=2048, failing=(0,))
    part = folder / "fit" / "part-000001.parquet"
    content = bytearray(part.read_bytes())
    content[1000] ^= 1
    part.write_bytes(content)
    with pytest.raises(RunError, match=r"part-000001\.parquet: the part is damaged.*delete it"):
        resume(folder, spaxels=2048)
    part.unlink()
    assert resume(folder, spaxels=2048).spaxels == 16 * 32 + 32
    same_bytes(read_table(folder / "fit"), whole)


class FullDisk(PartSink):
    """Puts the kernel's own full device in the way of one part."""

    def seal(self):
        if self._next == 2 and self._keys:
            (self.folder / "part-000002.parquet.tmp").symlink_to("/dev/full")
        super().seal()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, whole, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("streamfit.stream.run.PartSink", FullDisk)
        with pytest.raises(StorageError) as caught:
            start(folder, spaxels=2048)
    text = str(caught.value)
    assert "part-000002.parquet: No space left on device" in text
    assert "free" in text
    assert "resume" in text
    assert "\n" not in text
    assert not list((folder / "fit").glob("*.tmp"))
    assert read_table(folder / "fit").num_rows == 2 * 16 * 32
    status = RunDirectory(folder).status()
    assert status["state"] == "failed"
    assert status["message"] == text
    assert status["spaxels_safe"] == 2 * 16 * 32
    assert resume(folder, spaxels=2048).spaxels == 2048 - 2 * 16 * 32
    same_bytes(read_table(folder / "fit"), whole)


def test_a_file_that_may_not_grow_exits_2_and_resumes(tmp_path, whole):
    folder = tmp_path / "run"
    limited = spawn("start", folder, "--spaxels", 2048, "--file-limit", 12000)
    _, err = limited.communicate(timeout=30)
    assert limited.returncode == 2
    assert "File too large" in err
    assert "Traceback" not in err
    assert resume(folder, spaxels=2048).state == "done"
    same_bytes(read_table(folder / "fit"), whole)


def test_overwrite_replaces_a_run_and_nothing_else(tmp_path):
    folder = tmp_path / "run"
    start(folder, spaxels=2048)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="already holds a run"):
        start(folder)
    start_run(toy_config(), folder, overwrite=True, manners=Manners(opener=toy_opener()))
    assert read_table(folder / "fit").num_rows == 1024
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_directory_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="no run of stream-fit"):
            start_run(toy_config(), tmp_path, overwrite=overwrite)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """A simulated SITELLE cube of 25,600 spaxels."""
    path = tmp_path_factory.mktemp("cube") / "cube.hdf5"
    words = ["simulate", "cube", "-o", str(path), "--shape", "160,160", "--tile", "256"]
    assert main(words) == 0
    return path


@pytest.mark.slow
def test_the_command_killed_at_20_50_75_90_percent_gives_the_same_table(tmp_path, cube):
    options = ["--batch", "128", "--threads", "2", "--no-tui"]
    assert main(["optical", str(cube), "-o", str(tmp_path / "whole"), *options]) == 0
    folder = tmp_path / "run"
    words = ["optical", str(cube), "-o", str(folder), *options]
    for share in (0.2, 0.5, 0.75, 0.9):
        process = subprocess.Popen(
            [sys.executable, "-m", "streamfit.stream", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(process, lambda share=share: sealed(folder) >= share * 25_600)
        process.kill()
        process.communicate()
        words = ["resume", str(folder), "--no-tui"]
    assert sealed(folder) < 25_600
    assert main([*words, "--threads", "1"]) == 0
    same_bytes(read_table(folder / "fit"), read_table(tmp_path / "whole" / "fit"))


@pytest.mark.slow
def test_the_command_gives_the_same_bytes_for_any_threads_and_batches_to_rounding(tmp_path, cube):
    def table(name, *options):
        words = ["optical", str(cube), "-o", str(tmp_path / name), "--no-tui", *options]
        assert main([*words, "--region", "0:160,40:80"]) == 0
        return read_table(tmp_path / name / "fit")

    one = table("one", "--threads", "1")
    same_bytes(one, table("five", "--threads", "5"))
    order = [("x", "ascending"), ("y", "ascending")]
    other = table("other", "--batch", "77").sort_by(order)
    one = one.sort_by(order)
    assert one["status"].equals(other["status"])
    good = one["status"].to_numpy() == 0
    error = one["velocity_err"].to_numpy()[good]
    change = (one["velocity"].to_numpy() - other["velocity"].to_numpy())[good]
    # Batches change the order of sums in float32 seeds; minima agree far below the errors.
    assert np.abs(change / error).max() < 1e-3
