"""Source models against integrals and sums of their parts."""

import numpy as np
import pytest
from scipy.integrate import quad
from xray_cases import USUAL, table

from streamfit.kernels.plasma import thermal, transmission
from streamfit.kernels.xray_model import MODELS, ranges, to_coordinates, to_values


def test_a_power_law_is_its_integral_behind_the_column():
    found = MODELS["powerlaw"].photons(table(), USUAL["powerlaw"])
    index, column, norm = USUAL["powerlaw"]
    through = np.exp(-column * table().cross_section)
    for bin_ in (5, 60, 110):
        low, high = table().edges[bin_ : bin_ + 2]
        whole = quad(lambda energy: norm * energy**-index, low, high)[0]
        assert found[bin_] == pytest.approx(whole * through[bin_], rel=1e-9)


def test_one_plasma_is_that_of_the_table():
    kT, abundance, column, norm = USUAL["apec1"]
    plain = thermal(table(), kT, abundance, 0.1, norm) * transmission(table(), column)
    np.testing.assert_allclose(MODELS["apec1"].photons(table(), USUAL["apec1"], 0.1), plain)


def test_two_plasmas_and_a_mixture_are_sums():
    kT, abundance, column, norm, kT2, second = USUAL["apec2"]
    one = MODELS["apec1"].photons(table(), [kT, abundance, column, norm], 0.2)
    other = MODELS["apec1"].photons(table(), [kT2, abundance, column, norm * second], 0.2)
    np.testing.assert_allclose(MODELS["apec2"].photons(table(), USUAL["apec2"], 0.2), one + other)
    kT, abundance, column, norm, index, height = USUAL["apec1+powerlaw"]
    one = MODELS["apec1"].photons(table(), [kT, abundance, column, norm])
    other = MODELS["powerlaw"].photons(table(), [index, column, height])
    found = MODELS["apec1+powerlaw"].photons(table(), USUAL["apec1+powerlaw"])
    np.testing.assert_allclose(found, one + other)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_batch_is_its_rows(name):
    model = MODELS[name]
    values = np.array(USUAL[name]) * np.array([[1.0], [1.1], [0.9]])
    together = model.photons(table(), values)
    for row, one in zip(together, values, strict=True):
        np.testing.assert_array_equal(row, model.photons(table(), one))


@pytest.mark.parametrize("name", list(MODELS))
def test_coordinates_are_logarithms_but_where_zero_is_a_value(name):
    model, values = MODELS[name], np.array(USUAL[name])
    coordinates = to_coordinates(model, values)
    for one, value, found in zip(model.parameters, values, coordinates, strict=True):
        assert found == (value if one.name in ("abundance", "index") else np.log(value))
    np.testing.assert_allclose(to_values(model, coordinates), values)
    low, high = ranges(model)
    assert np.all(low < coordinates)
    assert np.all(coordinates < high)


def test_only_two_temperatures_are_in_order():
    assert [name for name, model in MODELS.items() if model.ordered] == ["apec2"]
