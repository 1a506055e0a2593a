"""The picture of a run in a terminal: one snapshot in, one rich renderable out.

Numbers stand on the left, small maps beside them, as many as there is room for. From 80 x 24 on
everything is legible; a wide terminal shows two maps.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .labels import (
    counted,
    duration,
    line_label,
    percent,
    scale_exponent,
    size,
    superscript,
    unit_text,
)
from .livemap import Picture
from .livespectrum import Curve
from .mosaic import Gradient, Mosaic, Scale, fit_cells
from .snapshot import Snapshot

NUMBERS = 38
"""Columns of the numbers beside the maps."""

LEGEND = 28
"""Columns of a map's legend."""

_WIDEST = 100
"""Columns of a spectrum at most."""

QUIET = "grey58"


@dataclass(frozen=True, slots=True)
class Heading:
    """What the view says beside the snapshot.

    Parameters
    ----------
    run : str
        The run directory, as the user wrote it.
    lines : tuple of str
        Names of the lines fitted, or the method of an X-ray run.
    """

    run: str
    lines: tuple[str, ...]


def dashboard(
    snapshot: Snapshot,
    heading: Heading,
    maps: tuple[Picture | Curve, ...] = (),
    *,
    room: tuple[int, int],
    curve: str = "",
) -> RenderableType:
    """Draw a snapshot.

    Parameters
    ----------
    snapshot : Snapshot
        The state of the run.
    heading : Heading
        What is being fitted.
    maps : tuple of Picture or Curve
        The most telling first.
    room : (columns, rows)
        What may be drawn on.
    curve : str
        The rates of the last seconds, a character each.
    """
    columns, rows = room
    inner = columns - 4
    top = [*_heading_lines(snapshot, heading, inner), _bar(snapshot, inner), Text()]
    body = Table.grid(padding=(0, 3, 0, 0))
    drawn = _maps(maps, inner - NUMBERS - 3, rows - len(top) - 2)
    body.add_row(_numbers(snapshot, curve), *drawn)
    going_on = snapshot.state in ("starting", "running")
    return Panel(
        Group(*top, body),
        title=Text.assemble(("stream-fit ", "bold default"), _state(snapshot)),
        title_align="left",
        subtitle=Text("Ctrl-C stops, stream-fit resume goes on", QUIET) if going_on else None,
        subtitle_align="right",
        border_style="grey42",
        width=columns,
        padding=(0, 1),
    )


def _state(snapshot: Snapshot) -> Text:
    style = {"done": "green", "failed": "bold red", "interrupted": "yellow"}
    words = f"{snapshot.state}: {snapshot.message}" if snapshot.message else snapshot.state
    if len(snapshot.stages) > 1:
        words = f"{snapshot.stage}, {words}"
    return Text(words, style.get(snapshot.state, "cyan"))


