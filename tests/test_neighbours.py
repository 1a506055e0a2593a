"""The prior `neighbours`, from cubes: the same rows however they are cut, and what it gains."""

import dataclasses

import numpy as np
import pytest
from optical_cubes import doublet_amplitudes, fts_header, fts_spectra

from streamfit.io.errors import InputError
from streamfit.io.records import Area, BatchKey
from streamfit.io.source import CubeSource
from streamfit.io.tiling import Panel
from streamfit.stream.config import OpticalConfig
from streamfit.stream.layers import build_config
from streamfit.stream.optical import OpticalRecipe

SIDE = 8
CONFIG = OpticalConfig(bayes=True, prior="neighbours", velocity_range=(-500.0, 500.0))


class Cube:
    """A reader of spectra that lie in memory."""

    held_nbytes, spaxel_nbytes = 0, 842 * 8

    def __init__(self, velocity, *, noise, seed=4):
        self.header = dataclasses.replace(fts_header(), shape=(SIDE, SIDE))
        self.panels = (Panel(Area(0, SIDE, 0, SIDE), (1, SIDE)),)
        self._all = fts_spectra(
            self.header,
            velocity=velocity,
            broadening=np.full(SIDE * SIDE, 25.0),
            amplitude=doublet_amplitudes(SIDE * SIDE),
            noise=noise,
            seed=seed,
        )

    def read(self, area, key):
        x, y = area.positions()
        rows = np.zeros(SIDE * SIDE, dtype=bool)
        rows[x * SIDE + y] = True
        return dataclasses.replace(self._all.part(rows, key), x=x, y=y)

    def corr(self, area):
        return None

    def fingerprint(self):
        return {}

    def close(self):
        pass


def table_of(recipe, source):
    rows = [recipe.fit(source.read(key)) for key in source.keys()]  # noqa: SIM118
    found = {name: np.concatenate([row[name] for row in rows]) for name in rows[0].schema.names}
    order = np.lexsort((found["y"], found["x"]))
    return {name: values[order] for name, values in found.items()}


@pytest.fixture(scope="module")
def faint():
    velocity = 40.0 + 3.0 * np.arange(SIDE * SIDE) / SIDE
    return Cube(velocity, noise=0.3), velocity


def test_rows_do_not_depend_on_how_the_cube_is_cut(faint):
    cube, _ = faint
    recipe = OpticalRecipe(cube.header, CONFIG)
    whole = table_of(recipe, CubeSource(cube, batch=64, around=True))
    cut = table_of(recipe, CubeSource(cube, batch=8, around=True))
    part = table_of(recipe, CubeSource(cube, region=Area(2, 4, 3, 5), around=True))
    inside = (whole["x"] >= 2) & (whole["x"] < 4) & (whole["y"] >= 3) & (whole["y"] < 5)
    for name in ("post_velocity", "post_velocity_sigma", "post_broadening", "log_evidence"):
        # BLAS rounds by the size of the matrices.
        np.testing.assert_allclose(cut[name], whole[name], rtol=2e-3, err_msg=name)
        np.testing.assert_allclose(part[name], whole[name][inside], rtol=2e-3, err_msg=name)


def test_faint_spaxels_gain_by_their_neighbours(faint):
    cube, velocity = faint
    alone = dataclasses.replace(CONFIG, prior="flat")
    error, sigma = {}, {}
    for config in (alone, CONFIG):
        recipe = OpticalRecipe(cube.header, config)
        table = table_of(recipe, CubeSource(cube, batch=64, around=config is CONFIG))
        error[config.prior] = np.sqrt(np.mean(np.square(table["post_velocity"] - velocity)))
        sigma[config.prior] = np.median(table["post_velocity_sigma"])
    assert error["neighbours"] < 0.7 * error["flat"]
    assert sigma["neighbours"] < sigma["flat"]


def test_the_table_says_its_prior_and_refuses_what_it_cannot_be():
    recipe = OpticalRecipe(fts_header(), CONFIG)
    assert recipe.schema.metadata[b"prior"].startswith(b"network's densities of the adjacent")
    assert recipe.notes == OpticalRecipe(fts_header(), OpticalConfig()).notes
    with pytest.raises(InputError, match="--prior neighbours needs the network, which knows no"):
        OpticalRecipe(fts_header(), dataclasses.replace(CONFIG, ils="sinc"))
    with pytest.raises(InputError, match="--prior neighbours needs the network that --no-mdn"):
        build_config("optical", "c", flags={"prior": "neighbours", "no_mdn": "true"})
    assert build_config("optical", "c", flags={"prior": "neighbours"}).optical.prior == "neighbours"


def test_a_dead_neighbour_is_left_out(faint):
    cube, _ = faint
    batch = cube.read(Area(0, SIDE, 0, SIDE), BatchKey("c.hdf5", 0, SIDE * SIDE))
    data = batch.data.copy()
    data[9] = np.nan
    batch = dataclasses.replace(batch, data=data)
    row = OpticalRecipe(cube.header, CONFIG).fit(batch)
    found = row["post_velocity"].to_numpy()
    assert np.isnan(found[9])
    assert np.isfinite(np.delete(found, 9)).all()
