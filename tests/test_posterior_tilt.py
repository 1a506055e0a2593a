"""Posteriors of bright spectra on the reduced basis beside those on exact profiles."""

import numpy as np
import pytest
from synthetic_spectra import sn3_sample
from test_posterior import BOX, LINES, Case, minimum

from streamfit.kernels.posterior import Amplitudes

CHANNELS = LINES.coordinate.size


def assert_alike(case, sample, amplitudes):
    """Hold both engines to a fiftieth of a deviation, and the evidence to 2 %.

    Without the tilt the worst are 0.05 in velocity, 0.09 in a flux and 0.9 in ln evidence.
    """
    start = minimum(case, sample)
    how = {"start": start, "amplitudes": amplitudes}
    exact = case(sample.data, sample.noise, **how)
    reduced = case(sample.data, sample.noise, engine=case.engine, **how)
    for name in ("velocity", "broadening"):
        one, two = getattr(exact, name), getattr(reduced, name)
        np.testing.assert_array_less(np.abs(one.mean - two.mean), 0.02 * one.sigma + 1e-12)
        np.testing.assert_allclose(two.sigma, one.sigma, rtol=0.02, atol=1e-12)
    np.testing.assert_array_less(np.abs(exact.flux - reduced.flux), 0.02 * exact.flux_sigma)
    np.testing.assert_allclose(reduced.log_evidence, exact.log_evidence, atol=0.02)


@pytest.mark.parametrize("positive", [False, True])
def test_bright_spectra_are_integrated_as_on_exact_profiles(positive):
    sample = sn3_sample(60, seed=21, snr=(20.0, 100.0))
    assert_alike(Case(LINES, BOX), sample, Amplitudes(CHANNELS**0.5, positive=positive))
