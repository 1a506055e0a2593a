"""Scatter of dark channels, against numpy."""

import numpy as np
import pytest

from streamfit.kernels.scatter import scatter

SPECTRA = np.random.default_rng(1).normal(size=(4, 200)).astype(np.float32)


def test_it_is_the_standard_deviation():
    expected = SPECTRA.std(axis=1, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(scatter(SPECTRA), expected, rtol=1e-6)


def test_only_the_channels_asked_for_count():
    chosen = np.arange(200) % 3 == 0
    expected = SPECTRA[:, chosen].std(axis=1, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(scatter(SPECTRA, chosen), expected, rtol=1e-6)


def test_a_model_is_taken_out_first():
    model = np.linspace(0, 50, 800).reshape(4, 200)
    raised = SPECTRA.astype(np.float64) + model
    np.testing.assert_allclose(scatter(raised, less=model), scatter(SPECTRA), rtol=1e-6)


def test_a_level_a_billion_times_the_scatter_loses_no_digits():
    raised = SPECTRA.astype(np.float64) + 1e6
    np.testing.assert_allclose(scatter(raised), scatter(SPECTRA), rtol=1e-6)


def test_values_that_are_not_finite_are_left_out():
    spectra = SPECTRA.copy()
    spectra[1, :50] = np.nan
    spectra[2, 10] = np.inf
    found = scatter(spectra)
    assert found[1] == pytest.approx(spectra[1, 50:].std(ddof=1), rel=1e-6)
    assert found[2] == pytest.approx(np.delete(spectra[2], 10).std(ddof=1), rel=1e-6)


def test_fewer_than_twenty_channels_measure_nothing():
    spectra = SPECTRA.copy()
    spectra[0, 19:] = np.nan
    spectra[1, 20:] = np.nan
    found = scatter(spectra)
    assert np.isnan(found[0])
    assert np.isfinite(found[1])
