"""Nested sampling of posteriors that are known."""

import math

import numpy as np
import pytest

from streamfit.kernels.lockstep import Lockstep
from streamfit.kernels.nested_sampling import run

pytest.importorskip("dynesty", reason="needs the extra `bayes`")
pytestmark = pytest.mark.filterwarnings("ignore")  # of dynesty, about few live points

SIGMA = np.array([0.3, 0.5])


def gaussian(point):
    """A normal density about (1, -1), of integral one."""
    return float(gaussians(point[None])[0])


def gaussians(points):
    """The same of many points."""
    z = (points - [1.0, -1.0]) / SIGMA
    return -0.5 * np.square(z).sum(axis=1) - math.log(2 * math.pi * SIGMA.prod())


@pytest.mark.parametrize("together", [False, True], ids=["singly", "side by side"])
@pytest.mark.parametrize("how", [{"sample": "unif"}, {"sample": "rwalk", "walks": 30}], ids=str)
def test_a_normal_density_has_its_moments_and_evidence(how, together):
    found = run(
        Lockstep(gaussians, 32) if together else gaussian,
        lambda unit: 10 * unit - 5,
        2,
        np.random.default_rng(3),
        live=300,
        remain=0.01,
        **how,
    )
    assert found.weight.sum() == pytest.approx(1.0)
    mean = found.weight @ found.points
    # Four standard errors of that many draws.
    assert mean == pytest.approx([1, -1], abs=4 * 0.5 / math.sqrt(found.effective))
    width = np.sqrt(found.weight @ np.square(found.points - mean))
    assert width == pytest.approx(SIGMA, rel=4 / math.sqrt(2 * found.effective))
    # One over the area of the prior.
    assert found.log_evidence == pytest.approx(-math.log(100), abs=4 * found.log_evidence_error)
    assert found.log_evidence_error < 0.2
    assert found.evaluations > len(found.points)
    assert found.log_likelihood[-1] == pytest.approx(gaussian(found.points[-1]))
