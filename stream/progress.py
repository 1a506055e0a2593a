"""What a run has done and how long the rest takes: counts, draws nothing.

The rate *now* is that of the last 20 s, or of the last eight batches where these took longer, up to
this moment, so that it falls when nothing comes. The time left follows from it. Rows of an earlier
process count as done but not in any rate.
"""

import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
import pyarrow as pa

from ..io.disk import publish
from ..io.errors import StorageError, StreamFitError
from ..io.records import BatchKey
from ..io.results import FitStatus
from .eventlog import utc_now
from .livemap import Picture
from .livespectrum import Curve
from .snapshot import RunState, Setting, Snapshot

_WINDOW_S = 20.0
_WINDOW_BATCHES = 8


class LivePicture(Protocol):
    """What the live view draws beside the numbers."""

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows as they come."""
        ...

    def pictures(self) -> tuple[Picture | Curve, ...]:
        """Give what is to be drawn now, the most telling first."""
        ...


class Progress:
    """Counts what is done; may be read from any thread.

    Parameters
    ----------
    setting : Setting
    live_map : LivePicture, optional
        Is given all rows.
    waiting : callable, optional
        Gives the batches in the queue.
    clock : callable
        Gives seconds that never run backwards.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        live_map: LivePicture | None = None,
        waiting: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.setting, self.live_map = setting, live_map
        self._waiting, self._clock = waiting, clock
        self._process = psutil.Process()
        self._guard = threading.Lock()
        self._state: RunState = "starting"
        self._message = ""
        self._spaxels = self._safe = self._batches = self._now = 0
        self._converged = self._no_signal = self._no_data = self._flagged = 0
        self._failed: list[str] = []
        self._started = utc_now()
        self._begun = self._ended = clock()
        self._marks: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def replay(self, rows: pa.Table, batches: int) -> None:
        """Count the rows of a part that an earlier process sealed."""
        with self._guard:
            self._count(rows)
            self._batches += batches
            self._safe = self._spaxels
        if self.live_map is not None:
            self.live_map.add(rows)

    def begin(self) -> None:
        """Start the clock: the first batch is about to be read."""
        with self._guard:
            self._state = "running"
            self._begun = self._clock()
            self._marks = deque([(self._begun, 0)])

    def add(self, key: BatchKey, rows: pa.RecordBatch) -> None:
        """Count a batch."""
        now = self._clock()
        with self._guard:
            self._count(rows)
            self._batches += 1
            self._now += len(key)
            self._marks.append((now, self._now))
            while len(self._marks) > _WINDOW_BATCHES + 1 and now - self._marks[1][0] > _WINDOW_S:
                self._marks.popleft()
        if self.live_map is not None:
            self.live_map.add(rows)

    def seal(self) -> None:
        """Note that all rows so far lie in sealed parts."""
        with self._guard:
            self._safe = self._spaxels

    def fail(self, key: BatchKey) -> None:
        """Note a batch that failed."""
        with self._guard:
            self._failed.append(str(key))

    def end(self, state: RunState, message: str = "") -> None:
        """Stop the clock."""
        with self._guard:
            self._state, self._message = state, message
            self._ended = self._clock()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Note an error that ends the run, and let it pass."""
        try:
            yield
        except BaseException as error:
            self.end("failed", str(error) if isinstance(error, StreamFitError) else repr(error))
            raise

    def snapshot(self) -> Snapshot:
        """Look at the run now."""
        with self._guard:
            running = self._state in ("starting", "running")
            now = self._clock() if running else self._ended
            elapsed = now - self._begun
            mean = self._now / elapsed if self._now and elapsed > 0 else None
            rate = self._recent(now) if running else mean
            left = self.setting.spaxels_total - self._spaxels
            return Snapshot(
                **dataclasses.asdict(self.setting),
                state=self._state,
                message=self._message,
                spaxels_done=self._spaxels,
                spaxels_safe=self._safe,
                batches_done=self._batches,
                spaxels_now=self._now,
                rate_now=rate,
                rate_mean=mean,
                elapsed_s=elapsed,
                eta_s=left / rate if rate and running else None,
                converged=self._converged,
                no_signal=self._no_signal,
                no_data=self._no_data,
                flagged=self._flagged,
                failed=len(self._failed),
                failed_batches=tuple(self._failed),
                queue_fill=self._waiting(),
                rss_bytes=self._process.memory_info().rss,
                pid=os.getpid(),
                started=self._started,
                updated=utc_now(),
            )

    def _recent(self, now: float) -> float | None:
        """Spectra per second of the window; None before the first batch."""
        since, before = self._marks[0]
        return (self._now - before) / (now - since) if self._now and now > since else None

    @contextmanager
    def publishing(self, path: Path, *, every_s: float = 1.0) -> Iterator[None]:
        """Keep ``progress.json`` up to date while the body runs, and once more after it."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(every_s):
                self.write(path)

        self.write(path)
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.write(path)

    def write(self, path: Path) -> None:
        """Write ``progress.json``; a full disk is for the parts to report.

        A stage that is done leaves the run running where another one follows.
        """
        now = self.snapshot()
        if now.state == "done" and now.stage != now.stages[-1]:
            now = dataclasses.replace(now, state="running")
        try:
            publish(path, now.to_json().encode(), sync=False)
        except StorageError:
            return

    def _count(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Sort rows by their status."""
        status = rows["status"].to_numpy()
        empty = status & int(FitStatus.NO_DATA) != 0
        quiet = ~empty & (status & int(FitStatus.NO_SIGNAL) != 0)
        self._spaxels += len(status)
        self._converged += int(np.count_nonzero(status == 0))
        self._no_signal += int(np.count_nonzero(quiet))
        self._flagged += int(np.count_nonzero((status != 0) & ~quiet & ~empty))
        self._no_data += int(np.count_nonzero(empty))
