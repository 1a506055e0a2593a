"""One stage on one screen: the plan, less what is done, through workers into the sink.

The parts are the ledger: nothing else knows which batches are done. Rows reach the sink in the
order of the plan whatever the number of threads.
"""

import threading
import traceback
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from threadpoolctl import threadpool_limits

from ..io.parts import PartSink, ledger_key
from .eventlog import EventLog
from .progress import Progress
from .recipe import Source
from .workers import Result, ThreadWorkers

State = Literal["done", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stage ended.

    Parameters
    ----------
    state : {"done", "interrupted", "failed"}
        "failed": all batches were tried, some without success.
    spaxels : int
        Rows this process added.
    failed : tuple of str
        The batches that failed, each with its reason.
    """

    state: State
    spaxels: int
    failed: tuple[str, ...] = ()


def run_stage(
    source: Source,
    workers: ThreadWorkers,
    sink: PartSink,
    *,
    progress: Progress,
    log: EventLog,
    stop: threading.Event,
) -> Outcome:
    """Fit every batch that no sealed part holds.

    Parameters
    ----------
    source : Source
    workers : ThreadWorkers
    sink : PartSink
        Its parts are checked first.
    progress : Progress
    log : EventLog
    stop : threading.Event
        Once set, batches that were begun are finished and the part is sealed.

    Returns
    -------
    Outcome

    Raises
    ------
    RunError
        If a part is damaged.
    StorageError
        If the disk refuses; the parts sealed before are safe.
    """
    done = sink.done(progress.replay)
    keys = [key for key in source.keys() if ledger_key(key) not in done]  # noqa: SIM118
    failed: list[str] = []
    written = tried = 0
    log.event("stage_started", batches=len(keys), batches_done=len(done))
    progress.begin()
    with threadpool_limits(1), closing(workers.process(keys)) as results:
        for result in results:
            tried += 1
            if result.rows is None:
                failed.append(_note_failure(result, log))
                progress.fail(result.key)
                continue
            sealed = sink.write(result.key, result.rows)
            _note_reasons(result.rows, log)
            written += len(result.key)
            progress.add(result.key, result.rows)
            if sealed:
                progress.seal()
                log.event("part_sealed", through=str(result.key))
    sink.close()
    progress.seal()
    state: State = "interrupted" if tried < len(keys) else "failed" if failed else "done"
    return Outcome(state, written, tuple(failed))


def _note_reasons(rows: pa.RecordBatch, log: EventLog) -> None:
    """Put into the log which rows have no data, where the table says why."""
    if "reason" not in rows.schema.names:
        return
    kind = "obs" if "obs" in rows.schema.names else "group"
    event = "observation_refused" if kind == "obs" else "source_refused"
    for name, reason in zip(rows[kind].to_pylist(), rows["reason"].to_pylist(), strict=True):
        if reason:
            log.event(event, level="warning", reason=reason, **{kind: name})


def _note_failure(result: Result, log: EventLog) -> str:
    """Put a failed batch into the log and into one line."""
    error = result.error
    reason = f"{result.key}: {type(error).__name__}: {error}"
    log.event(
        "batch_failed",
        level="error",
        batch=str(result.key),
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(error)),
    )
    return reason
