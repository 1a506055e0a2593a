from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import scipy_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st
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
from scipy_reference import Lines
from synthetic_spectra import BOUNDS, REST, WIDTH, Sample, sn3_axis, sn3_sample

from streamfit.kernels.emission import Continuum
from streamfit.kernels.scan import SharedScan, build
from streamfit.kernels.varpro import Bounds, Fit, Geometry, Outcome, fit, lines_at

TIED = {1: (2, 1 / 3.071)}  # [NII]


@dataclass
class Agreement:
    """A kernel's fits beside scipy's; `kept` are the parameters that have an error."""

    found: Fit
    chi2: np.ndarray  # ours less scipy's
    shift: np.ndarray  # (spaxel, kept), parameters' difference over scipy's error
    error: np.ndarray  # (spaxel, kept), errors' relative difference
    correlation: np.ndarray  # (spaxel, kept, kept), covariances' difference over both errors

    @property
    def same(self) -> np.ndarray:
        """Spectra whose two fits ended in one minimum."""
        return np.abs(self.shift[:, 0]) < 0.5


def against_scipy(lines: Lines, data, weight, start, box=BOX) -> Agreement:
    found = fitted(lines, data, weight, start, box=box)
    exact = [reference.fit(lines, *row, box) for row in zip(data, weight, start, strict=True)]
    kept = np.isfinite(errors(found)).all(axis=0)
    scale = np.array([np.sqrt(np.diag(r.covariance)) for r in exact])[:, kept]
    covariance = np.array([r.covariance for r in exact])[:, kept][:, :, kept]
    between = found.covariance[:, kept][:, :, kept] - covariance
    return Agreement(
        found,
        found.chi2 - [r.chi2 for r in exact],
        (parameters(found) - [r.x for r in exact])[:, kept] / scale,
        errors(found)[:, kept] / scale - 1,
        between / (scale[:, :, None] * scale[:, None, :]),
    )


def assert_agreement(seen: Agreement) -> None:
    """What is promised of the fits: chi2, parameters, errors and the whole covariance."""
    assert np.mean(np.abs(seen.chi2) < 1e-3) >= 0.999
    same = seen.same
    assert np.median(np.abs(seen.shift[same]), axis=0).max() < 1e-3
    # Errors are those of the point before the last step. Where a broadening is not measured, like
    # 5 +- 26 km/s, its error changes within that step.
    assert np.median(np.abs(seen.error[same]), axis=0).max() < 1e-3
    assert np.mean(np.abs(seen.error[same]) < 0.01) > 0.99
    assert np.quantile(np.abs(seen.correlation[same]), 0.99) < 0.01


def test_500_spectra_agree_with_scipy():
    sample = sn3_sample(500, seed=1)
    seen = against_scipy(sample.lines, sample.data, sample.weight, sample.start)
    assert seen.same.all()
    assert_agreement(seen)
    assert not (seen.found.outcome & ~Outcome.AT_BOUND).any()


def seeded(sample: Sample) -> tuple[Lines, np.ndarray]:
    """Give the model a run fits by default and the seeds of its scan."""
    lines = replace(sample.lines, fixed=TIED, degree=1)
    emission, continuum = emission_of(lines), continuum_of(lines)
    nodes = build(
        emission,
        continuum,
        lines.coordinate,
        lines.width,
        velocity=BOUNDS[0],
        broadening=BOUNDS[1],
    )
    seeds = SharedScan.of(nodes).seeds(sample.data, sample.noise)
    return lines, np.stack([seeds.velocity, seeds.broadening], axis=1)


@pytest.mark.parametrize("count", [80, pytest.param(500, marks=pytest.mark.slow)])
def test_spectra_agree_with_scipy_from_the_seeds_of_the_scan(count):
    sample = sn3_sample(count, seed=11)
    lines, start = seeded(sample)
    seen = against_scipy(lines, sample.data, sample.weight, start)
    other = np.flatnonzero(~seen.same)
    assert len(other) <= 0.005 * count  # a faint line may have two minima
    for s in other:  # ours is one: scipy stays in it
        theta = parameters(seen.found)[s, :2]
        stays = reference.fit(lines, sample.data[s], sample.weight[s], theta, BOX)
        assert seen.found.chi2[s] == pytest.approx(stays.chi2, abs=1e-3)
    for values in fields(seen)[1:]:
        setattr(seen, values.name, getattr(seen, values.name)[seen.same])
    assert_agreement(seen)


