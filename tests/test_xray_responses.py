import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import ndtr

from streamfit.io.observations import Response
from streamfit.kernels.plasma import gaussian_line, power_law, rebin
from streamfit.kernels.response import (
    DETECTOR_EDGES,
    ENERGY_EDGES,
    detector_bins,
    fold_photons,
    to_detector,
)
from streamfit.models.plasma_table import load_plasma
from streamfit.tools.xray_responses import Change, changed, exact, invented
from streamfit.tools.xray_sources import KINDS, Sources

FINE = np.arange(0.1, 12.0, 0.005)
CENTRES = 0.5 * (DETECTOR_EDGES[1:] + DETECTOR_EDGES[:-1])


@pytest.fixture(scope="module")
def response():
    """Lines of Gaussian shape, 0.05 keV wide, on the channels of ACIS."""
    low = np.arange(0.3, 10.0, 0.01)
    edges = 0.0146 * np.arange(1025)
    below = ndtr((edges - (low + 0.005)[:, None]) / 0.05)
    return Response(
        name="toy",
        energy_low=low,
        energy_high=low + 0.01,
        area=400.0 / (1.0 + (low / 5.0) ** 4),
        matrix=csr_array(np.diff(below, axis=1)),
        channel_low=edges[:-1],
        channel_high=edges[1:],
        first_channel=1,
    )


def line(instrument, energy):
    """Mean and standard deviation of the counts of a narrow line, without its wings."""
    counts = instrument.fold(FINE, gaussian_line(FINE, energy, 0.002))
    near = np.abs(CENTRES - energy) < 0.4
    mean = (counts * CENTRES)[near].sum() / counts[near].sum()
    return mean, np.sqrt((counts * (CENTRES - mean) ** 2)[near].sum() / counts[near].sum())


def test_as_it_is_a_response_folds_as_the_native_one(response):
    photons = power_law(FINE, 1.7)
    native = rebin(FINE, photons, np.append(response.energy_low, response.energy_high[-1]))
    bins = detector_bins(response.channel_low, response.channel_high)
    counts = to_detector(fold_photons(response, native, exposure=1.0), bins)
    np.testing.assert_allclose(exact(response).fold(FINE, photons), counts, rtol=1e-6)


def test_no_change_keeps_lines_and_area(response):
    same, found = exact(response), changed(response, Change())
    assert found.working.sum() == pytest.approx(same.working.sum(), rel=0.01)
    for one, other in zip(line(found, 3.0), line(same, 3.0), strict=True):
        assert one == pytest.approx(other, abs=0.016)  # a channel goes whole into its bin


def test_a_change_of_gain_and_width_moves_and_widens_lines(response):
    before, after = (
        line(changed(response, change), 3.0) for change in (Change(), Change(gain=1.01, width=1.3))
    )
    assert after[0] / before[0] == pytest.approx(1.01, abs=0.001)
    assert after[1] / before[1] == pytest.approx(1.3, abs=0.05)


def test_tilt_and_contamination_change_the_area(response):
    base = changed(response, Change()).working.sum(axis=0)
    centre = np.sqrt(ENERGY_EDGES[1:] * ENERGY_EDGES[:-1])
    seen = (base > 0.05 * base.max()) & (centre > 0.8)
    tilted = changed(response, Change(tilt=0.1)).working.sum(axis=0)
    slope = np.polyfit(np.log(centre[seen]), np.log(tilted[seen] / base[seen]), 1)[0]
    assert slope == pytest.approx(0.1, abs=0.02)
    thinned = changed(response, Change(layer=0.5)).working.sum(axis=0)
    lost = -np.log(thinned[seen] / base[seen])
    assert lost[0] > 5.0 * lost[-1] > 0.0


def test_made_up_responses_look_like_a_ccds():
    rng = np.random.default_rng(3)
    for _ in range(5):
        one = invented(rng)
        assert one.working.shape == (222, 256)
        assert (one.native >= 0).all()
        area = one.working.sum(axis=0) / np.diff(ENERGY_EDGES)
        assert 30.0 < area.max() < 1000.0
        mean, sigma = line(one, 3.0)
        assert mean == pytest.approx(3.0, abs=0.08)
        assert 0.03 < sigma < 0.12


def test_working_and_native_folding_agree_on_smooth_spectra():
    one = invented(np.random.default_rng(6))
    photons = power_law(FINE, 1.7)
    flux = rebin(FINE, photons, ENERGY_EDGES) / np.diff(ENERGY_EDGES)
    exactly, found = one.fold(FINE, photons), one.working @ flux
    inside = CENTRES < 6.5  # photons beyond the working energies are in the native folding alone
    assert np.abs(found - exactly)[inside].sum() < 0.005 * exactly.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_sources_are_finite_and_the_same_for_a_seed(kind):
    first, second = (Sources(load_plasma(), np.random.default_rng(9)) for _ in range(2))
    for _ in range(20):
        photons = first.draw(kind)
        assert np.isfinite(photons).all()
        assert (photons >= 0).all()
        assert photons.sum() > 0
        np.testing.assert_array_equal(photons, second.draw(kind))
