from dataclasses import replace

import numpy as np
import pytest
from kernel_model import continuum_of, emission_of
from scipy.optimize import nnls
from scipy_reference import Lines
from synthetic_spectra import BOUNDS, REST, sn3_sample

from streamfit.kernels.emission import Shape, resolution_element
from streamfit.kernels.scan import MARGIN, Scan, SharedScan, WeightedScan, build

TIED = {1: (2, 1 / 3.071)}  # [NII]
TRUST = 5e-3  # of a gain: sums of float32 products, against chi2 differences that matter, of 1


def scan_of(lines: Lines) -> Scan:
    return build(
        emission_of(lines),
        continuum_of(lines),
        lines.coordinate,
        lines.width,
        velocity=BOUNDS[0],
        broadening=BOUNDS[1],
    )


def exact_gains(lines: Lines, scan: Scan, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """By how much non-negative lines lower chi2 at every node, by scipy's active-set solver."""
    good = weight > 0
    continuum = np.linalg.qr((lines.continuum() * weight).T[good])[0]

    def flat(rows):
        return rows - continuum @ (continuum.T @ rows)

    target, gains = flat((y * weight)[good]), []
    for node in zip(scan.velocity, scan.broadening, strict=True):
        p = np.r_[node, np.ones(lines.parameters() - 2)]
        columns = lines.evaluate(p)[1][:, 2 : 2 + len(lines.leads)]
        residual = nnls(flat((columns * weight[:, None])[good]), target)[1]
        gains.append(target @ target - residual**2)
    return np.array(gains)


def parabola(scan: Scan, gains: np.ndarray, k: int) -> float:
    low, top, high = gains[k - 1 : k + 2]
    return scan.velocity[k] + 0.5 * scan.step[k] * (low - high) / (low - 2 * top + high)


def wavelength_lines(shape: str) -> Lines:
    axis = np.arange(6450.0, 6820.0, 1.25)
    window = ((axis[0], axis[-1]),)
    return Lines(axis, 1e8 / REST, np.full(5, 1.1), shape, False, (), TIED, window, 1)


@pytest.fixture(scope="module")
def sample():
    return sn3_sample(400, seed=7)


@pytest.fixture(scope="module")
def lines(sample):
    return replace(sample.lines, fixed=TIED, degree=1)


@pytest.fixture(scope="module")
def scan(lines):
    return scan_of(lines)


@pytest.fixture(scope="module")
def shared(scan):
    return SharedScan.of(scan)


@pytest.fixture(scope="module")
def weighted(scan):
    return WeightedScan.of(scan)


def test_the_seed_is_the_best_node_of_non_negative_amplitudes(sample, lines, scan, shared):
    seeds = shared.seeds(sample.data[:12], sample.noise[:12])
    for s in range(12):
        gains = exact_gains(lines, scan, sample.data[s], sample.weight[s])
        best = gains.argmax()
        assert seeds.gain[s] == pytest.approx(gains[best], rel=1e-4, abs=TRUST)
        assert seeds.broadening[s] == scan.broadening[best]
        assert seeds.velocity[s] == pytest.approx(parabola(scan, gains, best), abs=0.1)


@pytest.mark.parametrize("shape", ["gaussian", "sinc", "sincgauss"])
def test_the_weighted_seed_too_on_any_axis_with_masks(shape):
    lines, rng = wavelength_lines(shape), np.random.default_rng(4)
    scan = scan_of(lines)
    table, spread = WeightedScan.of(scan), np.geomspace(3, 60, 5)
    truth = [[v, 40, 1, 0.6, 0.3, 0.2, 2.0, 0.4] for v in (-600, -150, 0, 320, 700)]
    weight = spread[:, None] * rng.uniform(0.3, 1.0, (5, lines.coordinate.size))
    data = np.array([lines.evaluate(np.array(p))[0] for p in truth])
    data += rng.standard_normal(data.shape) / weight
    weight[rng.uniform(size=weight.shape) < 0.1] = 0.0
    weight[1, 40:90] = 0.0
    data[weight == 0] = np.nan
    seeds = table.seeds(data, weight)
    for s in range(5):
        gains = exact_gains(lines, scan, np.nan_to_num(data[s]), weight[s])
        best = gains.argmax()
        assert seeds.gain[s] == pytest.approx(gains[best], rel=1e-4, abs=TRUST)
        assert seeds.velocity[s] == pytest.approx(parabola(scan, gains, best), abs=0.3)


def test_shared_and_weighted_scans_agree(sample, shared, weighted):
    one = shared.seeds(sample.data, sample.noise)
    other = weighted.seeds(sample.data, sample.weight)
    np.testing.assert_allclose(one.velocity, other.velocity, rtol=0, atol=0.02)
    np.testing.assert_array_equal(one.broadening, other.broadening)
    np.testing.assert_allclose(one.gain, other.gain, rtol=1e-4, atol=TRUST)
    np.testing.assert_allclose(one.second_velocity, other.second_velocity, rtol=0, atol=0.2)
    np.testing.assert_allclose(one.second_gain, other.second_gain, rtol=1e-4, atol=TRUST)


def test_seeds_lie_near_the_truth(sample, shared):
    error = np.abs(shared.seeds(sample.data, sample.noise).velocity - sample.truth[:, 0])
    bright = sample.noise < 1 / 5
    assert bright.sum() > 300
    assert error[bright].max() < 60
    assert np.median(error[bright]) < 5  # a tenth of a node's spacing
    assert np.mean(error > 60) < 0.01


def test_a_second_velocity_is_reported_with_its_gain(lines, scan, shared):
    first = lines.evaluate(np.array([-300, 30, 1, 0.5, 0.3, 0.2, 0.1, 0]))[0]
    second = lines.evaluate(np.array([250, 30, 0.97, 0.48, 0.29, 0.2, 0, 0]))[0]
    rng = np.random.default_rng(2)
    data = (first + second + 0.03 * rng.standard_normal(first.size))[None, :]
    seeds = shared.seeds(data, np.array([0.03]))
    assert seeds.velocity[0] == pytest.approx(-300, abs=8)
    assert seeds.second_velocity[0] == pytest.approx(250, abs=8)
    gains = exact_gains(lines, scan, data[0], np.full(data.shape[1], 1 / 0.03))
    best = gains.argmax()
    apart = np.abs(scan.velocity - scan.velocity[best]) > scan.reach[best]
    assert seeds.second_gain[0] == pytest.approx(gains[apart].max(), rel=1e-4)


def test_a_clear_spectrum_has_no_second_peak(lines, shared):
    clear = lines.evaluate(np.array([120, 30, 1, 0.5, 0.3, 0.2, 0.1, 0]))[0]
    seeds = shared.seeds(clear[None, :], np.array([0.01]))
    assert seeds.gain[0] > 100 * MARGIN
    assert np.isnan([seeds.second_velocity, seeds.second_broadening, seeds.second_gain]).all()


def test_absorption_is_no_line(lines, scan, shared):
    # The dip is three times the line; amplitudes of either sign would follow it.
    line = lines.evaluate(np.array([-400, 30, 1, 0.3, 0.2, 0.2, 0, 0]))[0]
    dip = lines.evaluate(np.array([400, 30, -3, -0.9, -0.6, -0.6, 0, 0]))[0]
    noise = np.array([0.05])
    seeds = shared.seeds((line + dip)[None, :], noise)
    gains = exact_gains(lines, scan, line + dip, np.full(line.size, 1 / noise[0]))
    assert seeds.gain[0] == pytest.approx(gains.max(), rel=1e-4)
    assert seeds.velocity[0] == pytest.approx(parabola(scan, gains, gains.argmax()), abs=0.1)


def test_nothing_to_fit_gives_no_seed(sample, shared, weighted):
    flat = np.zeros((2, sample.data.shape[1]))
    assert np.isnan(shared.seeds(flat, np.ones(2))).all()
    assert np.isnan(weighted.seeds(flat, np.ones_like(flat))).all()
    assert np.isnan(weighted.seeds(sample.data[:2], np.zeros_like(flat))).all()


@pytest.mark.parametrize("noise", [0.0, -1.0, np.nan])
def test_a_spectrum_of_unknown_noise_gets_none_and_harms_no_other(sample, shared, noise):
    wrong = sample.noise[:4].copy()
    wrong[2] = noise
    found = np.array(shared.seeds(sample.data[:4], wrong))
    right = np.array(shared.seeds(sample.data[:4], sample.noise[:4]))
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_array_equal(found[:, [0, 1, 3]], right[:, [0, 1, 3]])


def test_a_spectrum_with_nan_gets_none_and_harms_no_other(sample, shared):
    data = sample.data[:4].copy()
    data[1, 17] = np.nan
    found = np.array(shared.seeds(data, sample.noise[:4]))
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:3, [0, 2, 3]]).all()


