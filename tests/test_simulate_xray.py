"""Simulated observations: read back as the archive's, true to their truth."""

import filecmp

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from streamfit.io.errors import InputError
from streamfit.io.observations import ObservationBatch
from streamfit.io.ogip import read_observation
from streamfit.io.records import BatchKey
from streamfit.io.xray_columns import energy_edges
from streamfit.kernels.plasma import flux_density, power_law, thermal, transmission
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.models.plasma_table import load_plasma
from streamfit.stream.cli import main
from streamfit.stream.xray import XrayRecipe
from streamfit.stream.xray_methods import Unfolder
from streamfit.stream.xray_problem import WorkingObservation
from streamfit.tools.acis_like import CHANNEL_WIDTH, Character, area, background_shape, response
from streamfit.tools.simulate_xray import simulate
from streamfit.tools.xray_models import MEANING, MODELS, draw
from streamfit.tools.xray_plan import XrayPlan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten observations of two telescopes."""
    found = tmp_path_factory.mktemp("simulated")
    simulate(XrayPlan(found, number=10, counts=(2e3, 5e4), background=0.2, responses=2, seed=3))
    return found


@pytest.fixture(scope="module")
def truth(folder):
    return pq.read_table(folder / "truth.parquet").to_pylist()


def test_the_files_are_read_without_a_remark(folder, truth):
    for row in truth:
        found = read_observation(folder / row["obs"])
        assert found.notes == ()
        assert found.background is not None
        assert found.exposure == row["exposure"]
        assert found.response.name == f"{row['response']}.rmf with {row['response']}.arf"
        assert found.target == row["model"]


def test_counts_are_those_of_the_truth_and_no_others(folder, truth):
    chances = []
    for row in truth:
        working = WorkingObservation.of(read_observation(folder / row["obs"]))
        flux = np.exp(row["log_photon_flux"])
        source = float((working.problem.matrix @ flux).sum())
        beside = row["background_expected"]
        # The working grid folds smooth spectra to 0.1 %, and those with narrow lines to a percent.
        expected = row["counts_expected"] - beside
        assert source == pytest.approx(expected, rel=0.01)
        chances.append((working.counts - source - beside) / np.sqrt(source + beside))
        assert working.background == pytest.approx(beside, abs=6 * np.sqrt(beside / 8))
        assert abs(working.refold(flux).z) < 4
    assert np.std(chances) < 1.8
    assert abs(np.mean(chances)) < 1.0


def test_the_truth_says_what_each_column_is(folder):
    schema = pq.read_schema(folder / "truth.parquet")
    np.testing.assert_array_equal(energy_edges(schema), ENERGY_EDGES)
    for field in schema:
        assert {b"unit", b"description"} <= field.metadata.keys()


def test_the_same_seed_gives_the_same_observations_however_many(folder, tmp_path):
    simulate(XrayPlan(tmp_path, number=4, counts=(2e3, 5e4), background=0.2, responses=2, seed=3))
    for path in tmp_path.glob("*.[pra][imr]*"):
        if path.suffix != ".parquet":
            assert filecmp.cmp(path, folder / path.name, shallow=False), path.name


def test_models_are_what_their_parameters_say():
    table, generator = load_plasma(), np.random.default_rng(5)
    model = draw("powerlaw", table, generator)
    absorbed = np.exp(-model.parameters["nH"] * table.cross_section)
    expected = power_law(table.edges, model.parameters["index"]) * absorbed
    np.testing.assert_allclose(model.photons, expected)
    broken = draw("broken", table, generator)
    flux = flux_density(table.edges, broken.photons, ENERGY_EDGES)
    centre = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])
    above = (centre > 1.2 * broken.parameters["break_energy"]) & (centre > 5.0)
    slope = np.polyfit(np.log(centre[above]), np.log(flux[above]), 1)[0]
    assert slope == pytest.approx(-broken.parameters["index_above"], abs=0.1)
    for name in MODELS:
        found = draw(name, table, generator)
        assert np.all(found.photons >= 0)
        assert found.photons.sum() > 0
        assert found.parameters.keys() <= MEANING.keys()


def test_the_telescope_is_like_acis():
    made = response("a", Character())
    assert made.matrix.sum(axis=1).max() == pytest.approx(1.0, abs=1e-3)
    centre = 0.5 * (made.channel_low + made.channel_high)
    for energy, fwhm in ((1.0, 0.102), (6.0, 0.146)):  # facts of ACIS-S [keV]
        row = made.matrix[[round((energy - 0.22) / 0.01)]].toarray()[0]
        wide = np.count_nonzero(row > 0.5 * row.max()) * CHANNEL_WIDTH
        assert wide == pytest.approx(fwhm, abs=1.5 * CHANNEL_WIDTH)
        assert centre[np.argmax(row)] == pytest.approx(energy, abs=2 * CHANNEL_WIDTH)
    peak = area(np.array([1.5]), Character())[0]
    assert 300 < peak < 700
    assert area(np.array([0.5, 7.5]), Character()).max() < 0.5 * peak
    shape = background_shape(centre)
    assert shape[(centre >= 0.5) & (centre < 7.0)].sum() == pytest.approx(1.0)


def test_the_image_of_the_first_hdu_is_written_and_not_read(tmp_path):
    simulate(XrayPlan(tmp_path, number=1, background=0.0, image=300))
    path = tmp_path / "obs0000.pi"
    assert path.stat().st_size > 300 * 300 * 2
    assert fits.getheader(path)["NAXIS1"] == 300
    found = read_observation(path)
    assert found.background is None
    assert found.nbytes < 6_000_000


def test_one_source_is_seen_with_one_flux_by_every_telescope(tmp_path):
    simulate(XrayPlan(tmp_path, number=4, counts=(800, 800), models=("thermal",), sources=2))
    rows = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    for one, other in ((0, 2), (1, 3)):
        assert rows[one]["log_photon_flux"] == rows[other]["log_photon_flux"]
        assert rows[one]["norm"] == rows[other]["norm"] > 0
        assert rows[one]["counts_expected"] != rows[other]["counts_expected"]
        names = [fits.getval(tmp_path / rows[at]["obs"], "OBJECT", 1) for at in (one, other)]
        assert names == [f"source {one}"] * 2
    assert rows[0]["counts_expected"] == pytest.approx(800)  # the typical telescope's
    assert rows[0]["kT"] != rows[1]["kT"]


def test_the_norm_of_the_truth_gives_the_flux_of_the_truth(tmp_path):
    simulate(XrayPlan(tmp_path, number=2, models=("powerlaw", "two-temperature")))
    table = load_plasma()
    for row in pq.read_table(tmp_path / "truth.parquet").to_pylist():
        if row["model"] == "powerlaw":
            photons = power_law(table.edges, row["index"], row["norm"])
        else:
            photons = sum(
                thermal(table, row[kT], row["abundance"], row["redshift"], row[norm])
                for kT, norm in (("kT", "norm"), ("kT2", "norm2"))
            )
        flux = flux_density(table.edges, photons * transmission(table, row["nH"]), ENERGY_EDGES)
        np.testing.assert_allclose(np.log(flux), row["log_photon_flux"], rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "magic"], "model 'magic' is unknown; choose powerlaw, broken"),
        (["--counts", "10,5"], "counts is (10.0, 5.0); give LO,HI with 0 < LO <= HI"),
        (["--background", "1"], "background is 1.0; give a part from 0 to below 1"),
        (["--number", "0"], "number is 0; give at least 1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(tmp_path, capsys, words, said):
    assert main(["simulate", "xray", "-o", str(tmp_path / "x"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_command_writes_observations(tmp_path, capsys):
    words = ["--number", "2", "--responses", "0", "--counts", "500,600", "--models", "lines"]
    assert main(["simulate", "xray", "-o", str(tmp_path), *words]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"obs0001.pi", "bkg0001.pi", "acis0001.rmf", "acis0001.arf", "truth.parquet"} <= names
    assert "simulated 2 of 2 observations" in capsys.readouterr().err


def test_a_bright_source_refolds_on_its_own_channels(tmp_path):
    """Above 1e5 counts the grid's error of a fraction of a percent would show."""
    simulate(XrayPlan(tmp_path, number=1, counts=(3e5, 3e5), models=("powerlaw",), responses=1))
    truth = pq.read_table(tmp_path / "truth.parquet").to_pylist()[0]
    found = read_observation(tmp_path / "obs0000.pi")
    working = WorkingObservation.of(found)
    refold = working.refold(np.exp(truth["log_photon_flux"]))
    assert refold.bins > 400
    assert abs(refold.z) < 4
    batch = ObservationBatch(BatchKey("a", 0, 1), (found,))
    (row,) = XrayRecipe(Unfolder("richardson-lucy")).fit(batch).to_pylist()
    assert row["refold_bins"] > 400


def test_errors_of_a_plan_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="seed is -1"):
        XrayPlan(tmp_path, seed=-1)
