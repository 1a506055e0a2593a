"""Noise of a spectrum: which is chosen, what is measured, and what is refused."""

import numpy as np
import pytest
from optical_cubes import fts_header, wavelength_header

from streamfit.io.errors import InputError
from streamfit.stream.config import OpticalConfig
from streamfit.stream.noise import (
    choose_noise,
    even_weights,
    rough_noise,
    typical_noise,
)
from streamfit.stream.spectral_model import build_model


def chosen(header, asked="auto"):
    return choose_noise(header, build_model(header, OpticalConfig()), asked).kind


def test_auto_takes_the_best_noise_that_there_is():
    assert chosen(wavelength_header()) == "variance"
    assert chosen(fts_header(has_imaginary=True)) == "band"
    assert chosen(fts_header(band=None, has_imaginary=True)) == "imaginary"
    assert chosen(wavelength_header(has_variance=False)) == "residual"


@pytest.mark.parametrize("asked", ["variance", "imaginary"])
def test_a_noise_that_the_cube_does_not_have_is_refused(asked):
    with pytest.raises(InputError, match=f"--noise {asked} is not in this cube; it allows auto, b"):
        chosen(fts_header(), asked)


def test_dark_channels_stay_clear_of_the_filter():
    header = fts_header()
    model = build_model(header, OpticalConfig())
    choice = choose_noise(header, model, "band")
    dark = model.coordinate[choice.dark_channels(model, 1.0)]
    width = header.band[1] - header.band[0]
    assert np.all((dark < header.band[0] - 0.09 * width) | (dark > header.band[1] + 0.09 * width))
    assert dark.size > 100


def test_rough_noise_hardly_sees_a_line():
    spectra = np.random.default_rng(2).normal(size=(50, 400))
    spectra[:, 200:206] += 100.0
    assert np.median(rough_noise(spectra)) == pytest.approx(1.0, rel=0.06)


def test_dead_spectra_have_no_noise_and_no_weight():
    dead = np.stack([np.zeros(100), np.full(100, np.nan)])
    assert np.isnan(rough_noise(dead)).all()
    assert not even_weights(dead, rough_noise(dead)).any()
    assert np.isnan(typical_noise(np.zeros((2, 100)))).all()
