"""A still of the live view as SVG, for a page.

rich draws the SVG; here it is made to look the same in any browser and with any font. Half blocks
become rectangles, since fonts draw them with seams, and spaces at the ends of a text, which some
renderers squeeze out, become an offset.
"""

import io
import re
from html import escape, unescape
from pathlib import Path

from rich.console import Console

from .dashboard import Heading, dashboard
from .livemap import Picture
from .livespectrum import Curve
from .snapshot import Snapshot

STILL = (120, 24)
"""Columns and rows."""

# As rich lays out its SVG: lines 24.4 px high, cells 12.2 px wide, the background of a line
# beginning 18.5 px above its baseline.
_LINE, _CELL, _ASCENT = 24.4, 12.2, 18.5
_SPACE = "\u00a0"
_TEXT = re.compile(
    r'<text class="(?P<kind>[^"]*-r\d+)" x="(?P<x>[^"]+)" y="(?P<y>[^"]+)" '
    r'textLength="[^"]+" (?P<clip>[^>]*)>(?P<text>[^<]*)</text>'
)


def still_svg(
    snapshot: Snapshot,
    path: Path,
    *,
    heading: Heading,
    maps: tuple[Picture | Curve, ...] = (),
    room: tuple[int, int] = STILL,
    curve: str = "",
) -> None:
    """Draw a snapshot as an SVG.

    Parameters
    ----------
    snapshot : Snapshot
        The state of the run.
    path : Path
        The SVG, replaced if it is there.
    heading : Heading
        What is being fitted.
    maps : tuple of Picture or Curve
        The most telling first.
    room : (columns, rows)
        Size of the terminal to draw.
    curve : str
        The rates of the last seconds, a character each.
    """
    console = Console(
        record=True,
        file=io.StringIO(),
        width=room[0],
        height=room[1],
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(dashboard(snapshot, heading, maps, room=room, curve=curve))
    svg = console.export_svg(
        title=f"stream-fit optical {snapshot.name} -o {heading.run}", unique_id="stream-fit"
    )
    path.write_text(portable(svg), encoding="utf-8")


def portable(svg: str) -> str:
    """Free rich's SVG from what depends on fonts and on white space."""
    return _TEXT.sub(_shape_or_text, svg.replace("&#160;", _SPACE))


def _shape_or_text(found: re.Match[str]) -> str:
    text, x, y = unescape(found["text"]), float(found["x"]), float(found["y"])
    kind = f'class="{found["kind"]}"'
    if text and not text.strip("▀"):
        return (
            f'<rect {kind} x="{x:.1f}" y="{y - _ASCENT:.1f}" width="{_CELL * len(text) + 0.3:.1f}" '
            f'height="{_LINE / 2 + 0.3:.1f}" shape-rendering="crispEdges"/>'
        )
    shown = text.strip(_SPACE)
    if not shown:
        return ""
    x += _CELL * (len(text) - len(text.lstrip(_SPACE)))
    return (
        f'<text {kind} x="{x:.1f}" y="{y:g}" textLength="{_CELL * len(shown):.1f}" '
        f"{found['clip']}>{escape(shown, quote=False)}</text>"
    )
