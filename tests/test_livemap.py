import numpy as np
import pyarrow as pa
import pytest

from streamfit.io.records import Area
from streamfit.io.results import FitStatus, arrow_schema, optical_columns
from streamfit.stream.livemap import LiveMap

SCHEMA = arrow_schema(optical_columns(["Hbeta", "Halpha"], "erg/s/cm2/A"), {})


def rows(x, y, **values):
    x, y = np.atleast_1d(x), np.atleast_1d(y)
    found = {name: np.ones(len(x)) for name in SCHEMA.names}
    found |= {"x": x, "y": y, "status": np.zeros(len(x)), **values}
    arrays = [
        pa.array(np.broadcast_to(found[field.name], len(x)).astype(field.type.to_pandas_dtype()))
        for field in SCHEMA
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def test_there_is_no_picture_before_the_first_row():
    assert LiveMap(Area(0, 4, 0, 4), SCHEMA).pictures() == ()


def test_cells_are_means_of_the_brightest_line_and_velocity():
    live = LiveMap(Area(0, 8, 0, 4), SCHEMA, width=4, height=4)
    assert live.side == 2
    live.add(rows([0, 1], [0, 1], Halpha_flux=[4.0, 6.0], velocity=[10.0, 30.0]))
    flux, velocity = live.pictures()
    assert flux.label == "flux of Halpha"
    assert flux.unit == "erg/s/cm2"
    assert flux.values.shape == (2, 4)
    assert flux.values[0, 0] == pytest.approx(5.0)
    assert np.isnan(flux.values[1:]).all()
    assert (velocity.label, velocity.unit) == ("velocity", "km/s")
    assert velocity.values[0, 0] == pytest.approx(20.0)


def test_rows_without_a_signal_are_left_out():
    live = LiveMap(Area(0, 2, 0, 1), SCHEMA)
    quiet = [int(FitStatus.NO_SIGNAL), 0]
    live.add(rows([0, 1], [0, 0], status=quiet))
    assert np.isnan(live.pictures()[0].values).tolist() == [[True, False]]


def test_a_region_begins_at_its_own_corner():
    live = LiveMap(Area(100, 104, 50, 52), SCHEMA)
    live.add(rows(103, 51))
    values = live.pictures()[0].values
    assert values.shape == (2, 4)
    assert np.argwhere(np.isfinite(values)).tolist() == [[1, 3]]


def test_a_large_cube_fits_into_the_cells():
    live = LiveMap(Area(0, 2048, 0, 2064), SCHEMA)
    live.add(rows(2047, 2063))
    assert live.shape[0] <= 64
    assert live.shape[1] <= 96
