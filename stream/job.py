"""A stage made ready: compiled, cut into batches and fitted into memory; and how it is watched."""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
from threadpoolctl import threadpool_limits

from ..io.manifest import Plan
from .budget import Budget, choose_batch, plan_memory
from .config import EngineConfig
from .progress import Progress
from .recipe import Source
from .stage import Opener, Stage, open_stage

View = Callable[[Progress, Stage], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Manners:
    """How a run is opened, watched and logged: nothing here changes its results.

    Parameters
    ----------
    view : callable
        Gives a context in which the run is drawn.
    log_copy : Path or None
        Another file for the lines of ``log.jsonl``.
    opener : callable
        Opens the stage.
    tell : callable
        Is given a line when something takes long before there is anything to draw.
    seconds_per_part : float
        A part is sealed at least so often [s].
    """

    view: View = lambda progress, stage: nullcontext()
    log_copy: Path | None = None
    opener: Opener = open_stage
    tell: Callable[[str], None] = lambda line: None
    seconds_per_part: float = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """A stage that is cut and fitted into memory, ready to run."""

    stage: Stage
    source: Source
    budget: Budget
    plan: Plan
    engine: EngineConfig
    manners: Manners


def resident() -> int:
    """Memory that this process takes now [bytes]."""
    return psutil.Process().memory_info().rss


def prepare(stage: Stage, engine: EngineConfig, manners: Manners, *, batch: int = 0) -> Job:
    """Compile the recipe, cut the source and fit the batches into memory.

    Parameters
    ----------
    stage : Stage
    engine : EngineConfig
    manners : Manners
    batch : int
        Spaxels read for a batch, as an earlier process chose; 0 to choose.

    Raises
    ------
    InputError
        If the bound on memory is too small.
    """
    batch = batch or engine.batch or stage.batch
    batch = batch or choose_batch(engine.memory, stage.cost, stage.spaxels)
    source = stage.cut(batch)
    keys = source.keys()
    slow = threading.Timer(2.0, manners.tell, ["compiling; only the first run waits for this"])
    slow.start()
    try:
        with threadpool_limits(1):  # tables made here are those that a run would make
            stage.recipe.prepare()
    finally:
        slow.cancel()
    largest = max(batch, stage.grain * max(len(key) for key in keys))
    budget = plan_memory(
        engine.memory,
        resident(),
        stage.cost,
        batch=min(largest, stage.spaxels),
        threads=engine.threads or len(os.sched_getaffinity(0)),
        rows=stage.rows,
    )
    plan = Plan(batch, len(keys), sum(len(key) for key in keys))
    return Job(stage, source, budget, plan, engine, manners)