def two_groups(shape: str, wavenumber: bool, count: int, seed: int):
    """Spectra with [SII] in a group of its own, a fixed doublet, masks and uneven weights."""
    rng = np.random.default_rng(seed)
    axis = sn3_axis() if wavenumber else np.arange(6450.0, 6820.0, 1.25)
    lines = Lines(
        axis,
        REST if wavenumber else 1e8 / REST,
        np.full(5, WIDTH) if wavenumber else np.full(5, 1.2),
        shape,
        wavenumber,
        group=(0, 0, 0, 1, 1),
        fixed=TIED,
        windows=((axis[0], axis[150]), (axis[151], axis[-1])),
        degree=1,
    )
    if shape == "gaussian":  # an instrument whose resolution varies along the axis
        lines = replace(lines, width=lines.width * np.linspace(0.9, 1.2, 5))
    velocity = rng.uniform(-300, 300, count)
    truth = np.stack(
        [
            velocity,
            rng.uniform(15, 90, count),
            velocity + rng.normal(0, 20, count),
            rng.uniform(15, 90, count),
            np.ones(count),
            *rng.uniform(0.3, 1.0, (3, count)),
            *rng.uniform(-0.1, 0.3, (4, count)),
        ],
        axis=1,
    )
    snr = np.exp(rng.uniform(*np.log((8, 100)), count))
    weight = snr[:, None] * rng.uniform(0.5, 1.5, (count, axis.size))
    data = np.array([lines.evaluate(p)[0] for p in truth])
    data += rng.standard_normal(data.shape) / weight
    bad = rng.uniform(size=data.shape) < 0.08
    weight[bad], data[bad] = 0.0, np.nan
    start = truth[:, :4] + 10 * rng.standard_normal((count, 4))
    start[:, 1::2] = np.clip(start[:, 1::2], 5, 150)
    return lines, data, weight, start


@pytest.mark.parametrize("shape", ["gaussian", "sinc", "sincgauss"])
@pytest.mark.parametrize("wavenumber", [True, False])
def test_groups_ratios_and_masks_agree_with_scipy(shape, wavenumber):
    seen = against_scipy(*two_groups(shape, wavenumber, 30, seed=5))
    assert seen.same.all()
    assert_agreement(seen)


def test_the_curvature_of_the_residuals_does_not_slow_the_search():
    # At low SNR Gauss-Newton steps overshoot by up to two, or fall short by as much. Where damping
    # and stretch do not follow, 0.8 % of these end at MAX_ITERATIONS after 6.3 evaluations each.
    sample = sn3_sample(1500, seed=2, snr=(2.0, 6.0))
    found = fitted(sample.lines, sample.data, sample.weight, sample.start)
    assert np.mean(found.outcome & Outcome.MAX_ITERATIONS > 0) < 0.002
    assert found.evaluations.mean() < 5.6


def test_pulls_have_unit_width():
    sample = sn3_sample(1500, seed=3, snr=(10.0, 100.0))
    found = fitted(sample.lines, sample.data, sample.weight, sample.start)
    pull = (parameters(found) - sample.truth) / errors(found)
    assert np.abs(np.median(pull, axis=0)).max() < 0.1
    width = 1.4826 * np.median(np.abs(pull), axis=0)
    np.testing.assert_allclose(width, 1.0, atol=0.07)  # 1500 pulls: 3 % rms
    assert np.mean(found.chi2 / found.dof) == pytest.approx(1.0, abs=0.01)


