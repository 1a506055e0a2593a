"""Models of several components: layout, order, and fits beside scipy's."""

import dataclasses

import numpy as np
import pytest
import scipy_reference
from kernel_model import BOX, continuum_of, emission_of, errors, geometry_of, parameters
from synthetic_spectra import WIDTH, WINDOW, sn3_axis, sn3_sample

from streamfit.kernels import components, posterior, scan
from streamfit.kernels.posterior_map import PosteriorMap
from streamfit.kernels.varpro import fit

REST = sn3_sample(1, seed=1).lines.rest
ONE = scipy_reference.Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,))
TWO = scipy_reference.Lines(
    sn3_axis(),
    np.tile(REST, 2),
    np.full(10, WIDTH),
    group=(0,) * 5 + (1,) * 5,
    windows=(WINDOW,),
)
EMISSION = emission_of(ONE)
PEAKS = np.array([1.0, 0.2, 0.6, 0.3, 0.25])


def pairs(count, *, snr, apart, seed):
    """Two components of known truth, the second of 0.4 to 0.9 of the first, km/s apart."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(-300, 300, count)
    share = rng.uniform(0.4, 0.9, (count, 1))
    theta = np.stack([v, rng.uniform(15, 40, count), v + apart, rng.uniform(15, 40, count)], axis=1)
    tail = np.full((count, 1), 0.2)
    truth = np.concatenate([theta, np.tile(PEAKS, (count, 1)), share * PEAKS, tail], axis=1)
    data = np.array([TWO.evaluate(p)[0] for p in truth])
    return truth, data + rng.standard_normal(data.shape) / snr, np.full(data.shape, snr)


def test_a_component_is_a_copy_of_every_line():
    tied = dataclasses.replace(
        EMISSION,
        column=np.array([0, 1, 1, 2, 3]),
        lead=np.array([0, 2, 2, 3, 4]),
        group=np.array([0, 0, 1, 1]),
    )
    two = components.repeated(tied, 2)
    assert two.names == (*EMISSION.names, *(f"{name}_c2" for name in EMISSION.names))
    np.testing.assert_array_equal(two.column, [0, 1, 1, 2, 3, 4, 5, 5, 6, 7])
    np.testing.assert_array_equal(two.lead, [0, 2, 2, 3, 4, 5, 7, 7, 8, 9])
    np.testing.assert_array_equal(two.group, [0, 0, 1, 1, 2, 2, 3, 3])
    assert components.repeated(tied, 1).names == tied.names


def test_the_fit_is_that_of_scipy():
    truth, data, weight = pairs(12, snr=30.0, apart=120.0, seed=5)
    two = components.repeated(EMISSION, 2)
    start = truth[:, :4] + np.random.default_rng(6).normal(0, 8, (12, 4))
    found = fit(
        data,
        weight,
        two,
        continuum_of(TWO),
        geometry_of(TWO, 12),
        start=(start[:, 0::2], start[:, 1::2]),
        bounds=BOX,
    )
    for s in range(12):
        theirs = scipy_reference.fit(TWO, data[s], weight[s], start[s], BOX)
        assert found.chi2[s] == pytest.approx(theirs.chi2, abs=2e-3)
        sigma = np.sqrt(np.diag(theirs.covariance))
        # Both stop within 5e-4 of the minimum in chi2: 0.03 of a standard deviation.
        assert (np.abs(parameters(found)[s] - theirs.x) < 0.06 * sigma).all()
        np.testing.assert_allclose(errors(found)[s], sigma, rtol=0.02)


def two_fitted(count, **how):
    truth, data, weight = pairs(count, **how)
    found = fit(
        data,
        weight,
        components.repeated(EMISSION, 2),
        continuum_of(TWO),
        geometry_of(TWO, count),
        start=(truth[:, 0:4:2], truth[:, 1:4:2]),
        bounds=BOX,
    )
    return truth, data, weight, found


def test_components_are_sorted_by_falling_flux_with_their_covariance():
    _, _, _, found = two_fitted(6, snr=50.0, apart=150.0, seed=8)
    width = geometry_of(ONE, 6).width
    swapped = dataclasses.replace(
        found,
        velocity=found.velocity[:, ::-1],
        broadening=found.broadening[:, ::-1],
        linear=found.linear[:, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 10]],
    )
    order = np.r_[2, 3, 0, 1, 9:14, 4:9, 14]
    swapped = dataclasses.replace(swapped, covariance=found.covariance[:, order[:, None], order])
    back = components.sorted_by_flux(swapped, EMISSION, 2, width)
    for name in ("velocity", "broadening", "linear", "covariance"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    again = components.sorted_by_flux(found, EMISSION, 2, width)
    np.testing.assert_array_equal(again.covariance, found.covariance)


def test_every_group_is_sorted_by_itself():
    one = dataclasses.replace(EMISSION, group=np.array([0, 0, 0, 1, 1]))
    two = components.repeated(one, 2)
    _, _, _, found = two_fitted(1, snr=50.0, apart=150.0, seed=8)
    linear = found.linear.copy()
    linear[0, :10] = [1.0, 0.1, 0.5, 0.1, 0.1, 0.8, 0.1, 0.4, 0.3, 0.2]
    wide = dataclasses.replace(
        found,
        velocity=np.array([[10.0, 20.0, 30.0, 40.0]]),
        broadening=np.full((1, 4), 30.0),
        linear=linear,
        covariance=np.arange(19.0 * 19).reshape(1, 19, 19),
    )
    assert two.groups == 4
    done = components.sorted_by_flux(wide, one, 2, geometry_of(ONE, 1).width)
    np.testing.assert_array_equal(done.velocity, [[10.0, 40.0, 30.0, 20.0]])
    np.testing.assert_array_equal(
        done.linear[0, :10], [1.0, 0.1, 0.5, 0.3, 0.2, 0.8, 0.1, 0.4, 0.1, 0.1]
    )
    assert done.covariance[0, 2, 11] == 19.0 * 6 + 16  # velocity of group 2, its first amplitude


def test_a_fit_of_one_stands_in_the_shape_of_two():
    sample = sn3_sample(3, seed=2)
    one = fit(
        sample.data,
        sample.weight,
        EMISSION,
        continuum_of(ONE),
        geometry_of(ONE, 3),
        start=(sample.start[:, :1], sample.start[:, 1:]),
        bounds=BOX,
    )
    wide = components.embedded(one, EMISSION, 1, 2)
    assert wide.covariance.shape == (3, 15, 15)
    np.testing.assert_array_equal(wide.velocity[:, 0], one.velocity[:, 0])
    assert np.isnan(wide.velocity[:, 1]).all()
    np.testing.assert_array_equal(wide.linear[:, [0, 1, 2, 3, 4, 10]], one.linear)
    places = np.r_[0, 1, 4:9, 14]
    np.testing.assert_array_equal(wide.covariance[:, places[:, None], places], one.covariance)
    assert np.isnan(wide.covariance[:, 2]).all()
    np.testing.assert_array_equal(wide.chi2, one.chi2)


def test_laplace_is_the_evidence_of_bright_lines():
    sample = sn3_sample(40, seed=3, snr=(30.0, 80.0))
    geometry = geometry_of(ONE, 40)
    found = fit(
        sample.data,
        sample.weight,
        EMISSION,
        continuum_of(ONE),
        geometry,
        start=(sample.truth[:, :1], sample.truth[:, 1:2]),
        bounds=BOX,
    )
    nodes = scan.build(
        EMISSION,
        continuum_of(ONE),
        ONE.coordinate,
        geometry.width[0],
        velocity=BOX.velocity,
        broadening=BOX.broadening,
    )
    exact = posterior.integrate(
        sample.data,
        1 / sample.noise[:, None],
        sample.noise,
        EMISSION,
        continuum_of(ONE),
        geometry,
        start=np.full((40, 4), np.nan),
        bounds=BOX,
        coarse=PosteriorMap.of(nodes, BOX, shared=scan.SharedScan.of(nodes)),
    ).log_evidence
    scale = np.sqrt(ONE.coordinate.size) * sample.noise
    guess = components.laplace_evidence(found, EMISSION, 1, BOX, scale, widths=True)
    # Broad lines are Gaussian in their width; narrow ones are not, by up to ln 2 or so.
    broad = found.broadening[:, 0] > 25
    np.testing.assert_allclose(guess[broad], exact[broad], atol=0.05)
    np.testing.assert_allclose(guess, exact, atol=1.5)
    gone = dataclasses.replace(found, chi2=np.full(40, np.nan))
    lost = components.laplace_evidence(gone, EMISSION, 1, BOX, scale, widths=True)
    assert (lost == -np.inf).all()
