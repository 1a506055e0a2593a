import threading

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from rotating_disk import FLUX_UNIT, celestial, disk

from streamfit.io.errors import StorageError
from streamfit.io.products import NO_ROW, MapGrid
from streamfit.io.results import FitStatus
from streamfit.stream.quicklook import (
    STATUS_COLOURS,
    Picture,
    draw,
    gravest,
    kind_of,
    robust_limits,
    shrink,
    stretch,
)

NX, NY = 48, 36


@pytest.fixture(scope="module")
def pictures():
    columns, grid = disk(NX, NY), MapGrid((NX, NY))

    def laid(name):
        filled = grid.blank(columns[name].dtype)
        filled[grid.index(columns["x"], columns["y"])] = columns[name]
        return filled.reshape(NY, NX)

    return [
        Picture(laid("Halpha_flux"), "Hα flux", FLUX_UNIT, "intensity"),
        Picture(laid("velocity"), "velocity", "km/s", "velocity"),
        Picture(laid("broadening"), "broadening", "km/s", "positive"),
        Picture(laid("status"), "status", "", "status"),
    ]


@pytest.mark.parametrize("cards", [{}, celestial(NX, NY)], ids=["pixels", "sky"])
def test_every_kind_is_drawn_with_and_without_a_sky(tmp_path, pictures, cards):
    path = tmp_path / "overview.png"
    draw(path, pictures, grid=MapGrid((NX, NY), celestial=cards), title="NGC 628")
    image = imread(path)
    assert min(image.shape[:2]) > 800
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 500
    assert [left.name for left in tmp_path.iterdir()] == ["overview.png"]


def test_maps_of_nothing_or_of_one_value_are_drawn(tmp_path):
    grid = MapGrid((5, 1))
    for kind in ("intensity", "velocity", "positive"):
        for value in (np.nan, 0.0, -3e-17):
            values = np.full((1, 5), value, np.float32)
            draw(tmp_path / "a.png", [Picture(values, "a", "", kind)], grid=grid, title="")
    nothing = np.full((1, 5), NO_ROW, np.int32)
    draw(tmp_path / "a.png", [Picture(nothing, "a", "", "status")], grid=grid, title="")


def test_threads_may_draw_at_once_and_no_setting_is_touched(tmp_path, pictures):
    before = dict(mpl.rcParams)
    grid = MapGrid((NX, NY))
    work = [
        threading.Thread(
            target=draw,
            args=(tmp_path / f"{number}.png", [picture]),
            kwargs=dict(grid=grid, title=""),
        )
        for number, picture in enumerate(pictures[:2])
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert dict(mpl.rcParams) == before


def test_wild_spaxels_do_not_move_the_limits():
    values = np.random.default_rng(1).normal(100.0, 5.0, (60, 60))
    calm = robust_limits(values, 2, 98)
    values[0, :5] = 1e9
    values[1, :5] = np.nan
    assert robust_limits(values, 2, 98) == pytest.approx(calm, abs=1.0)


def test_velocities_diverge_about_their_median():
    norm = stretch(np.array([[-10.0, 0.0, 5.0, 20.0, 200.0]]), "velocity")
    assert norm(5.0) == pytest.approx(0.5)
    assert norm.vmax - 5.0 == pytest.approx(5.0 - norm.vmin)


def test_limits_of_nothing_are_not_empty():
    assert robust_limits(np.full(3, np.nan), 1, 99) == (0.0, 1.0)
    low, high = robust_limits(np.full(3, 7.0), 1, 99)
    assert low < 7.0 < high


def test_shrinking_averages_what_is_known():
    values = np.arange(16.0).reshape(4, 4)
    values[0, 0] = np.nan
    small = shrink(values, 2)
    assert small[0, 0] == pytest.approx(np.mean([1, 4, 5]))
    assert small[1, 1] == pytest.approx(np.mean([10, 11, 14, 15]))
    assert shrink(np.full((4, 4), np.nan), 2).shape == (2, 2)
    assert shrink(values, 4) is values
    assert shrink(np.arange(25).reshape(5, 5), 2).dtype.kind == "i"


def test_a_pixel_shows_its_gravest_bit():
    bits = list(STATUS_COLOURS)
    status = np.array([0, NO_ROW, bits[0] | bits[-1], bits[-1], 1 << 17], np.int32)
    assert gravest(status).tolist() == [0, -1, 1, len(bits), len(bits) + 1]


def test_every_bit_has_a_colour():
    assert set(STATUS_COLOURS) == set(FitStatus)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("velocity_g2", "velocity"),
        ("broadening", "positive"),
        ("Halpha_flux", "intensity"),
        ("snr", "intensity"),
        ("chi2", None),
        ("Halpha_amplitude", None),
    ],
)
def test_columns_know_how_they_are_drawn(column, kind):
    assert kind_of(column) == kind


def test_a_folder_that_is_not_there_is_said(tmp_path, pictures):
    with pytest.raises(StorageError, match="cannot be written"):
        draw(tmp_path / "no" / "a.png", pictures[:1], grid=MapGrid((NX, NY)), title="")