def _heading_lines(snapshot: Snapshot, heading: Heading, width: int) -> list[RenderableType]:
    threads = snapshot.threads
    device = Text(f"{snapshot.provider}, {threads} thread{'s' if threads != 1 else ''}", QUIET)
    where = Text.assemble((snapshot.name, "bold"), ("  to  ", QUIET), heading.run)
    where.truncate(width - len(device) - 2, overflow="ellipsis")
    lines = Text("  ".join(line_label(name) for name in heading.lines), "cyan")
    lines.truncate(width, overflow="ellipsis")
    table = Table.grid(expand=True)
    table.add_column(ratio=1, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_row(where, device)
    return [table, lines]


def _bar(snapshot: Snapshot, width: int) -> RenderableType:
    done, total = snapshot.spaxels_done, snapshot.spaxels_total
    counts = f"{percent(done, total)}   {counted(done)} of {counted(total)}"
    bar = ProgressBar(
        total=max(1, total),
        completed=done,
        width=max(8, width - len(counts) - 2),
        complete_style="cyan",
        finished_style="green",
        style="grey27",
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(bar, Text(counts, "bold"))
    return table


def _numbers(snapshot: Snapshot, curve: str) -> Table:
    """Rate, time, memory and queue above, what became of the spaxels below."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=QUIET, no_wrap=True, width=9)
    table.add_column(no_wrap=True, width=NUMBERS - 11)
    now = rate_text(snapshot.rate_now)
    room = max(0, NUMBERS - 13 - len(now))
    table.add_row("now", Text.assemble(now, "  ", (curve[len(curve) - room :], "cyan")))
    table.add_row("average", rate_text(snapshot.rate_mean))
    table.add_row("elapsed", duration(snapshot.elapsed_s))
    table.add_row("left", _left(snapshot))
    bound = f" of {size(snapshot.memory)}" if snapshot.memory else ""
    table.add_row("memory", Text.assemble(size(snapshot.rss_bytes), (bound, QUIET)))
    table.add_row("queue", _queue(snapshot))
    table.add_row("", "")
    rows = (
        ("converged", snapshot.converged, "green"),
        ("flagged", snapshot.flagged, "yellow"),
        ("no signal", snapshot.no_signal, "grey70"),
        ("no data", snapshot.no_data, "grey50"),
    )
    wide = max(len(counted(count)) for _, count, _ in rows)
    for name, count, style in rows:
        share = f"{percent(count, snapshot.spaxels_done):>9}" if snapshot.spaxels_done else ""
        table.add_row(name, Text.assemble((counted(count).rjust(wide), style), (share, QUIET)))
    if snapshot.failed:
        several = "batch" if snapshot.failed == 1 else "batches"
        table.add_row("failed", Text(f"{snapshot.failed} {several}", "bold red"))
    return table


def rate_text(rate: float | None) -> str:
    """Write spectra per second with three digits."""
    if rate is None:
        return "— spectra/s"
    return f"{counted(round(rate)) if rate >= 100 else f'{rate:.3g}'} spectra/s"


def _left(snapshot: Snapshot) -> Text:
    if snapshot.spaxels_done >= snapshot.spaxels_total:
        return Text("nothing")
    if snapshot.eta_s is None or not math.isfinite(snapshot.eta_s):
        return Text("not known yet" if snapshot.state != "interrupted" else "—", QUIET)
    end = time.localtime(time.time() + snapshot.eta_s)
    until = time.strftime("%H:%M" if snapshot.eta_s < 72000 else "%a %H:%M", end)
    return Text.assemble((duration(snapshot.eta_s), "bold"), (f", until {until}", QUIET))


def _queue(snapshot: Snapshot) -> Text:
    depth = max(1, snapshot.queue_size)
    slots = min(10, depth)
    full = round(slots * min(1.0, snapshot.queue_fill / depth))
    return Text.assemble(
        ("■" * full, "cyan"),
        ("□" * (slots - full), "grey42"),
        (f"  {snapshot.queue_fill} of {snapshot.queue_size} batches", QUIET),
    )


def _maps(maps: tuple[Picture | Curve, ...], columns: int, rows: int) -> list[RenderableType]:
    """Draw as many maps side by side, of one size, as there is room for."""
    if columns < LEGEND or rows < 5 or not maps:
        return []
    number = max(1, min(len(maps), (columns + 3) // (LEGEND + 7)))
    wide = (columns + 3) // number - 3
    drawn: list[RenderableType] = []
    for coarse in maps[:number]:
        if isinstance(coarse, Curve):
            drawn.append(_spectrum(coarse, min(wide, _WIDEST), rows - 2))
            continue
        cells = fit_cells(coarse.values, wide, 2 * (rows - 2))
        drawn.append(_map(coarse, cells, max(cells.shape[1], LEGEND)))
    return drawn


def _map(coarse: Picture, cells: NDArray[Any], wide: int) -> RenderableType:
    """Draw a map with its name, unit and colours below."""
    palette = "velocity" if "velocity" in coarse.label else "intensity"
    scale = Scale.of(coarse.values, palette)
    exponent = scale_exponent((scale.low, scale.high))
    low, high = (f"{limit / 10.0**exponent:.3g}" for limit in (scale.low, scale.high))
    legend = Table.grid()
    bar = Gradient(palette, max(4, LEGEND - 2 - len(low + high)))
    legend.add_row(f"{low} ", bar, f" {high}")
    words = Text.assemble((_label(coarse), "bold"), f" {unit_text(coarse.unit, exponent)}")
    words.truncate(wide, overflow="ellipsis")
    return Group(Mosaic(scale.levels(cells), palette), words, legend)


def _spectrum(curve: Curve, wide: int, high: int) -> RenderableType:
    """Draw a spectrum with its bands, its name, its scales and its unit below."""
    levels = Scale(0.0, 1.0, "intensity").levels(curve.raster(wide, 2 * high))
    words = Text(curve.label, "bold")
    words.truncate(wide, overflow="ellipsis")
    low, top = (superscript(round(limit, 1)) for limit in curve.limits)
    scales = Text(
        f"{curve.edges[0]:g} to {curve.edges[-1]:g} keV, 10{low} to 10{top} "
        f"{unit_text(curve.unit)}",
        QUIET,
    )
    scales.truncate(wide, overflow="ellipsis")
    return Group(Mosaic(levels, "intensity"), words, scales)


def _label(coarse: Picture) -> str:
    """Write "flux of Halpha" as "Hα flux"."""
    quantity, of, line = coarse.label.partition(" of ")
    return f"{line_label(line)} {quantity}" if of else coarse.label
