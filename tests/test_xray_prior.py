"""The prior as density, as cube and as normal numbers: they are the same prior."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from streamfit.kernels.xray_model import MODELS, NORMS
from streamfit.kernels.xray_prior import ColumnPrior, Prior, log_normal

PRIORS = [Prior(model) for model in MODELS.values()]
PRIORS += [Prior(MODELS["apec2"], ColumnPrior(0.05)), Prior(MODELS["powerlaw"], ColumnPrior(8.0))]


def named(prior):
    return prior.model.name + (f" nH {prior.column.nH}" if prior.column else "")


def points(prior, number=200):
    return np.random.default_rng(2).uniform(0.02, 0.98, (number, prior.size))


@pytest.mark.parametrize("prior", PRIORS, ids=named)
def test_the_density_is_that_of_the_image_of_the_cube(prior):
    """An even density there has the density of one over the Jacobian here."""
    unit, step = points(prior), 1e-6
    slope = np.empty((len(unit), prior.size, prior.size))
    for index in range(prior.size):
        moved = np.zeros(prior.size)
        moved[index] = step
        change = prior.from_unit(unit + moved) - prior.from_unit(unit - moved)
        slope[:, :, index] = change / (2 * step)
    volume = np.log(np.abs(np.linalg.det(slope)))
    density = prior.log_density(prior.from_unit(unit))
    np.testing.assert_allclose(density, -volume, atol=1e-5)


@pytest.mark.parametrize("prior", PRIORS, ids=named)
def test_coordinates_come_back(prior):
    unit = points(prior)
    np.testing.assert_allclose(prior.to_unit(prior.from_unit(unit)), unit, atol=1e-7)
    normal = prior.to_normal(prior.from_unit(unit))
    np.testing.assert_allclose(prior.from_normal(normal), prior.from_unit(unit), atol=1e-6)


@pytest.mark.parametrize("prior", PRIORS, ids=named)
def test_the_slope_is_that_of_the_image(prior):
    normal = np.random.default_rng(3).normal(size=(20, prior.size))
    move = 1e-5 * np.random.default_rng(4).normal(size=(20, prior.size))
    change = prior.from_normal(normal + move) - prior.from_normal(normal - move)
    linear = 2 * np.einsum("nij,nj->ni", prior.slope(normal), move)
    np.testing.assert_allclose(change, linear, atol=1e-9)


def test_the_cooler_of_two_is_cooler():
    prior = Prior(MODELS["apec2"])
    found = prior.from_unit(points(prior))
    assert np.all(found[:, 4] < found[:, 0])
    swapped = found.copy()
    swapped[:, [0, 4]] = found[:, [4, 0]]
    assert np.all(prior.log_density(swapped) == -np.inf)


def test_a_known_column_is_lognormal_about_it():
    prior = Prior(MODELS["apec1"], ColumnPrior(0.05, 0.2))
    unit = np.full((999, 4), 0.5)
    unit[:, 2] = (np.arange(999) + 0.5) / 999
    column = prior.from_unit(unit)[:, 2]
    assert column.mean() == pytest.approx(np.log(0.05), abs=1e-9)
    assert column.std() == pytest.approx(0.2, rel=0.01)


def test_outside_the_ranges_there_is_nothing():
    prior = Prior(MODELS["apec1"])
    beyond = np.array([[np.log(21.0), 0.5, 0.0, 0.0], [0.0, 2.1, 0.0, 0.0]])
    assert np.all(prior.log_density(beyond) == -np.inf)


def test_points_at_a_bound_have_finite_normal_numbers():
    for prior in PRIORS:
        ends = np.stack([prior.low, prior.high])
        assert np.all(np.isfinite(prior.to_normal(ends)))


def test_normal_numbers_have_their_density():
    normal = np.random.default_rng(5).normal(size=(10, 4))
    plain = multivariate_normal(np.zeros(4)).logpdf(normal)
    np.testing.assert_allclose(log_normal(normal), plain)


def test_two_temperatures_of_different_ranges_are_refused():
    model = MODELS["apec2"]
    parameters = (dataclasses.replace(model.parameters[0], high=10.0), *model.parameters[1:])
    with pytest.raises(ValueError, match="not the same"):
        Prior(dataclasses.replace(model, parameters=parameters))


def counted(name, column=None):
    """A prior in counts instead of norms: made-up numbers that bend with everything."""
    norms = [place for place, one in enumerate(MODELS[name].names) if one in NORMS]

    def log_counts(coordinates):
        rest = np.delete(coordinates, norms, axis=1)
        first = 10.0 + 0.3 * rest[:, 0] + 0.2 * np.sin(rest[:, 1:]).sum(axis=1)
        return np.stack([first, 9.0 + 0.5 * np.cos(rest).sum(axis=1)], axis=1)[:, : len(norms)]

    ranges = np.array([[5.0, 15.0], [4.0, 12.0]])[: len(norms)]
    return Prior(MODELS[name], column, log_counts=log_counts, counts_range=ranges)


@pytest.mark.parametrize("name", ["apec1", "apec2", "apec1+powerlaw"])
@pytest.mark.parametrize("column", [None, ColumnPrior(0.1)])
def test_in_counts_the_density_is_that_of_the_prior_all_the_same(name, column):
    prior = counted(name, column)
    normal = np.random.default_rng(4).normal(size=(50, prior.size)) * 0.7
    coordinates, density = prior.at(normal)
    _, stretch = np.linalg.slogdet(prior.slope(normal))
    # Slopes are central differences.
    np.testing.assert_allclose(prior.log_density(coordinates) + stretch, density, atol=1e-4)
    known = np.isfinite(density)
    assert known.sum() > 20
    np.testing.assert_allclose(prior.to_normal(coordinates[known]), normal[known], atol=1e-6)


def test_in_counts_there_is_no_prior_where_the_norm_is_out_of_its_range():
    prior = counted("apec1")
    coordinates, density = prior.at(np.array([[0.0, 0.0, 0.0, -6.0], [0.0, 0.0, 0.0, 0.0]]))
    assert density[0] == -np.inf
    assert np.isfinite(density[1])
    assert coordinates[0, 3] == prior.low[3]


def test_two_norms_are_drawn_by_their_counts_and_their_ratio():
    prior = counted("apec1+powerlaw")
    normal = np.zeros((2, 6))
    normal[1, 5] = 0.1
    even, more = prior.from_normal(normal)
    # At zero both have as many counts; the second number moves the ratio and not the sum.
    counted_by = [one[[3, 5]] + prior._log_counts(one[None])[0] for one in (even, more)]
    assert counted_by[0][0] == pytest.approx(counted_by[0][1])
    assert counted_by[1][0] > counted_by[1][1]
    assert np.logaddexp(*counted_by[1]) == pytest.approx(np.logaddexp(*counted_by[0]))
    ratio = counted_by[1][0] - counted_by[1][1]
    assert ndtri(prior.ratio_to_unit(ratio)) == pytest.approx(0.1)


def test_one_norm_has_no_ratio():
    with pytest.raises(ValueError, match="apec1 is not drawn by the counts of two norms"):
        counted("apec1").ratio_to_unit(0.0)


@pytest.mark.parametrize("name", ["apec1", "apec1+powerlaw"])
def test_in_counts_evidence_has_the_same_norm(name):
    """The density in normal numbers integrates to one, what is out of the range left out."""
    prior = counted(name)
    normal = np.random.default_rng(6).normal(size=(200_000, prior.size))
    weight = np.exp(prior.at(normal)[1] - log_normal(normal))
    assert weight.mean() == pytest.approx(1.0, abs=0.01)
