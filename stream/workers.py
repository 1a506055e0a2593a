"""Threads that turn keys into rows: one producer reads, consumers fit, rows come out in order.

    keys -> producer -> bounded queue -> consumer x threads -> reorder -> rows in the order of keys

A *slot* is held from before a batch is read until its rows have left in order, so that a slow batch
cannot let the others pile up behind it: with s slots at most s batches are in memory. Threads, not
processes: reading, BLAS and the compiled kernels release the interpreter's lock.
"""

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..io.records import BatchKey
from .recipe import Recipe, Source


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one batch: its rows, or the error that they were lost to."""

    key: BatchKey
    rows: pa.RecordBatch | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """A batch on its way through the queue; `index` is its place in the order."""

    index: int
    key: BatchKey
    batch: Any


class ThreadWorkers:
    """Fits batches on the threads of this machine.

    Parameters
    ----------
    source, recipe
        Where batches come from and what is done with them.
    threads : int
        Consumers.
    depth : int
        Batches that may wait in the queue.
    stop : threading.Event
        Once set, no further batch is begun; those begun are finished.
    """

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        *,
        threads: int,
        depth: int,
        stop: threading.Event,
    ) -> None:
        self.source, self.recipe = source, recipe
        self.threads, self.depth, self.stop = threads, depth, stop
        self._inbox: queue.Queue[_Task | None] = queue.Queue(maxsize=depth)

    @property
    def waiting(self) -> int:
        """Batches in the queue now."""
        return self._inbox.qsize()

    def process(self, keys: Iterable[BatchKey]) -> Generator[Result, None, None]:
        """Give the result of every key in order; a batch that fails does not end the others.

        Close the iterator to leave early; it waits for the batches that were begun.
        """
        outbox: queue.Queue[tuple[int, Result] | None] = queue.Queue()
        slots = threading.Semaphore(self.threads + self.depth + 1)
        closed = threading.Event()
        crew = [threading.Thread(target=self._produce, args=(keys, outbox, slots, closed))]
        for _ in range(self.threads):
            crew.append(threading.Thread(target=self._consume, args=(outbox, slots, closed)))
        for thread in crew:
            thread.daemon = True
            thread.start()
        held: dict[int, Result] = {}
        due, working = 0, self.threads
        try:
            while working:
                found = outbox.get()
                if found is None:
                    working -= 1
                    continue
                held[found[0]] = found[1]
                while due in held:
                    yield held.pop(due)
                    due += 1
                    slots.release()
        finally:
            closed.set()
            slots.release(len(held) + 1)
            for thread in crew:
                thread.join()

    def _produce(
        self,
        keys: Iterable[BatchKey],
        outbox: "queue.Queue[tuple[int, Result] | None]",
        slots: threading.Semaphore,
        closed: threading.Event,
    ) -> None:
        """Read batches in order as slots come free."""
        for index, key in enumerate(keys):
            slots.acquire()
            if self.stop.is_set() or closed.is_set():
                break
            try:
                batch = self.source.read(key)
            except Exception as error:
                outbox.put((index, Result(key, None, error)))
                continue
            self._inbox.put(_Task(index, key, batch))
            del batch
        for _ in range(self.threads):
            self._inbox.put(None)

    def _consume(
        self,
        outbox: "queue.Queue[tuple[int, Result] | None]",
        slots: threading.Semaphore,
        closed: threading.Event,
    ) -> None:
        """Fit what is in the queue; after a stop, let go of it."""
        while (task := self._inbox.get()) is not None:
            if self.stop.is_set() or closed.is_set():
                slots.release()
                continue
            outbox.put((task.index, self._fit(task)))
            del task
        outbox.put(None)

    def _fit(self, task: _Task) -> Result:
        """Fit one batch; whatever goes wrong belongs to it alone."""
        try:
            rows = self.recipe.fit(task.batch)
            if rows.num_rows != len(task.key):
                raise ValueError(f"{rows.num_rows} rows for {len(task.key)} spaxels")
            if not rows.schema.equals(self.recipe.schema):
                raise ValueError("the columns are not those the recipe declares")
        except Exception as error:
            return Result(task.key, None, error)
        return Result(task.key, rows)
