import json
import subprocess
import sys
from pathlib import Path

import pytest
from toy_stage import toy_opener

from streamfit.io.errors import DeviceError
from streamfit.stream import commands
from streamfit.stream.cli import main
from streamfit.stream.eventlog import EventLog
from streamfit.stream.parser import join_negative


@pytest.fixture
def toy(monkeypatch):
    """Let the command fit toys; give what changes them."""

    def use(**options):
        monkeypatch.setattr(commands, "open_stage", toy_opener(**options))

    use()
    return use


def fit(folder, *options):
    return main(["optical", "cube.hdf5", "-o", str(folder), "--batch", "32", *options])


def test_a_run_exits_0_and_leaves_standard_output_clean(toy, tmp_path, capsys):
    assert fit(tmp_path / "run") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "done" in err
    for name in ("run.toml", "manifest.json", "log.jsonl", "progress.json", "fit"):
        assert (tmp_path / "run" / name).exists()


def test_failed_batches_exit_4_and_are_named(toy, tmp_path, capsys):
    toy(failing=(32,))
    assert fit(tmp_path / "run") == 4
    err = capsys.readouterr().err
    assert "toy[32:64]: RuntimeError: this batch cannot be fitted" in err
    assert "1 batch failed" in err
    assert "resume" in err
    toy()
    assert main(["resume", str(tmp_path / "run")]) == 0


def test_what_the_user_can_mend_exits_2_in_one_line(toy, tmp_path, capsys):
    assert fit(tmp_path / "run", "--velocity-range", "9,1") == 2
    err = capsys.readouterr().err
    assert err.startswith("stream-fit: --velocity-range: 9,1 is not LO,HI with LO below HI")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_exits_3(monkeypatch, tmp_path, capsys):
    def absent(config):
        raise DeviceError("no such device")

    monkeypatch.setattr(commands, "open_stage", absent)
    assert fit(tmp_path / "run") == 3
    assert capsys.readouterr().err == "stream-fit: no such device\n"


def test_an_existing_run_is_named_with_the_cures(toy, tmp_path, capsys):
    fit(tmp_path / "run")
    capsys.readouterr()
    assert fit(tmp_path / "run") == 2
    err = capsys.readouterr().err
    assert "already holds a run" in err
    assert "stream-fit resume" in err
    assert "--overwrite" in err
    assert fit(tmp_path / "run", "--overwrite") == 0


def test_without_a_directory_the_command_asks_for_one(toy, capsys):
    assert main(["optical", "cube.hdf5"]) == 2
    assert "-o RUN" in capsys.readouterr().err


def test_a_complete_run_has_nothing_to_resume(toy, tmp_path, capsys):
    fit(tmp_path / "run")
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert "was complete; nothing to do" in capsys.readouterr().err


def test_dry_run_shows_options_and_plan_and_writes_nothing(toy, tmp_path, capsys):
    assert fit(tmp_path / "run", "--dry-run", "--redshift", "0.01") == 0
    out = capsys.readouterr().out
    assert "redshift = 0.01" in out
    assert "# 1024 spaxels in 32 batches of 32" in out
    assert not (tmp_path / "run").exists()


def test_a_negative_range_needs_no_equals_sign(toy, tmp_path, capsys):
    assert fit(tmp_path / "run", "--dry-run", "--velocity-range", "-20,30") == 0
    assert "-20.0" in capsys.readouterr().out


def test_only_flags_are_joined_with_negative_numbers():
    words = ["inspect", "RUN", "-1", "--set", "a=1", "--redshift", "-0.01", "-o", "x"]
    assert join_negative(words) == [
        *("inspect", "RUN", "-1", "--set", "a=1", "--redshift=-0.01", "-o", "x")
    ]


def test_a_log_file_is_given_the_same_lines(toy, tmp_path):
    assert fit(tmp_path / "run", "--log-file", str(tmp_path / "copy.jsonl")) == 0
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert (tmp_path / "copy.jsonl").read_text() == log
    assert {json.loads(line)["event"] for line in log.splitlines()} >= {"run_started", "run_ended"}


def test_status_is_json_on_standard_output(toy, tmp_path, capsys):
    fit(tmp_path / "run")
    capsys.readouterr()
    assert main(["status", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["spaxels_done"]) == ("done", 1024)


def test_status_tells_a_dead_writer_from_a_living_one(toy, tmp_path, capsys):
    folder = tmp_path / "run"
    fit(folder)
    progress = json.loads((folder / "progress.json").read_text())
    running = {**progress, "state": "running", "rate_now": 10.0, "eta_s": 5.0}
    (folder / "progress.json").write_text(json.dumps(running))
    capsys.readouterr()
    main(["status", str(folder)])
    out = capsys.readouterr().out
    assert "killed" in out
    assert f"stream-fit resume {folder}" in out
    log = EventLog(folder / "log.jsonl")
    main(["status", str(folder)])
    log.close()
    out = capsys.readouterr().out
    assert "running, 1024 of 1024 spaxels (100.0 %), 10 spectra/s, 5 s left" in out


@pytest.mark.parametrize("command", ["status", "resume", "maps"])
def test_what_is_no_run_is_named(tmp_path, command, capsys):
    words = [command, str(tmp_path), *(["-o", str(tmp_path / "m")] if command == "maps" else [])]
    assert main(words) == 2
    assert "not a run of stream-fit (no run.toml)" in capsys.readouterr().err


def test_validate_names_what_is_no_cube(tmp_path, capsys):
    (tmp_path / "x.fits").write_text("not a cube")
    assert main(["validate", str(tmp_path / "x.fits")]) == 2
    err = capsys.readouterr().err
    assert "x.fits" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("program", [["stream-fit"], [sys.executable, "-m", "streamfit.stream"]])
def test_the_version_is_that_of_the_distribution(program):
    from importlib.metadata import version

    if program[0] == "stream-fit":
        program = [str(Path(sys.executable).with_name("stream-fit"))]
    found = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"stream-fit {version('stream-fit')}\n"


def test_unknown_flags_and_commands_exit_2(capsys):
    for words in (["optical", "x", "--redshfit", "1"], ["fit"], []):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
    capsys.readouterr()
