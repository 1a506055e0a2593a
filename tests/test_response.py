import numpy as np
import pytest
from ogip_files import observation
from scipy.special import erf

from streamfit.io.ogip import read_observation
from streamfit.io.ogip_rmf import read_response
from streamfit.kernels.poisson import fold
from streamfit.kernels.response import (
    DETECTOR_EDGES,
    ENERGY_EDGES,
    detector_bins,
    fold_photons,
    overlap,
    refold_native,
    to_detector,
    working_matrix,
)

REAL = {
    "12845": ".w",
    "9774": ".",
    "acisi_aimpt_cy21": ".",
    "obs1": ".",
    "obs2": ".",
    "obs3": ".",
    "obs4": ".",
    "q1127_bkg1": ".w",
    "q1127_src1": ".w",
    "qso": ".w",
    "qso_bkg": ".w",
    "sis0": ".",
}
# Strong lines of a hot plasma: energy [keV] and equivalent width [keV], none wider than 3 eV.
LINES = (
    *((0.654, 0.03), (0.826, 0.06), (1.022, 0.04), (1.35, 0.03), (1.47, 0.03), (1.865, 0.06)),
    *((2.01, 0.03), (2.46, 0.05), (2.62, 0.02), (3.1, 0.03), (3.9, 0.03), (6.7, 0.5), (6.97, 0.1)),
)
SMOOTH = {
    "power law 1.2": lambda e: e**-1.2,
    "power law 2.6": lambda e: e**-2.6,
    "absorbed": lambda e: e**-1.7 * np.exp(-0.5 * e**-2.6),
    "bremsstrahlung 0.5": lambda e: np.exp(-e / 0.5) / e,
    "bremsstrahlung 6": lambda e: np.exp(-e / 6.0) / e,
}


def smooth_photons(flux, low, high):
    """Photons in bins, from the trapezoid rule on a grid so fine that it is exact."""
    fine = np.linspace(0.05, 16.0, 200001)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (flux(fine[1:]) + flux(fine[:-1])))])
    total *= fine[1] - fine[0]
    return np.interp(high, fine, total) - np.interp(low, fine, total)


def line_photons(temperature, low, high):
    """A thermal continuum with its lines, each integrated exactly."""
    photons = smooth_photons(lambda e: np.exp(-e / temperature) / e**1.2, low, high)
    for energy, width in LINES:
        level = width * np.exp(-energy / temperature) / energy**1.2
        ends = [erf((edge - energy) / (0.003 * np.sqrt(2))) for edge in (low, high)]
        photons = photons + 0.5 * level * (ends[1] - ends[0])
    return photons


def difference(response, photons):
    """Counts that the working grid misplaces, as a part of all."""
    bins = detector_bins(response.channel_low, response.channel_high)
    exact = fold_photons(response, photons(response.energy_low, response.energy_high), exposure=1e4)
    exact = to_detector(exact, bins)
    flux = photons(ENERGY_EDGES[:-1], ENERGY_EDGES[1:]) / np.diff(ENERGY_EDGES)
    found = fold(working_matrix(response, bins, exposure=1e4), flux)
    return np.abs(found - exact).sum() / exact.sum()


@pytest.fixture
def small(tmp_path):
    return read_observation(observation(tmp_path)).response


def test_the_grid():
    assert ENERGY_EDGES.size == 257
    assert ENERGY_EDGES[[0, -1]] == pytest.approx([0.4, 8.5])
    np.testing.assert_allclose(np.diff(np.log(ENERGY_EDGES)), np.log(8.5 / 0.4) / 256)
    assert DETECTOR_EDGES.size == 223
    assert DETECTOR_EDGES[0] == 0.5
    assert DETECTOR_EDGES[-1] == pytest.approx(6.9824)


