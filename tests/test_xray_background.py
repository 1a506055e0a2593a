"""Backgrounds in blocks against direct searches, W as their limit, and fits that are not biased."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from xray_cases import task

from streamfit.kernels.likelihood import background_in_source, cash
from streamfit.kernels.xray_background import Beside
from streamfit.kernels.xray_fit import fit
from streamfit.kernels.xray_model import to_coordinates


def drawn(beside, *, channels=60, scale=0.5, seed=0):
    generator = np.random.default_rng(seed)
    return Beside.of(
        generator.poisson(np.full(channels, beside)).astype(float), np.full(channels, scale)
    )


def test_rates_are_the_likeliest():
    made = drawn(3.0)
    generator = np.random.default_rng(4)
    counts = generator.poisson(4.0, 60).astype(float)
    source = generator.uniform(0.05, 6.0, (5, 60))
    found = made.rate(counts, source)
    ends = np.append(made.first, 60)
    for point in range(5):
        for block, (start, stop) in enumerate(pairwise(ends)):

            def statistic(rate, channels=slice(start, stop), row=point, own=block):
                total = source[row, channels] + made.scale[channels] * rate
                beside = cash(made.counts[own], made.width[own] * rate)
                return cash(counts[channels], total).sum() + beside

            best = minimize_scalar(statistic, bounds=(1e-9, 30.0), method="bounded")
            assert found[point, block] == pytest.approx(best.x, rel=1e-4)


def test_a_channel_with_twenty_counts_is_a_block_of_its_own():
    made = drawn(40.0)
    assert made.first.size == 60
    counts = np.random.default_rng(1).poisson(30.0, 60).astype(float)
    source = np.full((1, 60), 12.0)
    single = background_in_source(counts, source[0], made.counts, made.scale)
    np.testing.assert_allclose(made.spread(made.rate(counts, source))[0], single, rtol=1e-8)


@pytest.mark.parametrize("beside", [0.05, 0.5, 3.0, 15.0])
def test_blocks_hold_some_twenty_counts(beside):
    made = drawn(beside, channels=400)
    assert made.first[0] == 0
    assert made.width.sum() == 400
    assert 15.0 < np.mean(made.counts) < 40.0
    if beside < 10:
        assert made.counts.min() > 5.0


def test_no_counts_beside_are_no_background_unless_the_source_has_more():
    made = drawn(0.0)
    assert made.first.size == 1
    source = np.full((2, 60), 5.0) * [[1.0], [0.1]]
    few, many = made.rate(np.full(60, 5.0), source)[:, 0]
    assert few == 0.0
    # 1 + 1 / scale = 3 times b is 5 - 3 * 0.5: the root of W's equation without counts beside.
    assert 0.5 * many == pytest.approx((5.0 - 3 * 0.5) / 3.0, rel=1e-6)


def test_measurements_stand_one_behind_the_other():
    first, second = drawn(2.0), drawn(30.0, channels=20, scale=0.1, seed=2)
    both = Beside.joined([first, second])
    counts = np.random.default_rng(5).poisson(6.0, 80).astype(float)
    source = np.full((1, 80), 3.0)
    apart = [first.rate(counts[:60], source[:, :60]), second.rate(counts[60:], source[:, 60:])]
    np.testing.assert_allclose(both.rate(counts, source), np.concatenate(apart, axis=1))


def test_few_counts_beside_bias_no_norm():
    """Half a count a channel beside, a third of the counts background: W alone is far off."""
    pulls, chance = [], []
    for seed in range(40):
        one, values = task("powerlaw", counts=120.0, background=0.5, scale=3.0, seed=seed)
        found = fit(one, values[None])
        away = found.coordinates[2] - to_coordinates(one.model, values)[2]
        pulls.append(away / np.sqrt(found.covariance[2, 2]))
        chance.append((found.statistic - found.expected) / found.scatter)
    assert abs(np.median(pulls)) < 0.5  # forty fits tell it to 0.2
    assert abs(np.mean(chance)) < 0.7
