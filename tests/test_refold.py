from dataclasses import replace

import numpy as np
import pytest

from streamfit.kernels.refold import refold_cash, refold_w, smooth_background

ENERGY = np.linspace(0.5, 7.0, 222)


def spectrum(slope, total):
    values = ENERGY**-slope
    return values * total / values.sum()


@pytest.mark.parametrize("total", [30.0, 1000.0, 1e5])
def test_a_true_model_is_as_expected(total):
    # The mean of 150 values of unit scatter lies within 0.25 of zero but for one in 500.
    rng = np.random.default_rng(3)
    model = spectrum(1.7, total)
    z = np.array([refold_cash(rng.poisson(model) * 1.0, model).z for _ in range(150)])
    assert abs(z.mean()) < 0.25
    assert 0.85 < z.std() < 1.2


@pytest.mark.parametrize(
    ("total", "behind", "scale"), [(60, 20, 0.1), (500, 1, 0.01), (2e3, 2e3, 0.3)]
)
def test_a_true_model_over_a_measured_background(total, behind, scale):
    rng = np.random.default_rng(4)
    source, background = spectrum(1.7, total), spectrum(0.5, behind)
    scales = np.full(ENERGY.size, scale)
    z = []
    for _ in range(80):
        counts = rng.poisson(source + background) * 1.0
        beside = rng.poisson(background / scales) * 1.0
        z.append(refold_w(counts, source, beside, scales).z)
    assert abs(np.mean(z)) < 0.4
    assert 0.8 < np.std(z) < 1.25


def test_a_wrong_model_stands_out():
    rng = np.random.default_rng(5)
    counts = rng.poisson(spectrum(1.7, 3000.0)) * 1.0
    assert refold_cash(counts, spectrum(1.0, 3000.0)).z > 5
    assert refold_cash(counts, spectrum(1.7, 2000.0)).z > 5


def test_low_counts_are_not_held_against_one_a_bin():
    counts = np.zeros(222)
    counts[::20] = 1.0
    found = refold_cash(counts, np.full(222, 0.05))
    assert found.expected == pytest.approx(222 * 0.302, rel=0.01)
    assert found.value < 0.5 * found.bins
    assert abs(found.z) < 1.0


def test_bins_that_expect_nothing_do_not_count():
    model = np.array([0.0, 0.0, 4.0])
    found = refold_cash(np.array([0.0, 0.0, 4.0]), model)
    assert found.bins == 1
    assert np.isnan(refold_cash(np.zeros(3), np.zeros(3)).z)
    assert refold_cash(np.array([1.0, 0.0, 4.0]), model).z == np.inf


def test_a_background_is_smoothed_as_far_as_it_must():
    scale = np.full(50, 0.1)
    many = np.full(50, 40.0)
    np.testing.assert_allclose(smooth_background(many, scale), 4.0)
    few = np.zeros(50)
    few[25] = 5.0
    np.testing.assert_allclose(smooth_background(few, scale), 0.01)
    step = np.concatenate([np.full(25, 100.0), np.full(25, 0.0)])
    assert smooth_background(step, scale)[0] == pytest.approx(10.0)
    assert smooth_background(step, scale)[-1] < 1.0


def test_a_background_follows_the_width_of_the_bins():
    width = np.tile([1.0, 3.0], 20)
    found = smooth_background(np.full(40, 2.0) * width, np.ones(40), width=width, enough=1e9)
    np.testing.assert_allclose(found, 2.0 * width)
    width[3] = 0.0
    assert smooth_background(2.0 * width, np.ones(40), width=width)[3] == 0.0


def test_a_smoothed_background_expects_as_many_counts_as_were_seen():
    rng = np.random.default_rng(6)
    falling = 2.0 * np.exp(-np.arange(222) / 25.0)
    for many in (1.0, 10.0, 100.0):
        beside = rng.poisson(many * falling) * 1.0
        found = smooth_background(beside, np.full(222, 0.5))
        assert found.sum() == pytest.approx(0.5 * beside.sum())
        enough = beside >= 25.0
        np.testing.assert_allclose(found[enough], 0.5 * beside[enough])


def test_a_faint_background_that_falls_is_not_held_against_a_true_spectrum():
    rng = np.random.default_rng(7)
    scale = np.full(222, 0.3)
    shape = np.exp(-np.arange(222) / 40.0)
    source, beside = spectrum(1.7, 20.0), 40.0 * shape / shape.sum()
    z = [
        refold_w(rng.poisson(source + 0.3 * beside) * 1.0, source, drawn, scale).z
        for drawn in rng.poisson(beside, size=(60, 222)) * 1.0
    ]
    # Some of the shape is smoothed away: -0.7 where the mean is taken over 25 counts, and -1.6
    # where the sum is not kept either.
    assert -0.5 < np.mean(z) < 0.3


def test_a_fit_is_expected_lower_by_the_parameters_it_follows():
    rng = np.random.default_rng(8)
    basis = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, 222), 9)
    z = []
    for _ in range(150):
        counts = rng.poisson(np.full(222, 400.0)) * 1.0
        fit = basis @ np.linalg.lstsq(basis, counts, rcond=None)[0]
        z.append(replace(refold_cash(counts, fit), freedom=10.0).z)
    # As of a true model; without the freedom the mean would be -0.47.
    assert abs(np.mean(z)) < 0.25
