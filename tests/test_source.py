import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfit.io.errors import InputError
from streamfit.io.records import Area, BatchKey, CubeHeader, FtsAxis, SampledAxis, SpectralBatch
from streamfit.io.source import CubeSource
from streamfit.io.tiling import Panel

SKY = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 10.7,
    "CRVAL2": 41.2,
    "CRPIX1": 4.0,
    "CRPIX2": 9.0,
    "CDELT1": -1e-4,
    "CDELT2": 1e-4,
}
FTS = FtsAxis(6, 2943.0, 8, 840, 168, 1.037, calibrated=False)
SAMPLED = SampledAxis(np.arange(6.0), "air")


class CubeInMemory:
    """A cube with known numbers, which remembers what was read."""

    held_nbytes = 0
    spaxel_nbytes = 48

    def __init__(self, shape=(11, 14), tile=(1, 14), axis=SAMPLED, panels=None, corr=None):
        rng = np.random.default_rng(7)
        self.data = rng.normal(size=(*shape, 6))
        self.variance = rng.uniform(0.5, 2, size=(*shape, 6))
        self.imaginary = rng.normal(size=(*shape, 6))
        self.corrs = np.full(shape, 1.04) if corr is None else corr
        self.header = CubeHeader("cube", "memory", shape, axis, celestial=dict(SKY))
        self.panels = panels or (Panel(Area(0, shape[0], 0, shape[1]), tile),)
        self.reads = []

    def read(self, area, key):
        self.reads.append(area)
        x, y = area.positions()
        return SpectralBatch(
            key, x, y, self.data[x, y], self.corr(area), self.variance[x, y], self.imaginary[x, y]
        )

    def corr(self, area):
        x, y = area.positions()
        return self.corrs[x, y]

    def fingerprint(self):
        return {"size": 1}

    def close(self):
        pass


