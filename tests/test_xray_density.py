"""What the network says, in the words of the source model."""

import numpy as np
import pytest

from streamfit.kernels.xray_model import MODELS, to_coordinates
from streamfit.kernels.xray_posterior import Proposal
from streamfit.stream.xray_density import Density, centre

ONE = MODELS["apec1"]


def proposal(values, weights, deviation=0.1):
    """A mixture about some values of apec1."""
    mean = to_coordinates(ONE, np.array(values))
    covariance = np.tile(deviation**2 * np.eye(4), (len(values), 1, 1))
    return Proposal(np.array(weights), mean, covariance)


def test_starts_are_the_means_the_likeliest_first():
    values = [[1.0, 0.3, 0.1, 1e-3], [5.0, 0.5, 0.2, 1e-4]]
    density = Density({1: proposal(values, [0.2, 0.8])}, 0.4, in_range=True)
    np.testing.assert_allclose(density.starts(ONE), values[::-1])
    assert density.of(MODELS["powerlaw"]) is None
    assert density.starts(MODELS["powerlaw"]).shape == (0, 3)


def test_out_of_range_nothing_is_said():
    density = Density({1: proposal([[1.0, 0.3, 0.1, 1e-3]], [1.0])}, 0.4, in_range=False)
    assert density.of(ONE) is None
    assert density.starts(ONE).shape == (0, 4)


def test_the_centre_of_one_component_is_its_own():
    values, sigma = centre(ONE, proposal([[2.0, 0.4, 0.1, 1e-3]], [1.0]))
    np.testing.assert_allclose(values, [2.0, 0.4, 0.1, 1e-3])
    np.testing.assert_allclose(sigma, [0.2, 0.1, 0.01, 1e-4])


def test_the_centre_of_two_is_that_of_draws():
    mixture = proposal([[1.0, 0.3, 0.1, 1e-3], [4.0, 0.5, 0.2, 1e-4]], [0.3, 0.7])
    values, sigma = centre(ONE, mixture)
    drawn = mixture.draw(200_000, np.random.default_rng(1))
    assert np.log(values[0]) == pytest.approx(drawn[:, 0].mean(), abs=0.01)
    assert sigma[0] / values[0] == pytest.approx(drawn[:, 0].std(), rel=0.01)
    assert sigma[1] == pytest.approx(drawn[:, 1].std(), rel=0.01)
