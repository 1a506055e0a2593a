"""What a sampler is given: the likelihood, its priors, its evidence, where it starts."""

import numpy as np
import pytest
from kernel_model import BOX, continuum_of, emission_of, geometry_of
from scipy.integrate import quad
from scipy_reference import Lines
from synthetic_spectra import REST, WIDTH, WINDOW, sn3_axis, sn3_sample

from streamfit.kernels.full_posterior import FullPosterior, Spectrum
from streamfit.kernels.mixture import Mixture

LINES = Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,))
PRIOR = Mixture(
    np.array([[0.7, 0.3]]),
    np.array([[[100.0, 30.0], [-50.0, 5.0]]]),
    np.array([[[[400.0, 60.0], [60.0, 90.0]], [[900.0, -40.0], [-40.0, 100.0]]]]),
)


def full_of(sample, row=0, lines=LINES, **how):
    spectrum = Spectrum(
        sample.data[row], sample.weight[row], float(sample.noise[row]), geometry_of(lines, 1)
    )
    return FullPosterior.of(spectrum, emission_of(lines), continuum_of(lines), BOX, **how)


@pytest.fixture(scope="module")
def sample():
    return sn3_sample(1, seed=3, snr=(10.0, 12.0))


def test_the_likelihood_is_that_of_the_reference(sample):
    full, rng = full_of(sample), np.random.default_rng(1)
    for _ in range(5):
        point = sample.truth[0] * (1 + 0.1 * rng.standard_normal(8))
        residual = (sample.data[0] - LINES.evaluate(point)[0]) / sample.noise[0]
        # The compiled profile is right to 2e-8 of a peak.
        assert full.log_likelihood(point) == pytest.approx(-0.5 * residual @ residual, abs=1e-4)


def test_channels_without_weight_do_not_count(sample):
    data, weight = sample.data[0].copy(), sample.weight[0].copy()
    weight[:40] = 0.0
    data[:40] = np.nan
    part = Spectrum(data, weight, float(sample.noise[0]), geometry_of(LINES, 1))
    full = FullPosterior.of(part, emission_of(LINES), continuum_of(LINES), BOX)
    residual = ((sample.data[0] - LINES.evaluate(sample.truth[0])[0]) / sample.noise[0])[40:]
    assert full.log_likelihood(sample.truth[0]) == pytest.approx(-0.5 * residual @ residual)


def test_the_evidence_is_that_of_lines_over_the_continuum(sample):
    """At fixed velocity and broadening all is normal: by plain linear algebra."""
    full, y = full_of(sample), sample.data[0] / sample.noise[0]
    v, b = sample.truth[0, :2]
    rows = LINES.evaluate(np.r_[v, b, np.ones(6)])[1][:, 2:].T / sample.noise[0]

    def log_integral(design):
        inverse = np.linalg.inv(design @ design.T)
        best = inverse @ (design @ y)
        residual = y - best @ design
        return -0.5 * residual @ residual + 0.5 * np.linalg.slogdet(2 * np.pi * inverse)[1]

    found = log_integral(rows) - np.log((full.high - full.low)[2:]).sum()
    density = -5 * np.log(np.sqrt(2 * np.pi * y.size) * sample.noise[0])
    expected = log_integral(rows) + density - log_integral(rows[5:])
    assert full.log_evidence(found) == pytest.approx(expected, abs=1e-3)
    positive = full_of(sample, positive=True)
    assert (positive.low[2:7] == 0).all()
    # Twice the density on half the range: the same evidence for the same integral.
    assert positive.shift == pytest.approx(full.shift, abs=1e-9)


def test_the_transform_is_the_inverse_of_the_prior(sample):
    full = full_of(sample, prior=PRIOR)
    for u, w in ((0.1, 0.2), (0.5, 0.9), (0.93, 0.4)):
        point = full.transform(np.r_[u, w, np.full(6, 0.5)])
        assert PRIOR.velocity_cdf([point[0]])[0] == pytest.approx(u, abs=1e-9)

        def density(b, v=point[0]):
            return np.exp(PRIOR.log_density([[v]], [[b]])[0, 0])

        # The box begins at 1 km/s, where the prior is cut off.
        low, whole = BOX.broadening[0], quad(density, BOX.broadening[0], 200)[0]
        assert quad(density, low, point[1])[0] / whole == pytest.approx(w, abs=1e-7)
        np.testing.assert_allclose(point[2:], 0.5 * (full.low + full.high)[2:])
    inside = full.transform(np.full(8, 0.5))
    log_density = PRIOR.log_density([[inside[0]]], [[inside[1]]])[0, 0]
    assert full.log_prior(inside) == pytest.approx(log_density)
    assert full.log_prior(full.high + 1.0) == -np.inf
    flat = full_of(sample)
    np.testing.assert_allclose(flat.transform(np.zeros(8)), flat.low)
    assert flat.log_prior(inside) == 0.0


def test_starts_are_draws_of_the_linear_parameters(sample):
    full = full_of(sample)
    at = sample.truth[0, :2]
    starts = full.starts(np.tile(at, (500, 1)), np.random.default_rng(2))
    rows = LINES.evaluate(np.r_[at, np.ones(6)])[1][:, 2:].T / sample.noise[0]
    inverse = np.linalg.inv(rows @ rows.T)
    best = inverse @ (rows @ (sample.data[0] / sample.noise[0]))
    sigma = np.sqrt(np.diag(inverse))
    # Five hundred draws: 4.5 % of a sigma, and 3.2 % of it, four times.
    np.testing.assert_allclose(starts[:, 2:].mean(axis=0), best, atol=0.18 * sigma.max())
    np.testing.assert_allclose(starts[:, 2:].std(axis=0), sigma, rtol=0.13)


def test_tied_lines_share_an_amplitude():
    lines = Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,), fixed={1: (2, 3.071)})
    sample = sn3_sample(1, seed=3, snr=(10.0, 12.0))
    full = full_of(sample, lines=lines)
    assert full.dimensions == 7
    assert np.isfinite(full.log_likelihood(0.5 * (full.low + full.high)))


def test_what_cannot_be_sampled_is_refused(sample):
    lines = Lines(sn3_axis(), REST, np.full(5, WIDTH), windows=(WINDOW,), group=(0, 0, 0, 1, 1))
    with pytest.raises(ValueError, match="a prior of one velocity for 2 kinematic groups"):
        full_of(sample, lines=lines, prior=PRIOR)
    assert full_of(sample, lines=lines).dimensions == 10
    dead = Spectrum(sample.data[0], 0 * sample.weight[0], 1.0, geometry_of(LINES, 1))
    with pytest.raises(ValueError, match="no channel has weight"):
        FullPosterior.of(dead, emission_of(LINES), continuum_of(LINES), BOX)
