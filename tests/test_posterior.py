"""Posteriors beside brute force, closed forms and truth drawn from the prior."""

import dataclasses

import numpy as np
import pytest
from kernel_model import BOX, continuum_of, emission_of, geometry_of
from scipy.stats import chisquare, multivariate_normal
from scipy_reference import Lines
from synthetic_spectra import REST, WIDTH, WINDOW, sn3_axis, sn3_sample

from streamfit.kernels import posterior, scan, varpro
from streamfit.kernels._posterior_lattice import (
    AT_LOW,
    AXIS,
    FIRST,
    LAST,
    ORIGIN,
    SIDE,
    SPACING,
    STEP,
    _lay,
)
from streamfit.kernels.emission import profiles
from streamfit.kernels.mixture import Mixture
from streamfit.kernels.posterior import Amplitudes
from streamfit.kernels.posterior_map import PosteriorMap
from streamfit.kernels.reduced import ReducedEngine
from streamfit.kernels.varpro import Bounds

LINES = Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,))


@dataclasses.dataclass(frozen=True)
class Case:
    lines: Lines
    box: Bounds

    def __post_init__(self):
        object.__setattr__(self, "emission", emission_of(self.lines))
        object.__setattr__(self, "continuum", continuum_of(self.lines))
        nodes = scan.build(
            self.emission,
            self.continuum,
            self.lines.coordinate,
            self.lines.width,
            velocity=self.box.velocity,
            broadening=self.box.broadening,
        )
        shared, weighted = scan.SharedScan.of(nodes), scan.WeightedScan.of(nodes)
        coarse = PosteriorMap.of(nodes, self.box, shared=shared, weighted=weighted)
        object.__setattr__(self, "coarse", coarse)
        engine = ReducedEngine(self.emission, self.continuum, self.box)
        object.__setattr__(self, "engine", engine)

    def __call__(self, data, noise, *, start=None, weight=None, **how):
        start = np.full((len(data), 4), np.nan) if start is None else start
        return posterior.integrate(
            data,
            1 / noise[:, None] if weight is None else weight,
            noise,
            self.emission,
            self.continuum,
            geometry_of(self.lines, len(data)),
            start=start,
            bounds=self.box,
            coarse=self.coarse,
            **how,
        )

    def log_density(self, y, noise, v, b):
        """Half the gain less half the log determinant and the prior's scale, by plain numpy."""
        t, at = self.lines.coordinate, (np.array([[v]]), np.array([[b]]))
        f = profiles(
            self.emission,
            t,
            self.emission.centres(at[0])[0],
            self.emission.sigmas(*at)[0],
            self.lines.width,
        )
        flat = np.linalg.qr(self.lines.continuum().T)[0]
        f = f - (f @ flat) @ flat.T
        z = y / noise - flat @ (flat.T @ (y / noise))
        gram, c = f @ f.T, f @ z
        amplitude = np.linalg.solve(gram, c)
        level = 0.5 * c @ amplitude - 0.5 * np.linalg.slogdet(gram)[1]
        return level - len(c) * np.log(t.size) / 2, amplitude * noise


def minimum(case, sample):
    fit = varpro.fit(
        sample.data,
        sample.weight,
        case.emission,
        case.continuum,
        geometry_of(case.lines, len(sample.data)),
        start=(sample.truth[:, :1], sample.truth[:, 1:2]),
        bounds=case.box,
    )
    sigmas = posterior.conditional_sigmas(fit.covariance)
    return np.hstack([fit.velocity, fit.broadening, sigmas])


@pytest.fixture(scope="module")
def case():
    return Case(LINES, BOX)


