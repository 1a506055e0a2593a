"""The counts that a norm of one expects, against folding itself."""

import dataclasses

import numpy as np
import pytest
from xray_cases import task

from streamfit.kernels.xray_brightness import Brightness


@pytest.mark.parametrize("name", ["apec1", "apec2"])
def test_counts_are_those_of_folding(name):
    one, _ = task(name)
    made, prior = one.folding(), one.prior()
    points = prior.from_unit(np.random.default_rng(1).uniform(0.02, 0.98, (200, prior.size)))
    points[:, prior.model.names.index("norm")] = 0.0
    bright = Brightness(made)
    away = bright.log_counts(points) - np.log(made.source(points).sum(axis=1))
    # A spline through 24 temperatures and 12 columns; lines of iron turn quickly below 1 keV.
    assert np.sqrt(np.mean(np.square(away))) < 0.03
    low, high = bright.range
    assert np.all((bright.log_counts(points) > low) & (bright.log_counts(points) < high))


def test_with_factors_the_norm_is_that_of_the_first_member():
    one, _ = task("apec1", members=2)
    free = dataclasses.replace(one, model=one.model.with_factors(2))
    point = np.array([[1.0, 0.5, -2.0, 0.0, 1.3]])
    single = Brightness(dataclasses.replace(one, members=one.members[:1]).folding())
    assert Brightness(free.folding()).log_counts(point) == pytest.approx(
        single.log_counts(point[:, :4])
    )
