"""The recipe of the stage deconvolve: rows, status, and the statistic against plain sums."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from ogip_files import CHANNEL, CHANNELS, counts, observation, pha, pha2
from scipy import stats
from scipy.special import xlogy

from streamfit.io.observation_source import ObservationSource
from streamfit.io.observations import ObservationBatch, RefusedObservation
from streamfit.io.ogip import read_observation
from streamfit.io.records import BatchKey
from streamfit.io.results import FitStatus
from streamfit.kernels.response import DETECTOR_EDGES, ENERGY_EDGES, fold_photons, overlap
from streamfit.models.deconvolver import Deconvolved
from streamfit.stream.xray import NOTES_APART, REJECTED, XrayRecipe
from streamfit.stream.xray_methods import UNFOLDERS, Estimate, Network, Unfolder, choose_method
from streamfit.stream.xray_problem import WorkingObservation

CENTRE = 0.5 * (CHANNEL[1:] + CHANNEL[:-1])
BAND = (DETECTOR_EDGES[0] <= CENTRE) & (DETECTOR_EDGES[-1] > CENTRE)


def rows(*paths, method="isis"):
    source = ObservationSource(list(paths), batch=100)
    return XrayRecipe(Unfolder(method)).fit(source.read(source.keys()[0])).to_pylist()


class Fixed:
    """A network that gives what it is told."""

    def __init__(self, log_flux, *, in_range=True):
        self.log_flux, self.in_range, self.shapes = log_flux, in_range, []

    def deconvolve(self, counts, response, background):
        self.shapes.append((counts.shape, response.shape, background.shape))
        shape = (len(counts), ENERGY_EDGES.size - 1)
        return Deconvolved(
            np.broadcast_to(self.log_flux, shape),
            np.full(shape, 0.25),
            np.full(len(counts), self.in_range),
            np.full(len(counts), 5.0),
        )


def test_every_observation_has_its_row_and_one_that_cannot_be_read_says_why(tmp_path):
    first = observation(tmp_path, BACKFILE="b.pha")
    bad = pha(tmp_path / "bad.pha", HDUCLAS2="NET")
    many = pha2(tmp_path / "many.pha2", np.stack([counts(seed) for seed in range(3)]))
    found = rows(first, bad, many)
    names = ["a.pha", "bad.pha", "many.pha2[1]", "many.pha2[2]", "many.pha2[3]"]
    assert [row["obs"] for row in found] == names
    assert [row["status"] & FitStatus.NO_DATA for row in found] == [0, 1, 0, 0, 0]
    assert found[1]["reason"].startswith("bad.pha: HDUCLAS2 is NET")
    assert np.isnan(found[1]["log_photon_flux"]).all()
    assert np.isnan([found[1][name] for name in ("counts", "exposure", "refold_z")]).all()
    assert found[0]["reason"] == ""
    assert found[0]["counts"] == counts()[BAND].sum()
    # EXPOSURE x BACKSCAL: 1000 x 0.5 of the source over 2000 x 2 of the background.
    assert found[0]["background_counts"] == pytest.approx(counts(2, 5.0)[BAND].sum() / 8.0)
    assert found[0]["target"] == "A test"
    assert found[0]["refold_statistic"] == "w"
    assert found[2]["refold_statistic"] == "cash"
    assert "no background is named" in found[2]["notes"].split(NOTES_APART)[0]


def test_columns_say_their_unit_and_the_energy_grid(tmp_path):
    schema = XrayRecipe(Unfolder("map")).schema
    assert json.loads(schema.metadata[b"energy_edges"]) == ENERGY_EDGES.tolist()
    assert schema.metadata[b"method"] == b"map"
    for field in schema:
        assert {b"unit", b"description"} <= field.metadata.keys()
    for name in ("log_photon_flux", "log_photon_flux_sigma"):
        assert schema.field(name).type == pa.list_(pa.float64(), ENERGY_EDGES.size - 1)


def test_cash_of_the_refolded_spectrum_is_the_sum_over_bins(tmp_path):
    working = WorkingObservation.of(read_observation(observation(tmp_path)))
    flux = np.full(ENERGY_EDGES.size - 1, 2e-4)
    model = working.problem.matrix @ flux
    n, m = (array[model > 0] for array in (working.problem.counts, model))
    found = working.refold(flux)
    assert found.value == pytest.approx(2 * (m - n + xlogy(n, n) - xlogy(n, m)).sum())
    assert found.bins == model[model > 0].size
    assert found.statistic == "cash"


def test_the_working_matrix_folds_as_the_response_does(tmp_path):
    found = read_observation(observation(tmp_path))
    working, response = WorkingObservation.of(found), found.response
    flux = 1e-4 * np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1]) ** -1.7
    photons = overlap(response.energy_low, response.energy_high) @ flux
    native = fold_photons(response, photons, exposure=found.exposure)
    assert (working.problem.matrix @ flux).sum() == pytest.approx(native[BAND].sum(), rel=1e-6)


def test_bright_spectra_are_compared_on_their_own_channels(tmp_path):
    observation(tmp_path)
    bright = pha(tmp_path / "bright.pha", counts(3, 2e4))
    working = WorkingObservation.of(read_observation(bright))
    found = working.refold(np.full(ENERGY_EDGES.size - 1, 1e-2))
    assert working.counts > 1e5
    assert found.bins == np.count_nonzero(BAND)
    faint = WorkingObservation.of(read_observation(tmp_path / "a.pha"))
    assert faint.refold(np.full(ENERGY_EDGES.size - 1, 1e-2)).bins >= found.bins


@pytest.mark.parametrize(("mean", "signal"), [(0.6, False), (20.0, True)])
def test_a_signal_is_more_than_the_background_by_chance(tmp_path, mean, signal):
    observation(tmp_path, BACKFILE="b.pha")
    faint = pha(tmp_path / "faint.pha", counts(5, mean), BACKFILE="b.pha")
    working = WorkingObservation.of(read_observation(faint))
    n, beside = counts(5, mean)[BAND].sum(), counts(2, 5.0)[BAND].sum()
    chance = stats.binom.sf(n - 1, n + beside, 0.125 / 1.125)
    assert (chance < 1e-3) == signal
    assert working.has_signal() == signal
    assert bool(rows(faint)[0]["status"] & FitStatus.NO_SIGNAL) != signal


def test_bad_channels_are_marked_and_left_out(tmp_path):
    from astropy.io import fits

    observation(tmp_path)
    quality = np.zeros(CHANNELS, "i2")
    quality[10] = 5
    marked = pha(tmp_path / "q.pha", columns=(fits.Column("QUALITY", "I", array=quality),))
    (row,) = rows(marked)
    assert row["status"] & FitStatus.NONFINITE
    assert row["counts"] == np.delete(counts(), 10)[np.delete(BAND, 10)].sum()


def test_no_counts_give_no_spectrum_whatever_the_method(tmp_path):
    observation(tmp_path)
    empty = pha(tmp_path / "empty.pha", np.zeros(CHANNELS, int))
    for method in UNFOLDERS:
        (row,) = rows(empty, method=method)
        assert row["status"] & FitStatus.NO_DATA, method
        assert row["status"] & FitStatus.NO_SIGNAL, method
        assert row["reason"] == "empty.pha: 0 counts in 0.5 to 7.0 keV: nothing to deconvolve"
        assert row["counts"] == 0


def test_channels_elsewhere_are_refused_with_both_ranges(tmp_path):
    found = read_observation(observation(tmp_path))
    response = found.response
    away = dataclasses.replace(
        response, channel_low=response.channel_low + 20, channel_high=response.channel_high + 20
    )
    moved = dataclasses.replace(found, response=away)
    batch = ObservationBatch(BatchKey("moved", 0, 1), (moved,))
    (row,) = XrayRecipe(Unfolder("isis")).fit(batch).to_pylist()
    assert row["status"] == FitStatus.NO_DATA
    assert "no good channel of 0.5 to 7.0 keV" in row["reason"]
    assert "covers 20.2 to 29.2 keV; give" in row["reason"]


def test_what_does_not_refold_is_rejected(tmp_path):
    path = observation(tmp_path)
    working = WorkingObservation.of(read_observation(path))
    right = np.log(Unfolder("richardson-lucy").estimates([working.problem])[0].flux)
    source = ObservationSource([path])
    batch = source.read(source.keys()[0])
    for log_flux, rejected in ((right, False), (right + 1.0, True)):
        (row,) = XrayRecipe(Network(Fixed(log_flux))).fit(batch).to_pylist()
        assert bool(row["status"] & FitStatus.REFOLD_REJECTED) == rejected
        assert (row["refold_z"] > REJECTED) == rejected
        np.testing.assert_allclose(row["log_photon_flux"], log_flux)


def test_of_a_fit_less_is_expected_by_its_freedom(tmp_path):
    source = ObservationSource([observation(tmp_path)])
    batch = source.read(source.keys()[0])
    log_flux = np.full(ENERGY_EDGES.size - 1, -8.0)
    (row,) = XrayRecipe(Network(Fixed(log_flux))).fit(batch).to_pylist()
    found = WorkingObservation.of(batch.observations[0]).refold(np.exp(log_flux))
    assert row["refold_freedom"] == 5.0
    assert row["refold_cstat"] == found.value
    assert row["refold_expected"] == found.expected
    assert row["refold_z"] == pytest.approx(found.z + 5.0 / found.scatter)
    (plain,) = rows(tmp_path / "a.pha", method="isis")
    assert plain["refold_freedom"] == 0.0
    (mapped,) = rows(tmp_path / "a.pha", method="map")
    assert 2.0 < mapped["refold_freedom"] < 60.0


def test_the_network_is_given_a_batch_and_its_range_is_kept(tmp_path):
    first = observation(tmp_path)
    source = ObservationSource([first, first], batch=2)
    network = Fixed(np.full(ENERGY_EDGES.size - 1, -8.0), in_range=False)
    found = XrayRecipe(Network(network)).fit(source.read(source.keys()[0])).to_pylist()
    assert network.shapes == [((2, 222), (2, 222, 256), (2, 222))]
    assert all(row["status"] & FitStatus.MDN_OUT_OF_RANGE for row in found)
    assert set(found[0]["log_photon_flux_sigma"]) == {0.25}


def test_only_the_penalised_fit_has_bands_among_the_classical_methods(tmp_path):
    working = WorkingObservation.of(read_observation(observation(tmp_path)))
    for name in UNFOLDERS:
        (found,) = choose_method(name, "cpu").estimates([working.problem])
        assert np.isfinite(found.sigma).all() == (name == "map"), name


def test_the_logarithm_of_what_is_not_positive_is_nan():
    found = Estimate(np.array([1.0, 0.0, -2.0]), np.full(3, np.nan))
    np.testing.assert_array_equal(found.log_flux, [0.0, np.nan, np.nan])
    assert found.known
    assert not Estimate.nothing(3).known


def test_a_refused_observation_is_never_given_to_the_method(tmp_path):
    source = ObservationSource([pha(tmp_path / "bad.pha", HDUCLAS2="NET")])
    batch = source.read(source.keys()[0])
    assert isinstance(batch.observations[0], RefusedObservation)
    network = Fixed(np.zeros(ENERGY_EDGES.size - 1))
    assert XrayRecipe(Network(network)).fit(batch).num_rows == 1
    assert network.shapes == []
