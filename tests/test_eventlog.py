import json
import threading

import pytest

from streamfit.io.errors import InputError, RunError, StorageError
from streamfit.stream.eventlog import EventLog, is_held


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_is_one_line_of_json(tmp_path):
    log = EventLog(tmp_path / "log.jsonl")
    log.event("started", batches=3)
    log.event("failed", level="error", error="two\nlines", path=tmp_path)
    log.close()
    first, second = lines(tmp_path / "log.jsonl")
    assert (first["level"], first["event"], first["batches"]) == ("info", "started", 3)
    assert (second["level"], second["error"]) == ("error", "two\nlines")
    assert first["time"] <= second["time"]


def test_a_log_is_appended_to(tmp_path):
    for name in ("one", "two"):
        log = EventLog(tmp_path / "log.jsonl")
        log.event(name)
        log.close()
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")] == ["one", "two"]


def test_threads_do_not_mix_their_lines(tmp_path):
    log = EventLog(tmp_path / "log.jsonl")

    def talk():
        for _ in range(100):
            log.event("spoke", text="x" * 500)

    crew = [threading.Thread(target=talk) for _ in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    log.close()
    assert len(lines(tmp_path / "log.jsonl")) == 400


def test_a_run_is_held_until_its_log_is_closed(tmp_path):
    path = tmp_path / "log.jsonl"
    assert not is_held(path)
    assert not path.exists()
    log = EventLog(path)
    assert is_held(path)
    with pytest.raises(RunError, match="another process works on this run"):
        EventLog(path)
    log.close()
    assert not is_held(path)


def test_a_copy_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"--log-file .*name another"):
        EventLog(tmp_path / "log.jsonl", copy=tmp_path / "none" / "copy.jsonl")
    assert not is_held(tmp_path / "log.jsonl")


def test_a_log_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"log\.jsonl"):
        EventLog(tmp_path / "none" / "log.jsonl")


def test_a_full_disk_does_not_end_a_run_here(tmp_path):
    log = EventLog(tmp_path / "log.jsonl", copy=type(tmp_path)("/dev/full"))
    log.event("started")
    log.close()
    assert lines(tmp_path / "log.jsonl")[0]["event"] == "started"


def test_a_file_system_without_locks_leaves_the_question_open(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    log = EventLog(tmp_path / "log.jsonl")
    assert is_held(tmp_path / "log.jsonl") is None
    log.close()
