import json
import shutil

import numpy as np
import pytest
from optical_cubes import (
    doublet_amplitudes,
    fts_header,
    fts_spectra,
    gaussian_spectra,
    wavelength_header,
)

from streamfit.io.results import FitStatus
from streamfit.kernels.mixture import Mixture
from streamfit.kernels.score_map import Reading
from streamfit.models.card import CardError
from streamfit.models.mdn import GRAPH, MAIN, Calibration, DensityNetwork, bases, mixture
from streamfit.stream.config import OpticalConfig
from streamfit.stream.densities import COLUMNS, Density
from streamfit.stream.optical import OpticalRecipe
from streamfit.tools.compare_mdn import draw_sample, figures, flatness, joined
from streamfit.tools.training_spectra import HELD_OUT, draw_observatory, draw_spectra

NAMES = [column.name for column in COLUMNS]


@pytest.fixture(scope="module")
def network():
    return DensityNetwork()


@pytest.fixture(scope="module")
def reading():
    """Of 300 spectra of one instrument, and its velocity range."""
    rng = np.random.default_rng(4)
    observatory = draw_observatory(rng, resolution=4000.0, usual=True)
    spectra = draw_spectra(observatory, 300, rng)
    return observatory.score_map().read(spectra.data, np.ones(300)), observatory.velocity


def test_the_graph_is_small_and_its_card_says_what_it_is(network):
    assert GRAPH.stat().st_size < 5e6
    card = network.card
    assert card.licence == "BSD-3-Clause"
    assert card.training["digest"]
    assert card.inputs[0].name == "features"
    assert network.provider == "CPUExecutionProvider"