def test_a_spectrum_without_noise_gives_its_parameters_back():
    for shape in ("gaussian", "sinc", "sincgauss"):
        lines = two_groups(shape, True, 1, seed=1)[0]
        truth = np.array([120, 40, 135, 25, 1, 0.6, 0.3, 0.2, 0.5, 0.1, -0.2, 0.05])
        data = lines.evaluate(truth)[0][None, :]
        start = truth[None, :4] + [[6, -5, -7, 4]]
        if shape == "sinc":
            start[:, 1::2] = truth[[1, 3]]
        found = fitted(lines, data, np.full(data.shape, 1e4), start)
        # The last step is taken without a look: half a thousandth of an error of 1e-4.
        np.testing.assert_allclose(parameters(found)[0], truth, rtol=0, atol=2e-3)
        assert found.chi2[0] < 1e-2
        np.testing.assert_allclose(
            lines_at(found, emission_of(lines), geometry_of(lines, 1))[0],
            lines.evaluate(np.r_[truth[:8], 0, 0, 0, 0])[0],
            atol=1e-5,
        )


def test_chi2_of_the_continuum_alone():
    lines, data, weight, start = two_groups("gaussian", False, 4, seed=8)
    found = fitted(lines, data, weight, start)
    for s in range(4):
        good = weight[s] > 0
        rows = (lines.continuum() * weight[s]).T[good]
        target = (data[s] * weight[s])[good]
        rest = target - rows @ np.linalg.lstsq(rows, target)[0]
        assert found.flat_chi2[s] == pytest.approx(rest @ rest, rel=1e-9)
    np.testing.assert_array_equal(found.dof, (weight > 0).sum(axis=1) - 12)


@pytest.fixture(scope="module")
def sample():
    return sn3_sample(40, seed=21)


@pytest.fixture(scope="module")
def found(sample):
    return fitted(sample.lines, sample.data, sample.weight, sample.start)


def test_neighbours_do_not_matter_to_the_last_bit(sample, found):
    rows = np.r_[7, 30:20:-1, 3]
    part = fitted(sample.lines, sample.data[rows], sample.weight[rows], sample.start[rows])
    assert_same(found, part, rows)


def test_threads_do_not_matter_to_the_last_bit(sample, found):
    def share(first):
        rows = slice(first, first + 5)
        return fitted(sample.lines, sample.data[rows], sample.weight[rows], sample.start[rows])

    with ThreadPoolExecutor(4) as pool:
        for first, part in zip(range(0, 40, 5), pool.map(share, range(0, 40, 5)), strict=True):
            assert_same(found, part, slice(first, first + 5))


def test_what_a_channel_without_weight_holds_does_not_matter(sample):
    weight = sample.weight
    weight[:, 50:60] = 0.0
    fits = []
    for value in (0.0, np.nan, np.inf, 1e30):
        data = sample.data.copy()
        data[:, 50:60] = value
        fits.append(fitted(sample.lines, data, weight, sample.start))
    for other in fits[1:]:
        assert_same(fits[0], other)


def test_a_value_or_weight_that_is_not_finite_is_left_out(sample):
    without, data, weight = sample.weight, sample.data.copy(), sample.weight
    without[:, [5, 6, 7, 8]] = 0.0
    data[:, 5], data[:, 6], weight[:, 7], weight[:, 8] = np.nan, np.inf, np.nan, np.inf
    one = fitted(sample.lines, sample.data, without, sample.start)
    assert_same(one, fitted(sample.lines, data, weight, sample.start))


def test_float32_spectra_are_fitted_as_they_are(sample):
    short = sample.data.astype(np.float32)
    one = fitted(sample.lines, short, sample.weight, sample.start)
    assert_same(one, fitted(sample.lines, short.astype(float), sample.weight, sample.start))


def test_a_power_of_two_in_the_unit_changes_no_bit(sample, found):
    unit = 2.0**-57
    scaled = fitted(sample.lines, sample.data * unit, sample.weight / unit, sample.start)
    np.testing.assert_array_equal(scaled.velocity, found.velocity)
    np.testing.assert_array_equal(scaled.broadening, found.broadening)
    np.testing.assert_array_equal(scaled.chi2, found.chi2)
    np.testing.assert_array_equal(scaled.linear, found.linear * unit)


