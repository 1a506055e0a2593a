"""Proposals side by side get what they would get alone."""

import sys

import numpy as np
import pytest

from streamfit.kernels.lockstep import Lockstep

pytest.importorskip("greenlet", reason="needs the extra `bayes`")


class Bowl:
    """A likelihood that remembers how many points it was asked for at once."""

    def __init__(self):
        self.asked = []

    def __call__(self, points):
        self.asked.append(len(points))
        return -np.square(points).sum(axis=1)


def walk(pool, steps):
    """Halve a point as often as asked, and give the likelihoods on the way."""
    point = np.array([1.0, float(steps)])
    return [pool(point / 2.0**step) for step in range(steps)]


def test_points_of_all_proposals_are_evaluated_together():
    bowl = Bowl()
    pool = Lockstep(bowl, size=3)
    steps = [2, 0, 4, 1, 1]
    found = pool.map(lambda number: walk(pool, number), steps)
    assert bowl.asked == [2, 2, 1, 1, 2]  # of the first three, then of the other two
    alone = Lockstep(Bowl(), size=1)
    assert found == [walk(alone, number) for number in steps]


def test_a_point_by_itself_needs_no_pool():
    bowl = Bowl()
    assert Lockstep(bowl, size=8)(np.array([3.0, 4.0])) == -25.0
    assert bowl.asked == [1]


def test_nothing_to_do_gives_nothing():
    assert Lockstep(Bowl(), size=4).map(abs, []) == []


def test_an_error_of_a_proposal_is_raised():
    pool = Lockstep(Bowl(), size=4)

    def fails(number):
        pool(np.zeros(2))
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        pool.map(fails, [1, 0, 2])
    assert pool.map(fails, [1, 2]) == [1.0, 0.5]


def test_without_greenlet_it_cannot_be_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ImportError):
        Lockstep(Bowl(), size=2)