def brute_force(case, y, noise, *, centre, reach, points=(37, 31)):
    """Mean, sigma of v and b, log evidence, by Gauss and Legendre on a box about the mode."""
    sides = []
    for place, far, low, high, count in zip(
        centre, reach, *np.transpose([case.box.velocity, case.box.broadening]), points, strict=True
    ):
        low, high = max(low, place - far), min(high, place + far)
        node, weight = np.polynomial.legendre.leggauss(count)
        half = 0.5 * (high - low)
        sides.append((0.5 * (low + high) + half * node, half * weight))
    (v, v_weight), (b, b_weight) = sides
    level = np.array([[case.log_density(y, noise, p, q)[0] for q in b] for p in v])
    mass = np.exp(level - level.max()) * v_weight[:, None] * b_weight
    area = np.ptp(case.box.velocity) * np.ptp(case.box.broadening)
    evidence = np.log(mass.sum() / area) + level.max()
    mass /= mass.sum()
    moments = []
    for axis, nodes in ((1, v), (0, b)):
        share = mass.sum(axis=axis)
        mean = share @ nodes
        moments += [mean, np.sqrt(share @ (nodes - mean) ** 2)]
    return *moments, evidence


@pytest.mark.parametrize("seed", [4, 9])
def test_moments_and_evidence_are_those_of_brute_force(case, seed):
    sample = sn3_sample(3, seed=seed, snr=(10.0, 12.0))
    start = minimum(case, sample)
    found = case(sample.data, sample.noise, start=start)
    assert found.complete.all()
    assert (found.outside < 1e-3).all()
    alone = found.velocity.sigma < 10.0  # a mode elsewhere is outside the box of brute force
    row = int(np.argmin(np.where(alone, found.broadening.mean / found.broadening.sigma, np.inf)))
    place, sigma = start[row, :2], (found.velocity.sigma[row], found.broadening.sigma[row])
    v, v_sigma, b, b_sigma, evidence = brute_force(
        case, sample.data[row], sample.noise[row], centre=place, reach=8 * np.array(sigma)
    )
    # Lattice and rim are right to a few parts in ten thousand of the mass.
    assert found.velocity.mean[row] == pytest.approx(v, abs=5e-3 * v_sigma)
    assert found.velocity.sigma[row] == pytest.approx(v_sigma, rel=5e-3)
    assert found.broadening.mean[row] == pytest.approx(b, abs=1e-2 * b_sigma)
    assert found.broadening.sigma[row] == pytest.approx(b_sigma, rel=1e-2)
    assert found.log_evidence[row] == pytest.approx(evidence, abs=5e-3)


def test_nodes_counted_from_a_bound_keep_their_centre_inside_the_arrays():
    """A walk may come upon a bound many nodes away; laid anew from it, nodes lie closer."""
    axis, reached = np.zeros(AXIS), np.ones(2)
    for away in (30.0, 150.0, 250.0, 4000.0):
        _lay(axis, away, 1.0, np.array([0.0, 2 * away]), SPACING, reached, False)
        centre = (away - axis[ORIGIN]) / axis[STEP]
        assert abs(centre) <= SIDE - 32
        assert axis[FIRST] <= centre <= axis[LAST]
        assert (axis[AT_LOW] > 0) == (away < 155)


@pytest.mark.slow
def test_far_modes_of_little_mass_have_their_part_in_a_deviation(case):
    """A mode of 1e-5 of the mass a hundred deviations away adds a tenth to a variance."""
    sample = sn3_sample(3, seed=77, snr=(5.0, 6.0))
    found = case(sample.data, sample.noise, start=minimum(case, sample))
    row = int(np.argmax(found.velocity.sigma))
    middle = 0.5 * np.array([sum(BOX.velocity), sum(BOX.broadening)])
    v, sigma, *_, evidence = brute_force(
        case,
        sample.data[row],
        sample.noise[row],
        centre=middle,
        reach=middle + 1000.0,
        points=(480, 40),
    )
    # Gauss and Legendre with nodes 7 km/s apart, a deviation: a few thousandths.
    assert found.velocity.mean[row] == pytest.approx(v, abs=0.05 * sigma)
    assert found.velocity.sigma[row] == pytest.approx(sigma, rel=0.05)
    assert found.log_evidence[row] == pytest.approx(evidence, abs=0.05)


