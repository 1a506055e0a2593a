"""Truths of the calibration are draws of the priors they are said to come from."""

import numpy as np

from streamfit.kernels.mixture import Mixture
from streamfit.stream.config import OpticalConfig
from streamfit.stream.optical import OpticalRecipe
from streamfit.stream.posterior_rows import Informed
from streamfit.tools.calibration import Population, draw, sn3_header

RECIPE = OpticalRecipe(
    sn3_header(), OpticalConfig(noise="band", no_mdn=True, velocity_range=(-500, 500))
)


def lent(count: int, known: bool) -> Informed:
    mean = np.tile([[[480.0, 30.0]]], (count, 1, 1))
    covariance = np.tile(np.diag([900.0, 100.0]), (count, 1, 1, 1))
    return Informed(Mixture(np.ones((count, 1)), mean, covariance), np.full(count, known))


def test_lent_priors_are_drawn_from_between_the_bounds():
    truth = draw(RECIPE, 200, Population((3.0, 10.0)), 1, lent(200, True))
    assert (truth.velocity < 500.0).all()
    assert 450.0 < truth.velocity.mean() < 480.0  # cut at 500
    assert abs(truth.broadening.mean() - 30.0) < 3.0
    other = draw(RECIPE, 200, Population((3.0, 10.0)), 1, lent(200, False))
    assert other.velocity.min() < -300.0


def test_normal_amplitudes_have_either_sign_and_one_scale():
    column = Population((3.0, 10.0), "gaussian").columns(np.random.default_rng(2), RECIPE, 4000)
    assert abs(column.mean()) < 1.0
    assert abs(column.std() - 20.0) < 1.0
