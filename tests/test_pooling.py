"""Priors from adjacent spaxels: the pool written out, edges, and who counts."""

import numpy as np
import pytest

from streamfit.kernels.mixture import Mixture
from streamfit.kernels.pooling import adjacent, pool

MAIN, WIDE = 2, 1
HOW = {"main": MAIN, "wide": WIDE, "narrowest": 4.0}


def densities_of(velocity, *, weight=0.9, sigma=6.0):
    """Two components at one peak, a lesser peak 330 km/s away, one that shares the range."""
    rows = len(velocity)
    weights = np.tile(
        [0.6 * weight, 0.4 * weight, 0.7 * (1 - weight), 0.3 * (1 - weight)], (rows, 1)
    )
    mean = np.zeros((rows, 4, 2))
    mean[:, :, 0] = np.stack([velocity - 1, velocity + 2, velocity + 330, 0 * velocity], axis=1)
    mean[:, :, 1] = [30.0, -34.0, 25.0, 120.0]
    covariance = np.tile(np.diag([sigma**2, 25.0]), (rows, 4, 1, 1))
    covariance[:, 1, 0, 1] = covariance[:, 1, 1, 0] = 6.0
    covariance[:, 3] = np.diag([600.0**2, 80.0**2])
    return Mixture(weights, mean, covariance)


def square(side):
    x, y = (axis.ravel().astype(np.int32) for axis in np.mgrid[0:side, 0:side])
    return x, y


def test_neighbours_are_the_eight_around():
    x, y = square(6)
    shuffled = np.random.default_rng(1).permutation(x.size)
    x, y = x[shuffled], y[shuffled]
    found = adjacent(x, y, 20)
    for row in range(20):
        apart = np.maximum(np.abs(x - x[row]), np.abs(y - y[row]))
        assert set(found[row][found[row] >= 0]) == set(np.flatnonzero(apart == 1))


def test_the_pool_is_the_sum_of_the_widened_densities():
    velocity = np.array([0.0, 10.0, 14.0, 21.0, 28.0])
    own = densities_of(velocity)
    index = np.array([[1, 2, 3, 4, -1, -1, -1, -1]])
    pooled, known = pool(own, np.ones(5, dtype=bool), index, **HOW)
    assert known.all()
    np.testing.assert_allclose(pooled.weights.sum(axis=1), 1.0, rtol=1e-12)
    peak = velocity[1:] + 0.2  # of the two components together
    scatter = 1.4826 * np.median(np.abs(peak - np.median(peak)))
    v, b = np.linspace(-300, 400, 141), np.full(141, 31.0)
    expected = 0.0
    for k in range(1, 5):
        part = own.part(np.array([k]))
        share, mean = part.weights[0], part.mean[0] * [[1, 1], [1, -1], [1, 1], [1, 1]]
        spread = part.covariance[0] * np.array([1, -1, 1, 1])[:, None, None] ** np.array(
            [[0, 1], [1, 0]]
        )
        inner = share[:2] / share[:2].sum()
        centre = inner @ mean[:2]
        moment = np.einsum("k,kp,kq->pq", inner, mean[:2] - centre, mean[:2] - centre)
        moment += np.einsum("k,kpq->pq", inner, spread[:2])
        widened = np.diag([scatter**2, 16.0])  # broadenings are alike: the least width holds
        weights = np.array([share[:2].sum(), share[2], share[3]]) * 0.95 / 4
        weights[2] += 0.05 / 4
        one = Mixture(
            (weights / weights.sum())[None],
            np.stack([centre, mean[2], mean[3]])[None],
            np.stack([moment + widened, spread[2] + widened, spread[3]])[None],
        )
        expected += weights.sum() * np.exp(one.log_density(v[None], b[None]))[0]
    np.testing.assert_allclose(np.exp(pooled.log_density(v[None], b[None]))[0], expected, rtol=1e-9)


def test_both_sides_of_an_edge_are_kept_as_they_are():
    x, y = square(5)
    velocity = np.where(x < 3, -100.0, 100.0)
    index = adjacent(x, y, x.size)
    pooled, _ = pool(densities_of(velocity), np.ones(x.size, dtype=bool), index, **HOW)
    own = np.flatnonzero((x == 2) & (y == 2))
    here, there, middle = (
        np.exp(pooled.part(own).log_density([[v]], [[31.0]]))[0, 0] for v in (-100, 100, 0)
    )
    assert here / there == pytest.approx(5 / 3, rel=0.05)
    assert middle < 1e-3 * there


def test_neighbours_that_are_not_clear_or_not_known_do_not_make_a_prior():
    velocity = np.array([0.0, 5.0, 7.0, 9.0])
    index = np.array([[1, 2, 3, -1, -1, -1, -1, -1]])
    everyone = np.ones(4, dtype=bool)
    assert pool(densities_of(velocity), everyone, index, **HOW)[1].all()
    assert not pool(densities_of(velocity, weight=0.4), everyone, index, **HOW)[1].any()
    dead = densities_of(velocity)
    dead.weights[2] = dead.mean[2] = dead.covariance[2] = np.nan
    pooled, known = pool(dead, np.array([True, True, False, True]), index, **HOW)
    assert not known.any()
    assert np.isfinite(pooled.mean).all()
    assert not pool(densities_of(velocity), everyone, np.full((1, 8), -1), **HOW)[1].any()
