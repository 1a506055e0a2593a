import json
import threading

import numpy as np
import pyarrow as pa
import pytest
from toy_stage import SCHEMA

from streamfit.io.records import BatchKey
from streamfit.stream.progress import Progress
from streamfit.stream.snapshot import Setting


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def rows(status):
    status = np.asarray(status, dtype=np.int32)
    zero = np.zeros(len(status))
    return pa.record_batch(
        [zero.astype(np.int32), zero.astype(np.int32), status, zero, zero], schema=SCHEMA
    )


def progress(total=1000, batches=10):
    clock = Clock()
    return Progress(Setting("cube", total, batches), clock=clock), clock


def test_rows_are_sorted_by_their_status():
    counted, _ = progress()
    counted.add(BatchKey("cube", 0, 5), rows([0, 0, 4, 5, 32]))
    seen = counted.snapshot()
    assert (seen.converged, seen.no_signal, seen.no_data, seen.flagged) == (2, 1, 1, 1)


def test_a_steady_rate_gives_the_time_that_is_left():
    counted, clock = progress()
    counted.begin()
    for number in range(4):
        clock.now += 2.0
        counted.add(BatchKey("cube", 100 * number, 100 * number + 100), rows([0] * 100))
    seen = counted.snapshot()
    assert seen.rate_now == pytest.approx(50)
    assert seen.rate_mean == pytest.approx(50)
    assert seen.eta_s == pytest.approx(600 / 50)


def test_the_time_left_follows_a_change_of_pace():
    counted, clock = progress(total=100_000, batches=1000)
    counted.begin()
    for number in range(200):
        clock.now += 1.0 if number < 100 else 0.5
        counted.add(BatchKey("cube", 100 * number, 100 * number + 100), rows([0] * 100))
    seen = counted.snapshot()
    assert seen.rate_now == pytest.approx(200, rel=0.02)
    assert seen.rate_mean == pytest.approx(20_000 / 150)
    assert seen.eta_s == pytest.approx(80_000 / 200, rel=0.02)


def test_the_rate_falls_while_nothing_comes():
    counted, clock = progress()
    counted.begin()
    clock.now = 1.0
    counted.add(BatchKey("cube", 0, 100), rows([0] * 100))
    assert counted.snapshot().rate_now == pytest.approx(100)
    clock.now = 10.0
    assert counted.snapshot().rate_now == pytest.approx(10)


def test_rows_of_an_earlier_process_are_done_but_in_no_rate():
    counted, clock = progress()
    counted.replay(pa.Table.from_batches([rows([0] * 600)]), 6)
    counted.begin()
    assert counted.snapshot().eta_s is None
    clock.now = 1.0
    counted.add(BatchKey("cube", 600, 700), rows([0] * 100))
    seen = counted.snapshot()
    assert (seen.spaxels_done, seen.spaxels_now, seen.batches_done) == (700, 100, 7)
    assert seen.rate_mean == pytest.approx(100)
    assert seen.eta_s == pytest.approx(3.0)


def test_slow_batches_are_averaged_over_several():
    counted, clock = progress(total=10_000, batches=100)
    counted.begin()
    for number in range(12):
        clock.now += 60.0 if number % 2 else 30.0
        counted.add(BatchKey("cube", 100 * number, 100 * number + 100), rows([0] * 100))
    assert counted.snapshot().rate_now == pytest.approx(100 / 45)


def test_the_clock_stops_at_the_end():
    counted, clock = progress()
    counted.begin()
    clock.now = 2.0
    counted.add(BatchKey("cube", 0, 100), rows([0] * 100))
    counted.end("interrupted", "why")
    clock.now = 100.0
    seen = counted.snapshot()
    assert (seen.state, seen.message, seen.elapsed_s, seen.eta_s) == (
        "interrupted",
        "why",
        2.0,
        None,
    )
    assert seen.rate_now == pytest.approx(50)


def test_the_file_is_whole_whenever_it_is_read(tmp_path):
    counted, _ = progress()
    path = tmp_path / "progress.json"
    over = threading.Event()
    broken = []

    def read():
        while not over.is_set():
            try:
                json.loads(path.read_text())
            except FileNotFoundError:
                continue
            except ValueError as error:
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    with counted.publishing(path, every_s=0.001):
        over.wait(0.2)
    over.set()
    reader.join()
    assert not broken
    assert not list(tmp_path.glob("*.tmp"))


def test_the_file_says_who_writes_it(tmp_path):
    counted, _ = progress()
    counted.fail(BatchKey("cube", 0, 100))
    counted.write(tmp_path / "progress.json")
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found["failed_batches"] == ["cube[0:100]"]
    assert found["rss_bytes"] > 0
    assert found["pid"] > 0
    assert found["state"] == "starting"


def test_a_full_disk_does_not_end_a_run_here(tmp_path):
    counted, _ = progress()
    (tmp_path / "progress.json.tmp").symlink_to("/dev/full")
    counted.write(tmp_path / "progress.json")
    assert not (tmp_path / "progress.json").exists()