@pytest.mark.parametrize("unit", [1e-17, 1e-20, 1e12])
def test_seeds_do_not_depend_on_the_unit(sample, shared, weighted, unit):
    data, noise = sample.data[:50], sample.noise[:50]
    plain, scaled = shared.seeds(data, noise), shared.seeds(data * unit, noise * unit)
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=TRUST)
    plain = weighted.seeds(data, sample.weight[:50])
    scaled = weighted.seeds(data * unit, sample.weight[:50] / unit)
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=0.05)


def test_seeds_do_not_depend_on_their_neighbours(sample, shared, weighted):
    # To rounding: a matrix product may sum in another order for another number of rows.
    rows = np.r_[3, 300:380, 7]
    whole = np.array(shared.seeds(sample.data, sample.noise))
    part = np.array(shared.seeds(sample.data[rows], sample.noise[rows]))
    np.testing.assert_allclose(part, whole[:, rows], rtol=1e-5, atol=TRUST)
    whole = np.array(weighted.seeds(sample.data, sample.weight))
    part = np.array(weighted.seeds(sample.data[rows], sample.weight[rows]))
    np.testing.assert_allclose(part, whole[:, rows], rtol=1e-4, atol=0.05)


def test_a_bright_continuum_hides_no_line(sample, shared, weighted):
    slope = 300 + 50 * np.linspace(-1, 1, sample.data.shape[1])
    plain = shared.seeds(sample.data[:50], sample.noise[:50])
    for found in (
        shared.seeds(sample.data[:50] + slope, sample.noise[:50]),
        weighted.seeds(sample.data[:50] + slope, sample.weight[:50]),
    ):
        # float32 holds a continuum of 3e4 times the noise to 2e-3 of the noise.
        np.testing.assert_allclose(found.velocity, plain.velocity, rtol=0, atol=1.0)