def test_broadening_next_to_nothing_is_mirrored_at_zero(case):
    """Flat below 15 km/s, and steeper than any Gaussian above: moments, evidence and ranks."""
    sample = sn3_sample(40, seed=501, snr=(4.0, 9.0))
    v, b = 40.0, 8.0
    y = LINES.evaluate(np.r_[v, b, 1.0, 0.2, 0.6, 0.3, 0.2, 0.1])[0]
    y = (y + sample.noise[0] * np.random.default_rng(21).standard_normal(y.size))[None, :]
    probe = np.full((1, 7), np.nan)
    probe[0, 1] = 6.0
    found = case(y, sample.noise[:1], probe=probe)
    how = {"centre": (found.velocity.mean[0], 1.0), "reach": (30.0, 60.0)}
    v_mean, v_sigma, mean, sigma, evidence = brute_force(case, y[0], sample.noise[0], **how)
    assert found.broadening.sigma[0] < 8.0
    # A lattice with one of its axes at the least spacing: a part in a hundred of a deviation.
    assert found.velocity.mean[0] == pytest.approx(v_mean, abs=0.01 * v_sigma)
    assert found.broadening.mean[0] == pytest.approx(mean, abs=0.02 * sigma)
    assert found.broadening.sigma[0] == pytest.approx(sigma, rel=0.02)
    assert found.log_evidence[0] == pytest.approx(evidence, abs=0.02)
    below = Case(LINES, Bounds(BOX.velocity, (1.0, 6.0)))
    *_, part = brute_force(below, y[0], sample.noise[0], **how)
    share = np.exp(part - evidence) * 5.0 / 299.0  # evidences are means over their ranges
    assert found.below[0, 1] == pytest.approx(share, abs=0.005)


def test_a_density_cut_off_by_a_bound_is_integrated_up_to_it():
    case = Case(LINES, Bounds((-1000.0, 1000.0), (12.0, 300.0)))
    sample = sn3_sample(1, seed=2, snr=(9.0, 9.5))
    v, b = 120.0, 10.0  # below the bound
    y = LINES.evaluate(np.r_[v, b, sample.truth[0, 2:]])[0]
    y = (y + sample.noise[0] * np.random.default_rng(5).standard_normal(y.size))[None, :]
    found = case(y, sample.noise[:1])
    mean, sigma, b_mean, b_sigma, evidence = brute_force(
        case, y[0], sample.noise[0], centre=(v, 12.0), reach=(40.0, 45.0), points=(51, 41)
    )
    assert found.broadening.mean[0] == pytest.approx(b_mean, abs=0.02 * b_sigma)
    assert found.broadening.sigma[0] == pytest.approx(b_sigma, rel=0.02)
    assert found.broadening.q16[0] > 12.0
    assert found.velocity.mean[0] == pytest.approx(mean, abs=0.01 * sigma)
    assert found.log_evidence[0] == pytest.approx(evidence, abs=0.01)


def test_a_point_has_the_density_of_the_whole_normal_distribution():
    """With Gaussian amplitudes y is normal: over the continuum alone, in a box like a point."""
    box = Bounds((80.0, 80.0 + 1e-3), (35.0, 35.0 + 1e-3))
    scale = 4.0
    case = Case(LINES, box)
    sample = sn3_sample(2, seed=7, snr=(5.0, 6.0))
    wide = case(sample.data, sample.noise, amplitudes=Amplitudes(scale, gaussian=True))
    t = LINES.coordinate
    rows = LINES.evaluate(np.r_[80.0, 35.0, np.ones(6)])[1][:, 2:7].T
    for s in range(2):
        noise = sample.noise[s]
        free = 1e8 * np.ones((t.size, t.size)) / t.size  # a continuum as good as flat
        without = noise**2 * np.eye(t.size) + free
        lines = without + (scale * noise) ** 2 * rows.T @ rows
        zero = np.zeros(t.size)
        truth = multivariate_normal(zero, lines).logpdf(sample.data[s])
        truth -= multivariate_normal(zero, without).logpdf(sample.data[s])
        assert wide.log_evidence[s] == pytest.approx(truth, abs=2e-2)


