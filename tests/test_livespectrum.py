"""What the live view of an X-ray run draws."""

import io
import re

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from streamfit.io.records import BatchKey
from streamfit.io.xray_columns import deconvolve_schema
from streamfit.stream.dashboard import Heading, dashboard
from streamfit.stream.livespectrum import Curve, LiveSpectrum
from streamfit.stream.progress import Progress
from streamfit.stream.snapshot import Setting
from streamfit.stream.tui import plain_line

EDGES = np.geomspace(0.4, 8.5, 33)
SCHEMA = deconvolve_schema(EDGES, {})
CENTRE = np.sqrt(EDGES[1:] * EDGES[:-1])


def rows(*status):
    """A row for each status; its flux falls as its number does."""
    columns = []
    for field in SCHEMA:
        if field.name == "status":
            columns.append(pa.array(status, pa.int32()))
        elif pa.types.is_fixed_size_list(field.type):
            flat = np.concatenate([-2.0 * np.log(CENTRE) - number for number in range(len(status))])
            if field.name.endswith("sigma"):
                flat = np.full(flat.size, 0.3)
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), type=field.type))
        elif pa.types.is_string(field.type):
            columns.append(pa.array([f"{field.name}{number}" for number in range(len(status))]))
        else:
            columns.append(pa.array(np.full(len(status), 7), field.type))
    return pa.record_batch(columns, schema=SCHEMA)


def test_the_last_row_with_a_spectrum_is_kept():
    live = LiveSpectrum(SCHEMA)
    assert live.pictures() == ()
    live.add(rows(1, 1))
    assert live.pictures() == ()
    live.add(rows(0, 1024, 1))
    (curve,) = live.pictures()
    assert curve.label == "obs1, target1, 7 counts"
    np.testing.assert_allclose(curve.log_flux, -2.0 * np.log(CENTRE) - 1)
    live.add(rows(1))
    assert live.pictures() == (curve,)


def test_a_power_law_is_a_straight_line_with_its_band_around_it():
    curve = Curve(EDGES, -2.0 * np.log(CENTRE), np.full(CENTRE.size, 0.3), "a")
    drawn = curve.raster(60, 40)
    top = np.array([np.flatnonzero(column == 1.0).mean() for column in drawn.T])
    straight = np.polyval(np.polyfit(np.arange(60), top, 1), np.arange(60))
    assert np.abs(top - straight).max() < 1.0
    assert top[0] > top[-1]
    low, high = curve.limits
    per_row = (high - low) * np.log(10.0) / 40
    for level, reach in ((0.5, 0.3), (0.25, 1.96 * 0.3)):
        column = np.flatnonzero(drawn[:, 30] >= level)
        assert (np.ptp(column) + 1) * per_row == pytest.approx(2 * reach, abs=2 * per_row)


def test_what_is_not_known_is_left_out():
    nothing = Curve(EDGES, np.full(CENTRE.size, np.nan), np.full(CENTRE.size, np.nan), "a")
    assert np.isnan(nothing.raster(30, 20)).all()
    unbanded = Curve(EDGES, -2.0 * np.log(CENTRE), np.full(CENTRE.size, np.nan), "a")
    assert set(unbanded.raster(30, 20)[~np.isnan(unbanded.raster(30, 20))]) == {1.0}


@pytest.mark.parametrize("room", [(80, 23), (120, 30), (200, 60), (40, 10)])
def test_the_view_of_an_x_ray_run_fits_its_room(room):
    progress = Progress(
        Setting("a.pi and 9 more", 10, 5, rows="observations"), live_map=LiveSpectrum(SCHEMA)
    )
    progress.begin()
    progress.add(BatchKey("a", 0, 2), rows(0, 0))
    out = Console(
        file=io.StringIO(),
        width=room[0],
        height=room[1],
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    heading = Heading("run", ("penalised Poisson fit of ln flux",))
    pictures = progress.live_map.pictures()
    out.print(dashboard(progress.snapshot(), heading, pictures, room=room))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.file.getvalue())
    lines = text.splitlines()
    assert len(lines) <= max(room[1], 19)
    assert {len(line) for line in lines} == {room[0]}
    if room[0] >= 80:
        assert "obs1, target1, 7 counts" in text
        assert "0.4 to 8.5 keV, 10" in text
        assert "▀" in text
        assert "penalised Poisson fit" in text
    assert "2 of 10 observations" in plain_line(progress.snapshot())