def test_nodes_cover_the_range_a_line_width_at_most_apart(scan, lines):
    element = resolution_element(Shape.SINCGAUSS, lines.width, lines.rest).min()
    for b in np.unique(scan.broadening):
        velocity = scan.velocity[scan.broadening == b]
        assert (velocity[0], velocity[-1]) == BOUNDS[0]
        assert np.diff(velocity).max() < 0.5 * np.hypot(element, 2.3548 * b)
    assert BOUNDS[1][0] <= scan.broadening.min() < 30
    assert 100 < scan.broadening.max() <= BOUNDS[1][1]


def test_a_sinc_is_scanned_at_one_broadening():
    assert np.unique(scan_of(wavelength_lines("sinc")).broadening).size == 1


@pytest.mark.parametrize("kind", [SharedScan, WeightedScan])
def test_a_line_outside_the_axis_is_left_out(lines, kind):
    # Only Halpha and [NII] are in this part of the band; [SII] lies far outside.
    inside = (lines.coordinate > 15050) & (lines.coordinate < 15400)
    part = replace(lines, coordinate=lines.coordinate[inside], windows=((15050.0, 15400.0),))
    data = part.evaluate(np.array([150, 30, 1, 0.5, 0.3, 0.2, 0.1, 0]))[0][None, :]
    noise = np.array([0.02])
    table = kind.of(scan_of(replace(part, shape="gaussian", width=lines.width / 2)))
    weight = noise if kind is SharedScan else np.full(data.shape, 1 / noise[0])
    assert table.seeds(data, weight).velocity[0] == pytest.approx(150, abs=8)
