import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamfit.io.records import Area
from streamfit.io.tiling import Panel, cut, overlap

side = st.integers(1, 40)


@st.composite
def plans(draw):
    """A panel anywhere, its tile, a region and a batch."""
    x, y = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    panel = Area(x, x + draw(side), y, y + draw(side))
    rx, ry = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    region = Area(rx, rx + draw(side), ry, ry + draw(side))
    return region, Panel(panel, (draw(side), draw(side))), draw(st.integers(1, 600))


def visits(areas):
    count = np.zeros((100, 100), dtype=int)
    for area in areas:
        count[area.x0 : area.x1, area.y0 : area.y1] += 1
    return count


@given(plans())
def test_every_spaxel_of_the_region_is_visited_once_and_no_other(plan):
    region, panel, batch = plan
    areas = list(cut(region, panel, batch=batch))
    shared = overlap(region, panel.area)
    assert np.array_equal(visits(areas), visits([] if shared is None else [shared]))
    assert all(len(area) <= batch for area in areas)


@given(plans())
def test_a_tile_is_finished_before_the_next_is_begun(plan):
    _, panel, batch = plan
    order: dict[tuple[int, int], list[int]] = {}
    for index, area in enumerate(cut(panel.area, panel, batch=batch)):
        for x in range(area.x0 - panel.area.x0, area.x1 - panel.area.x0):
            for y in range(area.y0 - panel.area.y0, area.y1 - panel.area.y0):
                tile = x // panel.tile[0], y // panel.tile[1]
                order.setdefault(tile, []).append(index)
    whole = min(panel.tile[0], panel.area.shape[0]) * min(panel.tile[1], panel.area.shape[1])
    for indices in order.values():
        assert len(set(indices)) == max(indices) - min(indices) + 1
        assert whole > batch or len(set(indices)) == 1


@given(st.integers(1, 30), st.integers(1, 30), side, side, st.integers(2, 5), st.integers(1, 300))
def test_no_bin_is_cut(nx, ny, tile_x, tile_y, grain, batch):
    whole = Area(0, nx, 0, ny)
    areas = list(cut(whole, Panel(whole, (tile_x, tile_y)), batch=batch, grain=grain))
    assert np.array_equal(visits(areas), visits([whole]))
    for area in areas:
        assert area.x0 % grain == 0
        assert area.y0 % grain == 0
        assert area.x1 % grain == 0 or area.x1 == nx
        assert area.y1 % grain == 0 or area.y1 == ny
        assert len(area) <= max(batch, grain**2)


def test_whole_columns_of_a_contiguous_cube_make_a_batch():
    whole = Area(0, 2048, 0, 1000)
    areas = list(cut(whole, Panel(whole, (1, 1000)), batch=4096))
    assert areas[0] == Area(0, 4, 0, 1000)
    assert len(areas) == 512


def test_pieces_of_a_large_tile_follow_each_other():
    whole = Area(0, 512, 0, 512)
    areas = list(cut(whole, Panel(whole, (256, 256)), batch=4096))
    assert areas[:2] == [Area(0, 16, 0, 256), Area(16, 32, 0, 256)]
    assert areas[16] == Area(0, 16, 256, 512)
