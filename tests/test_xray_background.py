"""A measured background biases nothing: sums are kept, and many faint sources come out right."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from streamfit.kernels.plasma import PlasmaTable
from streamfit.kernels.refold import smooth_background
from streamfit.kernels.xray_background import FEWEST, LEAST, grouped, settled
from streamfit.kernels.xray_fit import ColumnPrior, Task, default_starts, fit
from streamfit.kernels.xray_fold import Member
from streamfit.kernels.xray_model import MODELS

EDGES = np.linspace(0.4, 8.0, 101)
TABLE = PlasmaTable(
    EDGES, np.array([0.5, 5.0]), np.ones((2, 100)), np.ones((2, 100)), EDGES[1:] ** -3.0
)


def member(seed=1, *, beside=60.0, source=25.0, background=20.0):
    """A power law of index 1.7 behind 0.05e22 on a detector of equal channels."""
    rng = np.random.default_rng(seed)
    photons = MODELS["powerlaw"].photons(TABLE, np.array([1.7, 0.05, 1.0]))
    matrix = csr_array(np.diag(np.full(100, 1e4)))
    expected = matrix @ photons
    flat = np.full(100, 0.01)
    counts = rng.poisson(source * expected / expected.sum() + background * flat)
    return Member(
        counts.astype(float),
        matrix,
        EDGES,
        rng.poisson(beside * flat).astype(float),
        np.full(100, background / beside),
    )


def test_groups_hold_enough_and_keep_every_count():
    one = member(beside=300.0)
    found = grouped(one)
    assert found.background is not None
    assert found.background.min() >= LEAST
    assert found.background.sum() == one.background.sum()
    assert found.counts.sum() == one.counts.sum()
    photons = np.random.default_rng(0).uniform(0.0, 1.0, 100)
    assert (found.matrix @ photons).sum() == pytest.approx((one.matrix @ photons).sum())
    np.testing.assert_allclose(found.scale, 20.0 / 300.0)


def test_few_counts_beside_are_smoothed_and_known():
    one = member(beside=FEWEST / 4)
    found = settled(one)
    assert found.background is None
    np.testing.assert_allclose(found.known, smooth_background(one.background, one.scale))
    np.testing.assert_array_equal(found.counts, one.counts)


def test_many_are_grouped_and_none_stay_as_they_are():
    many = settled(member(beside=1.2 * FEWEST))
    assert many.background is not None
    assert many.counts.size < 100
    plain = Member(np.ones(2), csr_array(np.eye(2)), np.array([1.0, 2.0, 3.0]))
    assert settled(plain) is plain


@pytest.mark.parametrize("beside", [60.0, 300.0])
def test_faint_sources_with_as_much_background_come_out_right(beside):
    """25 sources of four members each; the same over native channels, by W, is off by far."""
    index = []
    for trial in range(25):
        members = tuple(settled(member(10 * trial + one, beside=beside)) for one in range(4))
        task = Task(members, MODELS["powerlaw"], TABLE, 0.0, ColumnPrior(0.05))
        index.append(fit(task, default_starts(task)).values[0])
    # The scatter of one is 0.3; the mean of 25 is known to 0.06.
    assert np.mean(index) == pytest.approx(1.7, abs=0.18)
