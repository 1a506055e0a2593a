import json
import threading
import time

import pytest
from toy_stage import ToyRecipe, ToySource, toy_config, toy_opener

from streamfit.io.errors import RunError
from streamfit.io.table import read_table
from streamfit.stream.job import Manners
from streamfit.stream.run import start_run
from streamfit.stream.workers import ThreadWorkers


def run(folder, *, engine=None, **toy):
    return start_run(
        toy_config(**(engine or {})), folder, manners=Manners(opener=toy_opener(**toy))
    )


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def results(recipe, *, threads=3, stop=None, spaxels=320):
    source = ToySource(spaxels, 32, 8, {})
    stop = stop or threading.Event()
    workers = ThreadWorkers(source, recipe, threads=threads, depth=2, stop=stop)
    return workers.process(source.keys())


def test_a_run_fits_every_spaxel_once(tmp_path):
    outcome = run(tmp_path / "run", spaxels=1000)
    table = read_table(tmp_path / "run" / "fit")
    assert outcome.state == "done"
    assert outcome.spaxels == table.num_rows == 1000
    positions = set(zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True))
    assert len(positions) == 1000


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_rows_come_in_the_order_of_the_plan_for_any_number_of_threads(threads):
    class Uneven(ToyRecipe):
        def fit(self, batch):
            time.sleep(0.02 if batch.key.start % 64 == 0 else 0)
            return super().fit(batch)

    starts = [result.key.start for result in results(Uneven(), threads=threads)]
    assert starts == list(range(0, 320, 32))


def test_tables_are_the_same_bytes_for_any_number_of_threads(tmp_path):
    for threads in (1, 4):
        run(tmp_path / str(threads), engine={"threads": threads})
    one, four = ((tmp_path / name / "fit").glob("*.parquet") for name in ("1", "4"))
    assert [path.read_bytes() for path in sorted(one)] == [
        path.read_bytes() for path in sorted(four)
    ]


def test_batches_in_memory_are_bounded_while_one_is_slow():
    alive, most = 0, 0
    guard = threading.Lock()

    class Counting(ToySource):
        def read(self, key):
            nonlocal alive, most
            with guard:
                alive += 1
                most = max(most, alive)
            return super().read(key)

    class SlowFirst(ToyRecipe):
        def fit(self, batch):
            time.sleep(0.3 if batch.key.start == 0 else 0)
            return super().fit(batch)

    source = Counting(32 * 40, 32, 8, {})
    workers = ThreadWorkers(source, SlowFirst(), threads=2, depth=2, stop=threading.Event())
    for _ in workers.process(source.keys()):
        with guard:
            alive -= 1
    assert most <= 2 + 2 + 1 + 1  # the slots, and one between two steps of the loop above


def test_a_failed_batch_is_named_and_the_others_go_on(tmp_path):
    outcome = run(tmp_path / "run", failing=(64,), broken=(128,))
    assert outcome.state == "failed"
    assert outcome.failed == (
        "toy[64:96]: RuntimeError: this batch cannot be fitted",
        "toy[128:160]: OSError: bad sector",
    )
    assert read_table(tmp_path / "run" / "fit").num_rows == 1024 - 64
    named = [event for event in events(tmp_path / "run") if event["event"] == "batch_failed"]
    assert [event["batch"] for event in named] == ["toy[64:96]", "toy[128:160]"]
    assert "fit(" in named[0]["traceback"]
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["failed"] == 2


def test_rows_that_do_not_match_the_batch_are_a_failed_batch():
    class Short(ToyRecipe):
        def fit(self, batch):
            rows = super().fit(batch)
            return rows.slice(1) if batch.key.start == 32 else rows

    found = list(results(Short()))
    assert "31 rows for 32 spaxels" in str(found[1].error)
    assert [result.error is None for result in found].count(False) == 1


def test_a_stop_lets_begun_batches_finish_and_begins_no_other():
    stop = threading.Event()
    starts = []
    for result in results(ToyRecipe(delay=0.05), threads=2, stop=stop, spaxels=3200):
        starts.append(result.key.start)
        stop.set()
    assert starts == list(range(0, 32 * len(starts), 32))
    assert 1 <= len(starts) <= 4


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    process = results(ToyRecipe(delay=0.01), spaxels=3200)
    next(process)
    process.close()
    assert threading.active_count() == before


def test_a_second_process_cannot_work_on_the_same_run(tmp_path):
    from streamfit.stream.eventlog import EventLog

    folder = tmp_path / "run"
    run(folder)
    log = EventLog(folder / "log.jsonl")
    with pytest.raises(RunError, match="another process works on this run"):
        start_run(toy_config(), folder, overwrite=True, manners=Manners(opener=toy_opener()))
    log.close()
    assert read_table(folder / "fit").num_rows == 1024


def test_progress_and_manifest_tell_the_end(tmp_path):
    folder = tmp_path / "run"
    run(folder)
    progress = json.loads((folder / "progress.json").read_text())
    assert progress["state"] == "done"
    assert progress["spaxels_done"] == progress["spaxels_total"] == 1024
    assert progress["eta_s"] is None
    kinds = ("converged", "no_signal", "no_data", "flagged")
    assert sum(progress[kind] for kind in kinds) == 1024
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sessions"][0]["state"] == "done"
    assert manifest["sessions"][0]["spaxels"] == 1024
    assert manifest["table"] == {"lines": "Halpha"}
    assert {"time", "level", "event"} <= events(folder)[0].keys()