def test_positive_amplitudes_have_the_probability_of_their_orthant():
    """Lines that overlap: the probability that none is negative, by scipy."""
    rest = np.array([15200.0, 15201.6, 14900.0])
    lines = Lines(sn3_axis(), rest, np.full(3, WIDTH), windows=(WINDOW,))
    case = Case(lines, Bounds((0.0, 1e-3), (20.0, 20.0 + 1e-3)))
    rng = np.random.default_rng(3)
    data = np.array(
        [
            lines.evaluate(np.r_[0.0, 20.0, a, 0.5])[0]
            for a in ([2, 1, 0], [1, 0, -1], [0, 0, 0], [3, -1, 2])
        ]
    )
    data += rng.standard_normal(data.shape)
    noise = np.ones(len(data))
    free = case(data, noise)
    positive = case(data, noise, amplitudes=Amplitudes(np.sqrt(data.shape[1]), positive=True))
    for s in range(len(data)):
        _, amplitude = case.log_density(data[s], 1.0, 0.0, 20.0)
        at = np.array([[0.0]]), np.array([[20.0]])
        f = profiles(
            case.emission,
            lines.coordinate,
            case.emission.centres(at[0])[0],
            case.emission.sigmas(*at)[0],
            lines.width,
        )
        flat = np.linalg.qr(lines.continuum().T)[0]
        f = f - (f @ flat) @ flat.T
        covariance = np.linalg.inv(f @ f.T)
        chance = multivariate_normal(-amplitude, covariance).cdf(np.zeros(3))
        expected = np.log(chance) + 3 * np.log(2)
        # Two lines are correlated by -0.64 here, which is as much as it gets.
        assert positive.log_evidence[s] - free.log_evidence[s] == pytest.approx(expected, abs=0.03)
        draws = rng.multivariate_normal(amplitude, covariance, 400_000)
        draws = draws[(draws >= 0).all(axis=1)]
        unit = case.emission.peak_fluxes(*at, lines.width[None])[0]
        mean, sigma = draws.mean(axis=0) * unit, draws.std(axis=0) * unit
        np.testing.assert_allclose(positive.flux[s], mean, atol=0.2 * unit.max())
        assert positive.flux[s, 2] == pytest.approx(mean[2], rel=0.03)
        np.testing.assert_allclose(positive.flux_sigma[s], sigma, rtol=0.35)


def test_one_bright_line_may_be_any_of_several(case):
    """All modes are kept: the only line seen may be either of two."""
    sample = sn3_sample(1, seed=1, snr=(30.0, 31.0))
    truth = np.r_[100.0, 20.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.1]
    y = LINES.evaluate(truth)[0][None, :]
    y = y + sample.noise * np.random.default_rng(8).standard_normal(y.shape)
    found = case(y, sample.noise)
    assert found.modes[0] >= 2
    assert found.velocity.sigma[0] > 100.0


def test_narrow_priors_speak_where_the_data_are_silent(case):
    rng = np.random.default_rng(2)
    data, noise = rng.standard_normal((4, LINES.coordinate.size)), np.ones(4)
    mean = np.tile([[[150.0, 60.0]]], (4, 1, 1))
    prior = Mixture(np.ones((4, 1)), mean, np.tile(np.diag([4.0, 9.0]), (4, 1, 1, 1)))
    found = case(data, noise, prior=prior)
    np.testing.assert_allclose(found.velocity.mean, 150.0, atol=1.0)
    np.testing.assert_allclose(found.broadening.mean, 60.0, atol=1.5)
    np.testing.assert_allclose(found.velocity.sigma, 2.0, rtol=0.1)


