"""A run at one moment: what the live view draws and ``progress.json`` holds."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

RunState = Literal["starting", "running", "done", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment, as ``progress.json`` holds it.

    Parameters
    ----------
    name : str
        Of the input.
    state : str
        "starting", "running", "done", "interrupted" or "failed".
    message : str
        Why it failed.
    spaxels_done, spaxels_total, batches_done, batches_total : int
        Done, by any process, and in all.
    spaxels_safe : int
        Of those done, the ones in sealed parts: what a kill cannot take.
    spaxels_now : int
        Done by this process.
    rate_now, rate_mean : float or None
        Spectra per second, now and since this process began; None before the first batch.
    elapsed_s : float
        Since this process began.
    eta_s : float or None
        Left; None before the first batch and after the last.
    converged, no_signal, no_data, flagged : int
        Rows with status 0, without a line above the noise, without data, with any other bit.
    failed : int
        Batches that failed.
    failed_batches : tuple of str
        Their names.
    queue_fill, queue_size : int
        Batches waiting to be fitted, and how many may.
    rss_bytes, memory : int
        Resident memory and its bound [bytes].
    threads : int
    provider : str
        What runs the fits.
    pid : int
    started, updated : str
        UTC, ISO 8601.
    rows : str
        What is counted as spaxels: "spaxels", or "observations" and "sources" of an X-ray run.
    stage : str
        Which of `stages` this is: the table that is being filled.
    stages : tuple of str
        Of the run, in their order.
    """

    name: str
    state: RunState
    message: str
    spaxels_done: int
    spaxels_total: int
    batches_done: int
    batches_total: int
    spaxels_safe: int
    spaxels_now: int
    rate_now: float | None
    rate_mean: float | None
    elapsed_s: float
    eta_s: float | None
    converged: int
    no_signal: int
    no_data: int
    flagged: int
    failed: int
    failed_batches: tuple[str, ...]
    queue_fill: int
    queue_size: int
    rss_bytes: int
    memory: int
    threads: int
    provider: str
    pid: int
    started: str
    updated: str
    rows: str = "spaxels"
    stage: str = "fit"
    stages: tuple[str, ...] = ("fit",)

    def to_json(self) -> str:
        """Write ``progress.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change while a run lasts; the names are those of `Snapshot`."""

    name: str
    spaxels_total: int
    batches_total: int
    queue_size: int = 0
    memory: int = 0
    threads: int = 1
    provider: str = "cpu"
    rows: str = "spaxels"
    stage: str = "fit"
    stages: tuple[str, ...] = ("fit",)
