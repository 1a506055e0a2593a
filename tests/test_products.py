import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from rotating_disk import celestial

from streamfit.io.celestial import binned_cards
from streamfit.io.errors import InputError, StorageError
from streamfit.io.products import NO_ROW, MapGrid, write_map


def test_a_pixel_of_a_region_is_where_it_is_in_the_cube(tmp_path):
    cards = celestial(40, 30)
    whole, region = MapGrid((40, 30), (0, 0), cards), MapGrid((10, 8), (7, 5), cards)
    for name, grid in (("whole", whole), ("region", region)):
        write_map(tmp_path / f"{name}.fits", grid.blank(), grid=grid, cards={})
    sky = WCS(fits.getheader(tmp_path / "whole.fits")).pixel_to_world_values(9, 11)
    part = fits.getheader(tmp_path / "region.fits")
    np.testing.assert_allclose(WCS(part).pixel_to_world_values(2, 6), sky, rtol=1e-13)
    assert (part["LTV1"], part["LTV2"]) == (-7, -5)
    assert (part["NAXIS1"], part["NAXIS2"]) == (10, 8)


def test_a_bin_of_a_region_is_at_the_centre_of_its_spaxels():
    cards = celestial(40, 30)
    binned = MapGrid((5, 4), (2, 1), binned_cards(cards, 4))
    plain = {name: card for name, card in binned.cards.items() if not name.startswith("LTV")}
    centre = WCS(cards).pixel_to_world_values(4 * (2 + 3) + 1.5, 4 * (1 + 2) + 1.5)
    np.testing.assert_allclose(WCS(plain).pixel_to_world_values(3, 2), centre, rtol=1e-12)


def test_rows_land_at_y_x_of_the_array():
    grid = MapGrid((4, 3), (10, 20))
    filled = grid.blank()
    filled[grid.index(np.array([13], np.int32), np.array([21], np.int32))] = 7.0
    assert np.argwhere(filled.reshape(3, 4) == 7.0).tolist() == [[1, 3]]
    assert np.isnan(filled).sum() == 11


def test_a_blank_status_has_every_bit_set():
    assert (MapGrid((2, 2)).blank(np.int32) & (1 << 20)).all()
    assert NO_ROW == -1


def test_checksums_hold_and_the_error_has_unit_and_wcs(tmp_path):
    grid, path = MapGrid((5, 4), (0, 0), celestial(5, 4)), tmp_path / "velocity.fits"
    values = np.arange(20, dtype=np.float32)
    write_map(path, values, grid=grid, cards={"BUNIT": "km/s"}, error=values / 10)
    with fits.open(path, checksum=True) as hdus:
        assert hdus[0].header["BUNIT"] == hdus["ERR"].header["BUNIT"] == "km/s"
        assert hdus[0].data[1, 2] == 7.0
        assert hdus["ERR"].data[1, 2] == np.float32(0.7)
        assert WCS(hdus["ERR"].header).has_celestial
        assert {"CHECKSUM", "DATASUM"} <= set(hdus[0].header)


def test_long_names_and_comments_fit_the_cards(tmp_path):
    path = tmp_path / "a.fits"
    text = "word " * 40
    cards = {"SF VELOCITY": "optical", "LONG": "x" * 150}
    write_map(path, np.zeros(4), grid=MapGrid((2, 2)), cards=cards, comments=(text,))
    header = fits.getheader(path)
    assert header["SF VELOCITY"] == "optical"
    assert header["LONG"] == "x" * 150
    assert " ".join(" ".join(header["COMMENT"]).split()) == text.strip()


def test_a_row_outside_the_map_is_named():
    with pytest.raises(InputError, match=r"row at x=4, y=0 lies outside the map of 4 x 3"):
        MapGrid((4, 3)).index(np.array([1, 4], np.int32), np.array([0, 0], np.int32))


def test_a_map_needs_pixels():
    with pytest.raises(ValueError, match="0 x 3"):
        MapGrid((0, 3))


def test_a_disk_that_refuses_leaves_the_old_map(tmp_path, monkeypatch):
    path, grid = tmp_path / "a.fits", MapGrid((2, 2))
    write_map(path, np.ones(4), grid=grid, cards={})

    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", full)
    with pytest.raises(StorageError, match=r"a\.fits: cannot be written \(No space left"):
        write_map(path, np.zeros(4), grid=grid, cards={})
    assert [left.name for left in tmp_path.iterdir()] == ["a.fits"]
    assert fits.getdata(path).sum() == 4