@pytest.mark.parametrize("unit", [1e-17, 1e-20, 1e6])
def test_the_unit_of_flux_does_not_matter(sample, found, unit):
    scaled = fitted(sample.lines, sample.data * unit, sample.weight / unit, sample.start)
    np.testing.assert_allclose(scaled.velocity, found.velocity, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(errors(scaled)[:, 2:], errors(found)[:, 2:] * unit, rtol=1e-7)
    np.testing.assert_array_equal(scaled.outcome, found.outcome)


def test_a_polynomial_added_to_the_data_only_moves_the_continuum(sample):
    lines = replace(sample.lines, degree=2)
    more = np.array([30.0, -7.0, 4.0])
    one = fitted(lines, sample.data, sample.weight, sample.start)
    two = fitted(lines, sample.data + more @ lines.continuum(), sample.weight, sample.start)
    np.testing.assert_allclose(two.linear[:, 5:], one.linear[:, 5:] + more, atol=1e-6)
    np.testing.assert_allclose(two.velocity, one.velocity, rtol=0, atol=1e-4)
    # chi2 is the difference of two sums of squares, here of 1e10: 1e-16 of them.
    np.testing.assert_allclose(two.chi2, one.chi2, rtol=0, atol=1e-5)


def test_scale_stretches_the_axis_to_the_spaxels_own(sample):
    factor = 1.0123
    own = sample.lines
    geometry = Geometry(own.coordinate / factor, np.full(40, factor), geometry_of(own, 40).width)
    continuum = Continuum(tuple((a / factor, b / factor) for a, b in own.windows), 0)
    stretched = fit(
        sample.data,
        sample.weight,
        emission_of(own),
        continuum,
        geometry,
        start=(sample.start[:, :1], sample.start[:, 1:]),
        bounds=BOX,
    )
    plain = fitted(own, sample.data, sample.weight, sample.start)
    np.testing.assert_allclose(parameters(stretched), parameters(plain), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(stretched.chi2, plain.chi2, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        lines_at(stretched, emission_of(own), geometry),
        lines_at(plain, emission_of(own), geometry_of(own, 40)),
        atol=1e-6,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from(["gaussian", "sincgauss"]))
def test_no_spectrum_raises_and_lines_never_worsen_a_fit(seed, share, shape):
    rng = np.random.default_rng(seed)
    lines, data, weight, start = two_groups(shape, False, 3, seed=seed)
    wild = rng.uniform(size=data.shape) < share
    data[wild] = rng.choice([0, np.nan, np.inf, -np.inf, 1e30, -1e3, 1e-300], size=wild.sum())
    weight[rng.uniform(size=data.shape) < share] = 0.0
    found = fitted(lines, data, weight, start)
    known = np.isfinite(found.chi2)
    assert (found.chi2[known] <= found.flat_chi2[known] * (1 + 1e-9) + 1e-6).all()
    assert (found.outcome[~known] & (Outcome.NO_DATA | Outcome.SINGULAR) > 0).all()
    inside = np.isfinite(found.broadening)
    assert (found.broadening[inside] >= BOX.broadening[0]).all()
    assert (found.broadening[inside] <= BOX.broadening[1]).all()


@pytest.mark.parametrize(("box", "at"), [((-100.0, 100.0), 100.0), ((300.0, 900.0), 300.0)])
def test_a_velocity_stays_at_its_bound(box, at):
    sample = sn3_sample(1, seed=4, snr=(30, 31))
    truth = sample.truth[0].copy()
    truth[0] = 130.0 if at == 100 else 270.0
    data = sample.lines.evaluate(truth)[0][None, :]
    bounds = Bounds(box, BOUNDS[1])
    start = np.array([[at, 40.0]])
    seen = against_scipy(sample.lines, data, sample.weight, start, bounds)
    assert seen.found.velocity[0, 0] == at
    assert seen.found.outcome[0] == Outcome.AT_BOUND
    assert abs(seen.chi2[0]) < 1e-2
    assert np.abs(seen.error).max() < 0.02  # a parameter at its bound keeps its curvature