def test_a_graph_that_is_not_the_card_s_is_refused(tmp_path):
    other = tmp_path / "mdn.onnx"
    shutil.copy(GRAPH, other)
    shutil.copy(GRAPH.with_suffix(".json"), tmp_path)
    card = json.loads((tmp_path / "mdn.json").read_text())
    (tmp_path / "mdn.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    with pytest.raises(CardError, match="SHA-256"):
        DensityNetwork(graph=other)


def test_a_row_is_the_same_to_the_last_bit_in_any_company(network, reading):
    read, velocity = reading
    whole = network.outputs(read.features)
    order = np.random.default_rng(1).permutation(300)
    np.testing.assert_array_equal(network.outputs(read.features[order]), whole[order])
    np.testing.assert_array_equal(network.outputs(read.features[7:8]), whole[7:8])
    density = network.density(read, velocity)
    part = network.density(Reading(read.features[:9], read.anchors[:9]), velocity)
    np.testing.assert_array_equal(part.covariance, density.covariance[:9])


def test_density_is_a_density(network, reading):
    read, velocity = reading
    density = network.density(read, velocity)
    np.testing.assert_allclose(density.weights.sum(axis=1), 1)
    assert (np.linalg.eigvalsh(density.covariance) > 0).all()


def test_outputs_become_the_gaussian_that_the_module_describes():
    rng = np.random.default_rng(2)
    base = np.array([[[100.0, 30.0, 4.0, 6.0, 0.3]]])
    outputs = np.array([[[0.0, 0.5, np.log(0.8), -0.2, np.log(1.5), 0.4]]])
    e1, e2 = rng.standard_normal((2, 400_000))
    b = 30 + 6 * (-0.2 + 1.5 * e1)
    v = 100 + 0.3 * (b - 30) + 4 * (0.5 + 0.4 * e1 + 0.8 * e2)
    found = mixture(outputs, base)
    np.testing.assert_allclose(found.mean[0, 0], [v.mean(), b.mean()], atol=0.05)
    np.testing.assert_allclose(found.covariance[0, 0], np.cov(v, b), rtol=0.01, atol=0.1)


def test_components_that_share_the_range_cover_it():
    base = bases(np.ones((2, 4, 6)), (-900.0, np.array([900.0, 300.0])))
    np.testing.assert_allclose(base[0, -3:, 0], [-600, 0, 600])
    np.testing.assert_allclose(base[1, -3:, 0], [-700, -300, 100])


def test_calibration_moves_the_widths_of_the_main_components_alone():
    table = Calibration((0.0, 10.0), (0.0, 1.0), (0.5, 0.5))
    out = table.apply(np.zeros((1, 10, 6)), np.exp([5.0]))
    np.testing.assert_allclose(out[0, :MAIN, 2], 0.5)
    np.testing.assert_allclose(out[0, :MAIN, 4], 0.5)
    assert not out[0, MAIN:].any()


def test_intervals_cover_on_instruments_never_seen(network):
    sample = joined([draw_sample(network, R, 1000, seed=3) for R in HELD_OUT[1:4]])
    found = figures("all", sample)
    assert all(0.64 < x < 0.74 for x in found.inside_68)
    assert all(0.93 < x < 0.975 for x in found.inside_95)
    assert min(flatness(sample)) > 1e-3
    bright = figures("bright", sample.part(sample.snr >= 10))
    assert all(abs(x) < 0.1 for x in bright.bias)
    assert all(x < 1.3 for x in bright.ratio)


def test_what_the_network_never_saw_is_told(network, reading):
    read, _ = reading
    assert network.out_of_range(read).mean() < 0.05
    strange = read.features.copy()
    strange[0, 0] = 15.0  # an SNR of millions
    strange[1, 8] = 5.0  # an instrument of 6000 km/s
    strange[2, 3] = np.nan
    outside = network.out_of_range(Reading(strange, read.anchors))
    assert outside[:3].all()


def test_modes_are_the_first_peak_and_the_others():
    weights = np.array([[0.1, 0.2, 0.1, 0.1, 0.3, 0.0, 0.1, 0.1, 0.0, 0.0]])
    mean = np.zeros((1, 10, 2))
    mean[0, :, 0], mean[0, :, 1] = np.arange(10) * 100.0, -20.0
    density = Density(
        Mixture(weights, mean, np.tile(np.eye(2), (1, 10, 1, 1))),
        np.zeros((1, 4)),
        np.zeros(1, bool),
    )
    modes = density.modes()
    np.testing.assert_allclose(modes.weight, [[0.5, 0.3, 0.0, 0.1]])
    np.testing.assert_allclose(modes.velocity[0], [140.0, 400.0, 500.0, 600.0])
    np.testing.assert_allclose(modes.broadening, 20.0)
    assert not density._replace(outside=np.ones(1, bool)).modes().weight.any()


@pytest.fixture(scope="module")
def fitted():
    """Rows of 120 SITELLE spectra with the network and without, and the truth."""
    rng = np.random.default_rng(5)
    velocity, broadening = rng.uniform(-300, 300, 120), rng.uniform(10, 80, 120)
    header = fts_header()
    batch = fts_spectra(
        header,
        velocity=velocity,
        broadening=broadening,
        amplitude=doublet_amplitudes(120),
        noise=0.05,
    )
    with_it, without = (
        OpticalRecipe(header, OpticalConfig(no_mdn=off)).fit(batch) for off in (False, True)
    )
    return with_it, without, velocity, broadening


def column(table, name):
    return table[name].to_numpy(zero_copy_only=False)


def test_columns_say_where_the_truth_is(fitted):
    table, _, velocity, broadening = fitted
    assert set(NAMES) <= set(table.schema.names)
    pull = (column(table, "mdn_velocity") - velocity) / column(table, "mdn_velocity_sigma")
    assert np.mean(np.abs(pull) < 2) > 0.95
    assert np.median(column(table, "mdn_velocity_sigma")) < 10
    pull = (column(table, "mdn_broadening") - broadening) / column(table, "mdn_broadening_sigma")
    assert np.mean(np.abs(pull) < 2) > 0.9
    assert np.median(column(table, "mdn_broadening_sigma")) < 15
    assert table.schema.field("mdn_velocity").metadata[b"unit"] == b"km/s"


def test_fits_do_not_depend_on_the_network_where_the_signal_is_clear(fitted):
    table, without, _, _ = fitted
    for name in ("velocity", "broadening", "Halpha_flux", "chi2"):
        error = 1.0 if name == "chi2" else column(without, f"{name}_err")
        away = (column(table, name) - column(without, name)) / error
        assert np.abs(away).max() < 0.02


def test_without_the_network_its_columns_are_gone(fitted):
    _, without, _, _ = fitted
    assert not set(NAMES) & set(without.schema.names)
    assert without.schema.metadata[b"mdn"] == b"none"


def test_the_table_names_weights_and_provider(fitted, network):
    told = fitted[0].schema.metadata[b"mdn"].decode()
    assert network.card.sha256[:12] in told
    assert "CPUExecutionProvider" in told


@pytest.mark.parametrize(("bright", "outside"), [(1.0, False), (1e6, True)])
def test_a_spectrum_the_network_does_not_know_is_flagged_and_fitted(bright, outside):
    header = wavelength_header(lsf_sigma=np.full(400, 1.1))
    flux = bright * np.array([0.65, 3.0, 2.0, 1.0, 0.8])
    velocity = np.array([50.0, 60.0])
    batch = gaussian_spectra(header, velocity=velocity, broadening=np.full(2, 40.0), flux=flux)
    table = OpticalRecipe(header, OpticalConfig()).fit(batch)
    flagged = (column(table, "status") & FitStatus.MDN_OUT_OF_RANGE) > 0
    np.testing.assert_array_equal(flagged, outside)
    np.testing.assert_array_equal(np.isnan(column(table, "mdn_velocity")), outside)
    np.testing.assert_allclose(column(table, "velocity"), velocity, atol=10)