def test_channels_go_where_their_centre_is():
    low = np.array([0.40, 0.49, 0.52, 0.53, 6.97, 6.98])
    good = np.array([True, True, True, True, True, True])
    np.testing.assert_array_equal(detector_bins(low, low + 0.02), [-1, 0, 1, 1, 221, -1])
    good[2] = False
    np.testing.assert_array_equal(
        detector_bins(low, low + 0.02, good=good), [-1, 0, -1, 1, 221, -1]
    )


def test_counts_are_kept():
    bins = np.array([-1, 0, 0, 3, 221, -1])
    summed = to_detector(np.array([5.0, 1, 2, 3, 4, 6]), bins)
    assert summed.shape == (222,)
    np.testing.assert_array_equal(summed[[0, 1, 3, 221]], [3, 0, 3, 4])


@pytest.mark.parametrize("count", [3, 40, 2000])
def test_overlap_against_a_plain_loop(count):
    edges = np.sort(np.random.default_rng(count).uniform(0.0, 10.0, count + 1))
    found = overlap(edges[:-1], edges[1:]).toarray()
    low, high = edges[:-1, None], edges[1:, None]
    plain = np.minimum(high, ENERGY_EDGES[1:]) - np.maximum(low, ENERGY_EDGES[:-1])
    np.testing.assert_allclose(found, np.maximum(plain, 0.0), atol=1e-14)


def test_overlap_covers_what_both_cover():
    edges = np.linspace(0.3, 9.0, 870)
    found = overlap(edges[:-1], edges[1:])
    np.testing.assert_allclose(found.sum(axis=0), np.diff(ENERGY_EDGES), rtol=1e-12)


def test_overlap_of_gratings_and_gaps():
    low, high = np.array([0.5, 2.0, 20.0]), np.array([0.7, 2.001, 21.0])
    found = overlap(low, high).toarray()
    np.testing.assert_allclose(found.sum(axis=1), [0.2, 0.001, 0.0])


def test_a_spectrum_constant_in_working_bins_folds_exactly(small):
    rng = np.random.default_rng(2)
    flux = rng.uniform(0.1, 1.0, 256)
    good = rng.random(small.channels) > 0.2
    scale = rng.uniform(0.5, 1.0, small.channels)
    bins = detector_bins(small.channel_low, small.channel_high, good=good)
    matrix = working_matrix(small, bins, exposure=500.0, area_scale=scale)
    native = refold_native(small, flux, exposure=500.0, area_scale=scale)
    np.testing.assert_allclose(fold(matrix, flux), to_detector(native, bins), rtol=1e-6)
    assert matrix.flags.c_contiguous


def test_native_folding_against_a_dense_product(small):
    photons = np.random.default_rng(1).uniform(0.0, 1.0, small.energies)
    dense = 7.0 * 0.5 * (photons * small.area) @ small.matrix.toarray().astype(float)
    found = fold_photons(small, photons, exposure=7.0, area_scale=0.5)
    np.testing.assert_allclose(found, dense, rtol=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_folding_on_the_working_grid_is_exact_to_a_percent(shared_data, name):
    path = shared_data / "xray" / name
    response = read_response(
        path.with_name(f"{name}{REAL[name]}rmf"), path.with_name(f"{name}{REAL[name]}arf")
    )
    for label, flux in SMOOTH.items():
        missed = difference(response, lambda low, high, flux=flux: smooth_photons(flux, low, high))
        assert missed < 1e-3, label
    for temperature in (1.0, 3.0, 8.0):
        missed = difference(response, lambda low, high, kt=temperature: line_photons(kt, low, high))
        assert missed < 1e-2, temperature


def test_every_detector_bin_is_reached_by_real_responses(shared_data):
    for name in ("12845.wrmf", "sis0.rmf"):
        folder = shared_data / "xray"
        response = read_response(folder / name, folder / name.replace("rmf", "arf"))
        bins = detector_bins(response.channel_low, response.channel_high)
        matrix = working_matrix(response, bins, exposure=1.0)
        assert matrix.any(axis=1).all()
        assert matrix.sum(axis=0).min() > 0