def test_both_engines_and_both_maps_agree(case):
    sample = sn3_sample(40, seed=6, snr=(8.0, 60.0))
    start = minimum(case, sample)
    exact = case(sample.data, sample.noise, start=start)
    reduced = case(sample.data, sample.noise, start=start, engine=case.engine)
    uneven = sample.weight.copy()
    uneven[:, 0] = 0.0  # one channel left out: not even any more
    masked = case(sample.data, sample.noise, start=start, weight=uneven)
    for other in (reduced, masked):
        for name in ("velocity", "broadening"):
            one, two = getattr(exact, name), getattr(other, name)
            assert np.quantile(np.abs(one.mean - two.mean) / one.sigma, 0.9) < 0.05
            np.testing.assert_allclose(one.sigma, two.sigma, rtol=0.1)
    assert np.quantile(np.abs(exact.log_evidence - reduced.log_evidence), 0.9) < 0.02


def test_a_row_does_not_depend_on_its_neighbours_nor_on_units(case):
    sample = sn3_sample(6, seed=12, snr=(4.0, 40.0))
    whole = case(sample.data, sample.noise)
    part = case(sample.data[2:4], sample.noise[2:4])
    np.testing.assert_allclose(part.velocity.mean, whole.velocity.mean[2:4], rtol=1e-6)
    np.testing.assert_allclose(part.log_evidence, whole.log_evidence[2:4], rtol=1e-6)
    faint = case(sample.data * 1e-17, sample.noise * 1e-17)
    np.testing.assert_allclose(faint.velocity.mean, whole.velocity.mean, rtol=1e-3)
    np.testing.assert_allclose(faint.flux, whole.flux * 1e-17, rtol=1e-3, atol=1e-20)
    np.testing.assert_allclose(faint.log_evidence, whole.log_evidence, atol=1e-2)


def test_bad_spectra_give_nan_and_leave_the_others_alone(case):
    sample = sn3_sample(3, seed=13)
    data, noise = sample.data.copy(), sample.noise.copy()
    data[0] = np.nan
    noise[1] = np.nan
    found = case(data, noise)
    assert np.isnan(found.velocity.mean[:2]).all()
    assert np.isfinite(found.velocity.mean[2])
    assert not found.complete[:2].any()


def test_what_cannot_be_integrated_is_refused(case):
    with pytest.raises(ValueError, match="not of 3 spaxels"):
        case(np.zeros((3, 364)), np.ones(2), start=np.zeros((3, 4)), weight=np.ones((3, 1)))


def drawn_from_the_prior(count, scale, seed):
    rng = np.random.default_rng(seed)
    v, b = rng.uniform(*BOX.velocity, count), rng.uniform(*BOX.broadening, count)
    amplitude = scale * rng.standard_normal((count, 5))
    truth = np.concatenate([np.stack([v, b], axis=1), amplitude, np.ones((count, 1))], axis=1)
    data = np.array([LINES.evaluate(p)[0] for p in truth])
    return truth, data + rng.standard_normal(data.shape)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_ranks_of_the_truth_are_uniform(case, scale):
    """Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788), truth from the prior."""
    count = 4000
    truth, data = drawn_from_the_prior(count, scale, seed=int(scale))
    unit = case.emission.peak_fluxes(truth[:, :1], truth[:, 1:2], geometry_of(LINES, count).width)
    found = case(
        data,
        np.ones(count),
        engine=case.engine,
        amplitudes=Amplitudes(scale, gaussian=True),
        probe=np.concatenate([truth[:, :2], truth[:, 2:7] * unit], axis=1),
    )
    for rank in found.below.T:
        assert chisquare(np.histogram(rank, 20, (0, 1))[0]).pvalue > 1e-3
        # Binomial: 0.7 and 0.35 %, three times.
        assert np.mean(np.abs(rank - 0.5) < 0.34135) == pytest.approx(0.6827, abs=0.022)
        assert np.mean(np.abs(rank - 0.5) < 0.475) == pytest.approx(0.95, abs=0.0105)
