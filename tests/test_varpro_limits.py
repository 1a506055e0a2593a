"""Where a fit ends at a bound, without data or without an answer, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from kernel_model import (
    BOX,
    assert_same,
    continuum_of,
    emission_of,
    errors,
    fitted,
    geometry_of,
    parameters,
)
from synthetic_spectra import BOUNDS, REST, WIDTH, sn3_sample

from streamfit.kernels.emission import Shape, tie
from streamfit.kernels.varpro import Bounds, Outcome, fit, lines_at


@pytest.fixture(scope="module")
def sample():
    return sn3_sample(40, seed=21)


@pytest.fixture(scope="module")
def found(sample):
    return fitted(sample.lines, sample.data, sample.weight, sample.start)


@pytest.mark.parametrize(("box", "at"), [((50.0, 300.0), 50.0), ((1.0, 20.0), 20.0)])
def test_a_broadening_stays_at_its_bound(box, at):
    sample = sn3_sample(1, seed=4, snr=(30, 31))
    truth = sample.truth[0].copy()
    truth[1] = 35.0
    data = sample.lines.evaluate(truth)[0][None, :]
    start = np.array([[truth[0] + 5, at]])
    found = fitted(sample.lines, data, sample.weight, start, box=Bounds(BOUNDS[0], box))
    assert found.broadening[0, 0] == at
    assert found.outcome[0] == Outcome.AT_BOUND
    assert np.isfinite(found.covariance).all()


def test_a_bound_that_is_not_in_the_way_is_not_reported(found, sample):
    inside = (found.broadening[:, 0] > BOX.broadening[0]) & (found.velocity[:, 0] < BOX.velocity[1])
    assert inside.sum() > 30
    assert not (found.outcome[inside] & Outcome.AT_BOUND).any()


def test_a_start_outside_the_box_is_taken_from_its_edge(sample):
    box = Bounds((-700.0, 700.0), (10.0, 120.0))
    far = np.repeat([[-2000.0, 900.0]], 40, axis=0)
    edge = np.repeat([[-700.0, 120.0]], 40, axis=0)
    one = fitted(sample.lines, sample.data, sample.weight, far, box=box)
    assert_same(one, fitted(sample.lines, sample.data, sample.weight, edge, box=box))


def test_a_broadening_of_zero_may_be_asked_for(sample):
    box = Bounds(BOUNDS[0], (0.0, 300.0))
    start = sample.start * [1, 0]
    found = fitted(sample.lines, sample.data, sample.weight, start, box=box)
    assert np.isfinite(parameters(found)).all()
    assert found.broadening.min() >= 0.1


def test_too_few_iterations_are_reported(sample):
    found = fitted(sample.lines, sample.data, sample.weight, sample.start, iterations=2)
    assert (found.outcome & Outcome.MAX_ITERATIONS > 0).mean() > 0.9
    assert found.evaluations.max() == 2
    assert np.isfinite(parameters(found)).all()


@pytest.mark.parametrize("why", ["weight", "data", "few", "start", "width", "scale"])
def test_a_spectrum_without_data_has_no_fit_and_harms_no_other(sample, found, why):
    data, weight, start = sample.data[:3].copy(), sample.weight[:3], sample.start[:3].copy()
    geometry = geometry_of(sample.lines, 3)
    if why == "weight":
        weight[1] = 0.0
    elif why == "data":
        data[1] = np.nan
    elif why == "few":
        weight[1, 8:] = 0.0  # as many channels as parameters
    elif why == "start":
        start[1, 0] = np.nan
    else:
        getattr(geometry, why)[1] = np.nan
    emission = emission_of(sample.lines)
    three = fit(
        data,
        weight,
        emission,
        continuum_of(sample.lines),
        geometry,
        start=(start[:, :1], start[:, 1:]),
        bounds=BOX,
    )
    assert three.outcome[1] == Outcome.NO_DATA
    assert three.evaluations[1] == 0
    assert np.isnan(parameters(three)[1]).all()
    assert np.isnan(three.covariance[1]).all()
    assert np.isnan([three.chi2[1], three.flat_chi2[1]]).all()
    np.testing.assert_array_equal(parameters(three)[[0, 2]], parameters(found)[[0, 2]])
    if why not in ("width", "scale"):
        drawn = lines_at(three, emission, geometry)
        assert np.isnan(drawn[1]).all()
        assert np.isfinite(drawn[[0, 2]]).all()


def test_a_line_whose_channels_are_masked_has_no_amplitude(sample):
    weight = sample.weight
    # [SII]6731 from -500 to 500 km/s and its wings; a gaussian has none beyond.
    lines = replace(sample.lines, shape="gaussian", width=np.full(5, 1.0))
    weight[:, lines.coordinate < 14900] = 0.0
    found = fitted(lines, sample.data, weight, sample.start)
    without = replace(lines, rest=REST[:4], width=np.full(4, 1.0))
    four = fitted(without, sample.data, weight, sample.start)
    assert np.isnan(found.linear[:, 4]).all()
    assert np.isnan(found.covariance[:, 6, :]).all()
    assert np.isnan(found.covariance[:, :, 6]).all()
    kept = np.r_[:6, 7]
    np.testing.assert_allclose(parameters(found)[:, kept], parameters(four), rtol=1e-6)
    np.testing.assert_allclose(errors(found)[:, kept], errors(four), rtol=1e-6)
    np.testing.assert_array_equal(found.dof, four.dof)
    drawn = lines_at(found, emission_of(lines), geometry_of(lines, 40))
    np.testing.assert_allclose(
        drawn, lines_at(four, emission_of(without), geometry_of(without, 40)), rtol=0, atol=1e-6
    )


def test_a_group_whose_lines_are_masked_leaves_the_others_fitted(sample):
    weight = sample.weight
    lines = replace(sample.lines, shape="gaussian", width=np.full(5, 1.0), group=(0, 0, 0, 1, 1))
    weight[:, lines.coordinate < 15050] = 0.0
    start = np.repeat(sample.start, 2, axis=0).reshape(40, 4)
    found = fitted(lines, sample.data, weight, start)
    three = replace(lines, rest=REST[:3], width=np.full(3, 1.0), group=())
    alone = fitted(three, sample.data, weight, sample.start)
    assert not (found.outcome & Outcome.SINGULAR).any()
    assert np.isnan(found.velocity[:, 1]).all()
    assert np.isnan(found.broadening[:, 1]).all()
    np.testing.assert_allclose(found.velocity[:, 0], alone.velocity[:, 0], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(found.dof, alone.dof)
    drawn = lines_at(found, emission_of(lines), geometry_of(lines, 40))
    np.testing.assert_allclose(
        drawn, lines_at(alone, emission_of(three), geometry_of(three, 40)), rtol=0, atol=1e-5
    )


def test_a_spectrum_whose_lines_are_all_masked_is_singular(sample):
    lines = replace(sample.lines, shape="gaussian", width=np.full(5, 1.0))
    weight = sample.weight
    weight[:, lines.coordinate < 15350] = 0.0
    found = fitted(lines, sample.data, weight, sample.start)
    np.testing.assert_array_equal(found.outcome, Outcome.SINGULAR)
    assert np.isnan(found.velocity).all()
    assert np.isfinite(found.flat_chi2).all()


def test_two_lines_in_one_place_are_singular(sample):
    lines = replace(sample.lines, rest=np.r_[REST[:4], REST[3]])
    found = fitted(lines, sample.data, sample.weight, sample.start)
    np.testing.assert_array_equal(found.outcome, Outcome.SINGULAR)
    assert np.isnan(parameters(found)).all()


def test_a_continuum_window_without_channels_is_left_out(sample, found):
    lines = replace(sample.lines, windows=(*sample.lines.windows, (16000.0, 16100.0)))
    more = fitted(lines, sample.data, sample.weight, sample.start)
    assert np.isnan(more.linear[:, 6]).all()
    np.testing.assert_array_equal(more.linear[:, :6], found.linear)
    np.testing.assert_array_equal(more.dof, found.dof)


def test_the_broadening_of_a_sinc_is_not_fitted(sample):
    lines = replace(sample.lines, shape="sinc")
    found = fitted(lines, sample.data, sample.weight, sample.start)
    np.testing.assert_array_equal(found.broadening[:, 0], sample.start[:, 1])
    assert np.isnan(found.covariance[:, 1, :]).all()
    np.testing.assert_array_equal(found.dof, sample.data.shape[1] - 7)
    other = fitted(lines, sample.data, sample.weight, sample.start * [1, 2])
    np.testing.assert_array_equal(other.velocity, found.velocity)


def refused(sample, message, *, shape=Shape.SINCGAUSS, start=None, **changed):
    lines = sample.lines
    weight, geometry = changed.pop("weight", sample.weight), geometry_of(lines, 40)
    rest = dict(zip("abcde", REST, strict=True))
    start = (sample.start[:, :1], sample.start[:, 1:]) if start is None else start
    with pytest.raises(ValueError, match=message):
        fit(
            sample.data,
            weight,
            tie(rest, shape=shape, wavenumber=True),
            continuum_of(lines),
            replace(geometry, **changed),
            start=start,
            bounds=BOX,
        )


def test_shapes_that_disagree_are_refused(sample):
    refused(
        sample,
        r"data \(40, 364\), weight \(40, 3\) and axis \(364,\) disagree",
        weight=np.ones((40, 3)),
    )
    refused(
        sample,
        r"data \(40, 364\), weight \(40, 364\) and axis \(5,\) disagree",
        coordinate=np.arange(5.0),
    )
    refused(
        sample,
        r"scale \(3,\) and width \(40, 5\) are not those of 40 spaxels and 5 lines",
        scale=np.ones(3),
    )
    refused(
        sample,
        r"scale \(40,\) and width \(40, 4\) are not those of 40 spaxels and 5 lines",
        width=np.ones((40, 4)),
    )
    refused(
        sample,
        r"start \(40, 2\), \(40, 2\) is not that of 40 spaxels and 1 groups",
        start=(sample.start, sample.start),
    )


def test_an_axis_must_rise_and_be_even_for_a_sinc(sample):
    axis = sample.lines.coordinate
    for shape in Shape:
        refused(
            sample, "the axis does not rise from channel", shape=shape, coordinate=axis[::-1].copy()
        )
    uneven = axis.copy()
    uneven[100:] += 0.4
    refused(
        sample, r"channels are uneven by 0.19 of one; a sinc needs even ones", coordinate=uneven
    )


def test_a_sinc_has_one_width_for_all_lines(sample):
    width = np.full((40, 5), WIDTH)
    width[3, 2] *= 1.01
    refused(sample, "lines of one spaxel differ in width; a sinc has one for all", width=width)
