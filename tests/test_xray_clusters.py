import numpy as np
import pytest

from streamfit.kernels.plasma import thermal, transmission
from streamfit.models.plasma_table import load_plasma
from streamfit.tools.xray_batches import Simulator
from streamfit.tools.xray_clusters import (
    ALL,
    TESTED,
    Clusters,
    coordinates,
    draw_clusters,
    observe,
    photons,
)
from streamfit.tools.xray_responses import invented


@pytest.fixture(scope="module")
def drawn():
    return draw_clusters(np.random.default_rng(1), 4000)


def test_parameters_fill_their_ranges_and_never_leave_them(drawn):
    for name, column in (("kT", 0), ("abundance", 1), ("nH", 2)):
        low, high = getattr(ALL, name)
        values = drawn.values[:, column]
        assert low <= values.min()
        assert values.max() <= high
        usual = getattr(TESTED, name)
        assert 0.5 < np.mean((values > usual[0]) & (values < usual[1])) < 0.95
    assert drawn.redshift.max() <= ALL.redshift[1]
    assert np.mean(drawn.redshift < 0.12) == pytest.approx(0.4, abs=0.03)
    assert drawn.counts.min() >= ALL.counts[0]


def test_half_have_a_second_plasma_which_is_the_cooler_one(drawn):
    two = drawn.plasmas == 2
    assert two.mean() == pytest.approx(0.5, abs=0.03)
    assert np.isnan(drawn.values[~two, 4:]).all()
    assert (drawn.values[two, 4] <= drawn.values[two, 0]).all()
    assert drawn.values[two, 4].min() >= 0.1
    assert ALL.second[0] <= drawn.values[two, 5].min()


def test_coordinates_are_logarithms_but_for_the_abundance(drawn):
    found = coordinates(drawn.values)
    np.testing.assert_array_equal(found[:, 1], drawn.values[:, 1])
    np.testing.assert_allclose(np.exp(found[:, 0]), drawn.values[:, 0])


def test_photons_are_those_of_the_plasmas_behind_the_column():
    table = load_plasma()
    values = np.array([[4.0, 0.3, 0.1, 2.0, 1.0, 0.5], [4.0, 0.3, 0.1, 2.0, np.nan, np.nan]])
    clusters = Clusters(np.array([2, 1]), values, np.array([0.2, 0.2]), np.ones(2))
    hot, cool = (thermal(table, kT, 0.3, 0.2) for kT in (4.0, 1.0))
    through = transmission(table, 0.1)
    found = photons(table, clusters)
    np.testing.assert_allclose(found[0], 2.0 * (hot + 0.5 * cool) * through, rtol=1e-12)
    np.testing.assert_allclose(found[1], 2.0 * hot * through, rtol=1e-12)


def test_observations_have_the_counts_and_the_norm_that_is_told():
    rng = np.random.default_rng(2)
    simulator = Simulator(load_plasma(), (), rng, keep=0)
    instrument = invented(rng)
    clusters = draw_clusters(rng, 60, ranges=TESTED, plasmas=2)
    found = observe(simulator, instrument, clusters)
    total = found.counts.sum(axis=1)
    assert np.abs((total - clusters.counts) / np.sqrt(clusters.counts)).max() < 5
    sources = photons(simulator.table, found.truth)
    expected = [instrument.fold(simulator.table.edges, one).sum() for one in sources]
    share = 1.0 - np.array(expected) / clusters.counts
    none = found.background.sum(axis=1) == 0
    assert 0.3 < none.mean() < 0.7
    np.testing.assert_allclose(share[none], 0, atol=1e-9)
    assert ((share[~none] > 0.004) & (share[~none] < 0.51)).all()
    assert np.isnan(draw_clusters(rng, 3, plasmas=1).values[:, 4:]).all()
