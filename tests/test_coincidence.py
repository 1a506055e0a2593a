import numpy as np
import pytest

from streamfit.io.ogip import read_observation
from streamfit.kernels.coincidence import shared_events

ENERGY = 0.0146 * np.arange(35, 480)
SHAPE = ENERGY**-1.7 * np.exp(-0.3 * ENERGY**-2.6)


def drawn(rng, total, slope=0.0):
    rate = SHAPE * ENERGY**slope
    return rng.poisson(rate * total / rate.sum()) * 1.0


@pytest.mark.parametrize(("total", "behind"), [(50, 50), (1000, 300), (50000, 2000)])
def test_independent_spectra_share_nothing(total, behind):
    rng = np.random.default_rng(1)
    z = [shared_events(drawn(rng, total), drawn(rng, behind, 1.0)).z for _ in range(200)]
    assert abs(np.mean(z)) < 0.2
    assert 0.7 < np.std(z) < 1.3
    assert np.max(z) < 5.5


@pytest.mark.parametrize("shared", [20, 60])
def test_shared_events_are_counted(shared):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(100):
        both = drawn(rng, shared)
        found.append(shared_events(both + drawn(rng, 10), both + drawn(rng, 10, 1.0)))
    # Each mean varies by half an event or less; three channels at either end are not looked at.
    assert np.mean([one.events for one in found]) == pytest.approx(0.97 * shared, abs=2.0)
    assert np.mean([one.z > 4 for one in found]) > 0.9


def test_empty_spectra():
    assert shared_events(np.zeros(50), np.ones(50)) == (0.0, 0.0)


def test_real_backgrounds_that_cover_their_source(shared_data):
    z = {}
    for name in ("q1127_src1", "9774", "qso", "obs1", "obs2", "obs3", "obs4"):
        found = read_observation(shared_data / "xray" / f"{name}.pi")
        band = found.band(0.5, 7.0)
        z[name] = shared_events(found.counts[band], found.background.counts[band])
    assert z["obs2"].z > 5
    assert z["obs2"].events == pytest.approx(19.5, abs=4)
    assert all(one.z < 4 for name, one in z.items() if name != "obs2")
