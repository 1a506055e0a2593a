"""The live view of a run: what is done, how fast, how well, and small maps as parts land.

`LiveView` asks for a snapshot a few times a second and draws it as `dashboard.py` says; it counts
nothing itself. Where standard error is no terminal it writes a plain line with the time instead,
about every five seconds, less often as a run grows long.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live

from .dashboard import Heading, dashboard, rate_text
from .labels import counted, duration, percent, size
from .progress import Progress
from .snapshot import Snapshot

REFRESH = 4.0
"""Pictures per second."""

LINE_EVERY = 5.0
"""Shortest time between plain lines [s]; a fiftieth of the run's age once that is longer."""

LOOK_EVERY = 0.5
"""Time between looks at a run that is written in lines [s]."""

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Trace:
    """The rates seen so far, one a second, for a small curve."""

    rates: deque[float] = field(default_factory=lambda: deque(maxlen=40))
    last: float = -math.inf

    def add(self, snapshot: Snapshot) -> None:
        """Note the rate, if a second has passed."""
        if snapshot.rate_now is not None and snapshot.elapsed_s - self.last >= 1.0:
            self.rates.append(snapshot.rate_now)
            self.last = snapshot.elapsed_s

    @property
    def curve(self) -> str:
        """A character for each rate, the highest full."""
        top = max(self.rates, default=0.0) or 1.0
        return "".join(_BARS[min(7, int(8 * rate / top))] for rate in self.rates)


class LiveView:
    """Draws a run while it goes on; a context manager.

    Parameters
    ----------
    progress : Progress
        Asked for snapshots, from the view's own thread.
    heading : Heading
        What is being fitted.
    console : rich.console.Console, optional
        Standard error by default.
    plain : bool or None
        True for lines with a time; None to decide by whether the console is a terminal.
    """

    def __init__(
        self,
        progress: Progress,
        heading: Heading,
        *,
        console: Console | None = None,
        plain: bool | None = None,
    ) -> None:
        self.progress, self.heading = progress, heading
        self.console = console or Console(stderr=True)
        dumb = not self.console.is_terminal or self.console.is_dumb_terminal
        self.plain = dumb if plain is None else plain
        self.trace = Trace()
        self._live: Live | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "LiveView":
        """Begin to draw."""
        if self.plain:
            self._say(first_line(self.progress.snapshot(), self.heading))
            self._thread = threading.Thread(target=self._write_lines, name="view", daemon=True)
            self._thread.start()
        else:
            self._live = Live(
                get_renderable=self._draw,
                console=self.console,
                refresh_per_second=REFRESH,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draw the last state and leave it standing."""
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._say(plain_line(self.progress.snapshot()))

    def _draw(self) -> RenderableType:
        snapshot = self.progress.snapshot()
        self.trace.add(snapshot)
        live_map, terminal = self.progress.live_map, self.console.size
        return dashboard(
            snapshot,
            self.heading,
            live_map.pictures() if live_map is not None else (),
            # The last row stays free for the cursor.
            room=(terminal.width, terminal.height - 1),
            curve=self.trace.curve,
        )

    def _say(self, text: str) -> None:
        moment = time.strftime("%H:%M:%S")
        self.console.print(f"{moment}  {text}", markup=False, highlight=False, soft_wrap=True)

    def _write_lines(self) -> None:
        said_at, said_part = time.monotonic(), 0.0
        while not self._ended.wait(LOOK_EVERY):
            snapshot = self.progress.snapshot()
            part = snapshot.spaxels_done / max(1, snapshot.spaxels_total)
            since = time.monotonic() - said_at
            further = part - said_part >= 0.05
            if since >= LINE_EVERY and (further or since >= snapshot.elapsed_s / 50):
                self._say(plain_line(snapshot))
                said_at, said_part = time.monotonic(), part


def first_line(snapshot: Snapshot, heading: Heading) -> str:
    """Say in a line what is being fitted."""
    lines = ", ".join(heading.lines)
    threads = f"{snapshot.threads} thread{'s' if snapshot.threads != 1 else ''}"
    return f"{snapshot.name} to {heading.run}: {lines}; {snapshot.provider}, {threads}"


def stage_prefix(snapshot: Snapshot) -> str:
    """Name the stage, where a run has more than one."""
    return f"{snapshot.stage} " if len(snapshot.stages) > 1 else ""


def plain_line(snapshot: Snapshot) -> str:
    """Say in a line how far the run is."""
    done, total = snapshot.spaxels_done, snapshot.spaxels_total
    over = snapshot.state not in ("starting", "running")
    words = [
        f"{stage_prefix(snapshot)}{snapshot.state} {percent(done, total)}",
        f"{counted(done)} of {counted(total)} {snapshot.rows}",
        f"{rate_text(snapshot.rate_now)}",
        f"in {duration(snapshot.elapsed_s)}" if over else f"{duration(snapshot.eta_s)} left",
        f"memory {size(snapshot.rss_bytes)}",
        f"{counted(snapshot.converged)} converged",
        f"{counted(snapshot.flagged)} flagged",
        f"{counted(snapshot.no_signal)} no signal",
        f"{counted(snapshot.no_data)} no data",
    ]
    if snapshot.failed:
        words.append(f"failed: {' '.join(snapshot.failed_batches)}")
    if snapshot.message:
        words.append(snapshot.message)
    return ", ".join(words)
