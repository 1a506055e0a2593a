"""The counts that a norm of one expects, against folding itself."""

import dataclasses

import numpy as np
import pytest
from xray_cases import task

from streamfit.kernels.xray_brightness import Brightness


@pytest.mark.parametrize("name", ["apec1", "apec2", "apec1+powerlaw"])
def test_counts_are_those_of_folding(name):
    one, _ = task(name)
    made, prior = one.folding(), one.prior()
    points = prior.from_unit(np.random.default_rng(1).uniform(0.02, 0.98, (200, prior.size)))
    bright = Brightness(made)
    low, high = bright.range.T
    found = bright.log_counts(points)
    assert found.shape == (200, len(prior.norms))
    assert np.all((found > low) & (found < high))
    for place, norm in enumerate(prior.norms):
        alone = points.copy()
        alone[:, prior.norms] = -600.0
        alone[:, norm] = 0.0
        away = found[:, place] - np.log(made.source(alone).sum(axis=1))
        # A spline through 24 temperatures and 12 columns; lines of iron turn quickly below 1 keV.
        assert np.sqrt(np.mean(np.square(away))) < 0.03


def test_with_factors_the_norm_is_that_of_the_first_member():
    one, _ = task("apec1", members=2)
    free = dataclasses.replace(one, model=one.model.with_factors(2))
    point = np.array([[1.0, 0.5, -2.0, 0.0, 1.3]])
    single = Brightness(dataclasses.replace(one, members=one.members[:1]).folding())
    assert Brightness(free.folding()).log_counts(point) == pytest.approx(
        single.log_counts(point[:, :4])
    )
