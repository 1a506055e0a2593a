"""The comparison of samplers: the bounded posterior is the flat one, and what is written."""

import numpy as np
import pytest
from synthetic_spectra import sn3_sample
from test_full_posterior import PRIOR, full_of

from streamfit.tools.compare_samplers import Bounded, describe


def test_a_bound_changes_where_is_drawn_and_not_the_posterior():
    sample = sn3_sample(1, seed=3, snr=(10.0, 12.0))
    flat, prior = full_of(sample), full_of(sample, prior=PRIOR)
    bounded = Bounded(**{name: getattr(prior, name) for name in prior.__slots__})
    points = [flat.transform(np.r_[u, w, np.full(6, 0.5)]) for u, w in ((0.55, 0.1), (0.48, 0.3))]
    for point in points:
        own = bounded.log_prior(point) + bounded.log_likelihood(point)
        box = np.log((flat.high - flat.low)[:2]).sum()
        assert own == pytest.approx(flat.log_likelihood(point) - box, rel=1e-9)


def test_ratios_are_of_spectra_that_both_ways_reached():
    found = {
        "dynesty flat": np.array([100.0, 60.0]),
        "dynesty network": np.array([50.0, 30.0]),
        "emcee flat": np.array([np.nan, np.nan]),
        "emcee network": np.array([40.0, 50.0]),
        "dynesty in all": np.array([200_000.0, 180_000.0]),
        "quadrature": np.array([100.0, 60.0]),
    }
    text = describe(found)
    assert "median 80 flat, 40 network; ratio 2.00; arrived 2 and 2 of 2" in text
    assert "median nan flat, 45 network; ratio nan; arrived 0 and 2 of 2" in text
    assert "median 190000 evaluations by dynesty, worth 2500 effective draws, 80 by" in text
    assert text.endswith("ratio 2500")
