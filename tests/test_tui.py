import io
import re
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from rich.console import Console
from rotating_disk import LINES, disk, table_of

from streamfit.io.records import Area, BatchKey
from streamfit.stream.dashboard import Heading, dashboard
from streamfit.stream.livemap import LiveMap
from streamfit.stream.mosaic import LEVELS, Mosaic, Scale, colours, fit_cells
from streamfit.stream.progress import Progress
from streamfit.stream.snapshot import Setting
from streamfit.stream.still import portable, still_svg
from streamfit.stream.tui import LiveView, Trace, first_line, plain_line

NX, NY, STRIP = 64, 48, 4
HEADING = Heading("m33-run", LINES)


class Run:
    """A run of the test disk, fed by hand, with a clock of its own."""

    def __init__(self):
        columns = disk(NX, NY)
        table = table_of(columns)
        self.now = 0.0
        self.parts = table.to_batches(max_chunksize=STRIP * NY)
        setting = Setting("M33_SN3.hdf5", NX * NY, NX // STRIP, 4, 2 * 2**30, 2, "numba on cpu")
        self.progress = Progress(
            setting,
            live_map=LiveMap(Area(0, NX, 0, NY), table.schema),
            waiting=lambda: 3,
            clock=lambda: self.now,
        )

    def feed(self, parts):
        self.progress.begin()
        for number, rows in enumerate(self.parts[:parts]):
            self.now += 2.0
            start = number * STRIP * NY
            self.progress.add(BatchKey("a", start, start + len(rows)), rows)
        return self


def draw(run, room, **console):
    out = Console(
        file=io.StringIO(),
        width=room[0],
        height=room[1],
        **({"force_terminal": True, "color_system": "truecolor", "_environ": {}} | console),
    )
    live_map = run.progress.live_map
    out.print(dashboard(run.progress.snapshot(), HEADING, live_map.pictures(), room=room))
    return out.file.getvalue()


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("room", [(80, 23), (120, 30), (200, 60)])
def test_the_view_fits_its_room_and_says_what_matters(room):
    lines = plain(draw(Run().feed(6), room)).splitlines()
    assert len(lines) <= room[1]
    assert {len(line) for line in lines} == {room[0]}
    text = "\n".join(lines)
    for words in (
        "M33_SN3.hdf5  to  m33-run",
        "numba on cpu, 2 threads",
        "Hα  [N II] 6548  [N II] 6583",
        "37.5 %   1 152 of 3 072",
        "96 spectra/s",
        "20 s, until",
        "of 2.0 GiB",
        "3 of 4 batches",
        "Hα flux 10⁻¹⁶ erg s⁻¹ cm⁻²",
    ):
        assert words in text
    assert ("velocity km s⁻¹" in text) == (room[0] >= 120)


@pytest.mark.parametrize("room", [(40, 10), (20, 5), (60, 23)])
def test_a_small_terminal_leaves_the_map_out(room):
    assert "▀" not in draw(Run().feed(6), room)


def test_nothing_is_claimed_before_the_first_batch():
    text = plain(draw(Run().feed(0), (80, 23)))
    assert "not known yet" in text
    assert "— spectra/s" in text
    assert "0.0 %" in text
    assert "▀" not in text


def test_the_end_is_told_with_its_reason():
    run = Run().feed(3)
    run.progress.fail(BatchKey("M33_SN3.hdf5", 0, 9))
    run.progress.end("failed", "disk full")
    text = plain(draw(run, (80, 23)))
    assert "stream-fit failed: disk full" in text
    assert "1 batch" in text
    assert "Ctrl-C" not in text


def test_without_colours_the_map_is_shades():
    text = draw(Run().feed(16), (80, 23), color_system=None)
    assert "\x1b[" not in text
    assert "▀" not in text
    assert {"░", "▓"} <= set(text)


def test_the_map_stands_upright():
    values = np.full((4, 3), np.nan)
    values[3, 0] = 1.0
    values[0, 2] = 2.0
    levels = Scale(0.0, 2.0, "velocity").levels(values)
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    top, bottom = console.render_lines(Mosaic(levels, "velocity"), pad=False)
    assert top[0].style.color.name == colours("velocity")[(LEVELS - 1) // 2]
    assert bottom[2].style.bgcolor.name == colours("velocity")[-1]


def test_cells_are_averaged_or_repeated_to_the_room():
    values = np.arange(24.0).reshape(4, 6)
    values[0, 0] = np.nan
    assert fit_cells(values, 13, 9).shape == (8, 12)
    assert fit_cells(values, 7, 5) is values
    small = fit_cells(values, 3, 2)
    assert small.shape == (2, 3)
    assert small[0, 0] == pytest.approx(np.mean([1, 6, 7]))
    assert fit_cells(np.full((4, 6), np.nan), 3, 2).shape == (2, 3)


def test_scales_are_not_moved_by_one_wild_cell():
    values = np.random.default_rng(1).normal(50, 3, (30, 30))
    values[3, 3] = 1e12
    assert Scale.of(values, "velocity").high < 70
    assert Scale.of(values, "intensity").high < 70
    assert Scale.of(np.full((2, 2), np.nan), "velocity").levels(values).min() >= 0
    assert Scale.of(np.full((2, 2), 3.0), "velocity").high > 3.0


def test_off_a_terminal_there_are_lines_with_a_time():
    run, out = Run().feed(6), io.StringIO()
    with LiveView(run.progress, HEADING, console=Console(file=out, width=30)):
        pass
    first, last = out.getvalue().splitlines()
    assert re.match(r"\d\d:\d\d:\d\d  M33_SN3.hdf5 to m33-run: Halpha, NII6548", first)
    assert re.match(r"\d\d:\d\d:\d\d  running 37.5 %, 1 152 of 3 072 spaxels, 96 spectra/s", last)


def test_lines_come_while_the_run_goes_on(monkeypatch):
    monkeypatch.setattr("streamfit.stream.tui.LINE_EVERY", 0.01)
    monkeypatch.setattr("streamfit.stream.tui.LOOK_EVERY", 0.01)
    run, out = Run().feed(0), io.StringIO()
    with LiveView(run.progress, HEADING, console=Console(file=out)):
        run.feed(1)
        limit = time.monotonic() + 5
        while "6.2 %" not in out.getvalue() and time.monotonic() < limit:
            time.sleep(0.01)
    assert out.getvalue().count("running 6.2 %") >= 2


def test_on_a_terminal_the_last_state_stays():
    run, out = Run().feed(6), io.StringIO()
    console = Console(
        file=out, width=90, height=30, force_terminal=True, _environ={"TERM": "xterm"}
    )
    with LiveView(run.progress, HEADING, console=console) as view:
        assert not view.plain
        run.feed(16)
        run.progress.end("done")
    assert "stream-fit done" in plain(out.getvalue())
    assert "100 %" in plain(out.getvalue())


def test_plain_lines_tell_failures():
    run = Run().feed(2)
    run.progress.fail(BatchKey("M33_SN3.hdf5", 0, 9))
    run.progress.end("failed", "1 batch failed")
    line = plain_line(run.progress.snapshot())
    assert "in 4 s" in line
    assert line.endswith("failed: M33_SN3.hdf5[0:9], 1 batch failed")
    assert first_line(run.progress.snapshot(), HEADING).endswith("numba on cpu, 2 threads")


def test_the_curve_follows_the_rate():
    trace, run = Trace(), Run()
    assert trace.curve == ""
    for parts in (1, 2, 3):
        trace.add(run.feed(parts).progress.snapshot())
    trace.add(run.progress.snapshot())
    assert len(trace.curve) == 3
    assert "█" in trace.curve


def test_a_still_is_svg_that_needs_no_font_for_its_map(tmp_path):
    run = Run().feed(10)
    path = tmp_path / "still.svg"
    maps = run.progress.live_map.pictures()
    still_svg(run.progress.snapshot(), path, heading=HEADING, maps=maps, curve="▃▅█")
    text = path.read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "▀" not in text
    assert text.count('shape-rendering="crispEdges"/>') > 500
    assert "stream-fit optical M33_SN3.hdf5 -o m33-run" in text.replace("\u00a0", " ")


def test_spaces_at_the_ends_of_a_text_become_an_offset():
    svg = '<text class="a-r1" x="10" y="20" textLength="61" clip-path="c">&#160;a&lt;b&#160;</text>'
    wanted = '<text class="a-r1" x="22.2" y="20" textLength="36.6" clip-path="c">a&lt;b</text>'
    assert portable(svg) == wanted
    assert portable(svg.replace("a&lt;b", "&#160;")) == ""
