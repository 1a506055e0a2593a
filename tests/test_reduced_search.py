"""What the search on the reduced basis leaves when it ends, before exact profiles polish it."""

import numpy as np
import pytest
from kernel_model import BOX, continuum_of, emission_of, geometry_of
from synthetic_spectra import sn3_sample

from streamfit.kernels import posterior, varpro
from streamfit.kernels.reduced import ReducedEngine


@pytest.mark.parametrize("away", [0.0, 15.0])
def test_a_search_ends_where_another_one_from_there_stays(away):
    """One whose last step is not asked how far it went leaves a twelfth of a deviation."""
    sample = sn3_sample(200, seed=31, snr=(5.0, 100.0))
    lines, rng = sample.lines, np.random.default_rng(0)
    emission, continuum = emission_of(lines), continuum_of(lines)
    geometry, engine = geometry_of(lines, 200), ReducedEngine(emission, continuum, BOX)
    start = sample.truth[:, :2] + away * rng.standard_normal((200, 2))
    at = start[:, :1], np.abs(start[:, 1:])
    first = engine.find(sample.data, sample.noise, geometry, start=at)
    last = first
    for _ in range(3):
        at = last.velocity, last.broadening
        last = engine.find(sample.data, sample.noise, geometry, start=at)
    fit = varpro.fit(
        sample.data, sample.weight, emission, continuum, geometry, start=at, bounds=BOX
    )
    sigma = posterior.conditional_sigmas(fit.covariance)
    assert first.found.mean() > 0.98
    found = first.found & last.found
    for p, (name, most) in enumerate({"velocity": 0.03, "broadening": 0.05}.items()):
        moved = np.abs(getattr(last, name) - getattr(first, name))[found, 0] / sigma[found, p]
        assert np.nanquantile(moved, 0.98) < most