def collect(source):
    """All rows of a source by position, after checking that keys count them."""
    rows, stop = {}, 0
    for key in list(source.keys()):
        batch = source.read(key)
        assert key.start == stop
        stop = key.stop
        assert len(batch) == len(key)
        for row, place in enumerate(zip(batch.x.tolist(), batch.y.tolist(), strict=True)):
            assert place not in rows
            rows[place] = batch, row
    assert len(source) == stop
    return rows


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        CubeSource(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_rows_are_the_kept_spaxels_each_once(tile_x, tile_y, batch, seed):
    reader = CubeInMemory(tile=(tile_x, tile_y))
    rng = np.random.default_rng(seed)
    mask = rng.random((11, 14)) < 0.4
    mask[3, 5] = True
    region = Area(1, 10, 2, 13)
    rows = collect(CubeSource(reader, batch=batch, region=region, mask=mask))
    kept = {(x, y) for x, y in np.argwhere(mask).tolist() if 1 <= x < 10 and 2 <= y < 13}
    assert set(rows) == kept
    for (x, y), (found, row) in rows.items():
        assert np.array_equal(found.data[row], reader.data[x, y])
        assert np.array_equal(found.variance[row], reader.variance[x, y])
        assert np.array_equal(found.imaginary[row], reader.imaginary[x, y])
    assert all(len(area) <= batch for area in reader.reads)


def test_panels_are_read_one_after_the_other():
    panels = (
        Panel(Area(0, 5, 0, 14), (1, 14)),
        Panel(Area(5, 11, 0, 7), (2, 3)),
        Panel(Area(5, 11, 7, 14), (6, 1)),
    )
    reader = CubeInMemory(panels=panels)
    assert len(collect(CubeSource(reader, batch=20))) == 11 * 14
    for area in reader.reads:
        inside = [
            panel.area.x0 <= area.x0
            and area.x1 <= panel.area.x1
            and panel.area.y0 <= area.y0
            and area.y1 <= panel.area.y1
            for panel in panels
        ]
        assert sum(inside) == 1


def test_what_a_mask_empties_is_not_read():
    mask = np.zeros((11, 14), dtype=bool)
    mask[2:4, 5:7] = True
    mask[8, 6] = True
    reader = CubeInMemory()
    collect(CubeSource(reader, batch=14, mask=mask))
    assert reader.reads == [Area(x, x + 1, 5, 7) for x in (2, 3, 8)]


def test_a_region_keeps_cube_pixels_and_the_cube_s_wcs():
    source = CubeSource(CubeInMemory(), region=Area(2, 5, 3, 8))
    assert source.area == Area(2, 5, 3, 8)
    assert source.shape == (11, 14)
    assert source.header.celestial == SKY
    batch = source.read(source.keys()[0])
    assert (batch.x.min(), batch.x.max(), batch.y.min(), batch.y.max()) == (2, 4, 3, 7)


@pytest.mark.parametrize("side", [2, 3, 5])
@pytest.mark.parametrize("batch", [1, 30, 4096])
def test_bins_are_means_of_the_good_spaxels(side, batch):
    reader = CubeInMemory(tile=(3, 4))
    reader.data[1, 1, 2] = np.nan
    reader.variance[4, 4, 3] = np.nan
    reader.variance[5, 5, 1] = 0
    mask = np.ones((11, 14), dtype=bool)
    mask[0, 0] = False
    mask[5:10, 10:] = False
    rows = collect(CubeSource(reader, batch=batch, mask=mask, bin=side))
    for bx in range(-(-11 // side)):
        for by in range(-(-14 // side)):
            part = slice(bx * side, (bx + 1) * side), slice(by * side, (by + 1) * side)
            keep = mask[part]
            if not keep.any():
                assert (bx, by) not in rows
                continue
            found, row = rows[bx, by]
            data, variance = reader.data[part][keep], reader.variance[part][keep]
            good = np.isfinite(data) & (variance > 0)
            count = good.sum(axis=0)
            mean = np.where(good, data, 0).sum(axis=0) / count
            error = np.where(good, variance, 0).sum(axis=0) / count**2
            imaginary = np.where(good, reader.imaginary[part][keep], 0).sum(axis=0) / count
            assert np.allclose(found.data[row], mean, rtol=1e-12)
            assert np.allclose(found.variance[row], error, rtol=1e-12)
            assert np.allclose(found.imaginary[row], imaginary, rtol=1e-12)


def test_a_channel_without_a_good_spaxel_is_nan_in_its_bin():
    reader = CubeInMemory()
    reader.data[:2, :2, 4] = np.nan
    batch, row = collect(CubeSource(reader, bin=2))[0, 0]
    assert np.isnan(batch.data[row, 4])
    assert np.isnan(batch.variance[row, 4])
    assert np.isfinite(np.delete(batch.data[row], 4)).all()


def test_bins_of_a_calibrated_fts_average_the_correction():
    corr = np.linspace(1.02, 1.06, 11 * 14).reshape(11, 14)
    corr[0, 0] = np.nan
    axis = FtsAxis(6, 2943.0, 8, 840, 168, 1.037, calibrated=True)
    rows = collect(CubeSource(CubeInMemory(axis=axis, corr=corr), bin=2))
    batch, row = rows[0, 0]
    assert batch.corr[row] == pytest.approx(np.mean([corr[0, 1], corr[1, 0], corr[1, 1]]))


def test_a_binned_map_keeps_its_place_on_the_sky():
    source = CubeSource(CubeInMemory(), bin=4)
    assert source.shape == source.header.shape == (3, 4)
    assert source.area == Area(0, 3, 0, 4)
    cube, bins = (WCS(fits.Header(cards)) for cards in (SKY, source.header.celestial))
    expected = cube.all_pix2world([[4 + 1.5, 8 + 1.5]], 0)
    assert np.allclose(bins.all_pix2world([[1, 2]], 0), expected, rtol=0, atol=1e-12)


def test_smearing_of_an_uncalibrated_fts_is_refused_naming_both_numbers():
    corr = 1.037 + 2e-5 * np.mgrid[0:11, 0:14][0]  # as across the field of SITELLE
    reader = CubeInMemory(axis=FTS, corr=corr)
    # 9 x 672 x spread / 1.20671 of the width: 0.097 for two columns, 0.39 for five
    assert len(collect(CubeSource(reader, bin=2))) == 6 * 7
    said = refusal(reader, bin=5)
    assert "--bin 5 would smear lines by 0.39 of their width in bin (0, 0), 0.2 is allowed" in said


def test_a_single_deviating_spaxel_is_found_wherever_it_is():
    corr = np.full((11, 14), 1.037)
    corr[9, 3] += 1e-3
    reader = CubeInMemory(axis=FTS, corr=corr)
    assert "in bin (4, 1)" in refusal(reader, bin=2)
    assert "in bin (4, 1)" in refusal(reader, bin=2, region=Area(6, 11, 2, 8))
    mask = np.ones((11, 14), dtype=bool)
    mask[9, 3] = False
    assert len(collect(CubeSource(reader, bin=2, mask=mask))) == 6 * 7


def test_selections_that_do_not_fit_are_named():
    reader = CubeInMemory()
    assert "--region 0:12,0:5 reaches outside the 11 x 14 spaxels" in refusal(
        reader, region=Area(0, 12, 0, 5)
    )
    said = refusal(reader, region=Area(0, 5, 0, 14), bin=2)
    assert "cuts a bin at 5, which is neither a multiple of --bin 2 nor the cube's edge" in said
    assert len(collect(CubeSource(reader, region=Area(2, 11, 0, 14), bin=2))) == 5 * 7
    assert "the mask has 14 x 11 spaxels, the cube 11 x 14" in refusal(
        reader, mask=np.ones((14, 11), dtype=bool)
    )
    mask = np.zeros((11, 14), dtype=bool)
    mask[0, 0] = True
    assert "keeps none of the 15 spaxels of 2:5,0:5" in refusal(
        reader, mask=mask, region=Area(2, 5, 0, 5)
    )
    assert "--bin 0 is not a positive number" in refusal(reader, bin=0)


def test_a_key_of_another_plan_is_refused():
    source = CubeSource(CubeInMemory(), batch=20)
    with pytest.raises(InputError, match=r"cube\[1:2\]: not a batch of this plan"):
        source.read(BatchKey("cube", 1, 2))


def test_the_mask_is_part_of_the_identity():
    mask = np.ones((11, 14), dtype=bool)
    plain = CubeSource(CubeInMemory()).fingerprint()
    one = CubeSource(CubeInMemory(), mask=mask).fingerprint()
    mask[3, 3] = False
    other = CubeSource(CubeInMemory(), mask=mask).fingerprint()
    assert plain == {"size": 1}
    assert one["mask"] != other["mask"]


@pytest.mark.parametrize("side", [1, 2])
def test_a_batch_brings_along_what_borders_on_it(side):
    cube = CubeInMemory()
    mask = np.ones((11, 14), dtype=bool)
    mask[4:6, 4:6] = False
    source = CubeSource(cube, batch=30, mask=mask, bin=side, around=True)
    plain = CubeSource(cube, batch=30, mask=mask, bin=side)
    assert list(source.keys()) == list(plain.keys())
    kept = set()
    for key in plain.keys():  # noqa: SIM118
        batch = plain.read(key)
        kept |= set(zip(batch.x.tolist(), batch.y.tolist(), strict=True))
    for key in source.keys():  # noqa: SIM118
        batch, alone = source.read(key), plain.read(key)
        np.testing.assert_array_equal(batch.data, alone.data)
        np.testing.assert_array_equal(batch.x, alone.x)
        own = set(zip(batch.x.tolist(), batch.y.tolist(), strict=True))
        around = set(zip(batch.around.x.tolist(), batch.around.y.tolist(), strict=True))
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        border = {(x + i, y + j) for x, y in own for i, j in shifts} & kept - own
        assert border <= around <= kept - own
        assert batch.nbytes > alone.nbytes
    assert source.spaxel_nbytes == 4 * plain.spaxel_nbytes


def test_a_region_has_neighbours_beyond_it():
    source = CubeSource(CubeInMemory(), region=Area(3, 4, 5, 6), around=True)
    (key,) = source.keys()
    assert len(source.read(key)) == 1
    assert len(source.read(key).around) == 8
