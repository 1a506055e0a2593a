"""The posterior of one spectrum beside nested sampling of all eight parameters."""

import numpy as np
import pytest
from kernel_model import BOX, continuum_of, emission_of, geometry_of
from numba import njit
from synthetic_spectra import WIDTH, sn3_sample

from streamfit.kernels import posterior, scan
from streamfit.kernels._rows import fill
from streamfit.kernels.posterior_map import PosteriorMap
from streamfit.kernels.profile import turns
from streamfit.kernels.varpro import packed

AMPLITUDE, CONTINUUM = 3.0, 2.0  # half widths of the flat priors; Halpha has peak one


@njit
def chi2(q, y, model, spaxel, t, one, rows, shares, waves):  # pragma: no cover - compiled
    """Give that of the whole model, amplitudes and continuum included."""
    fill(model, q[:2], spaxel, t, one, waves, rows, shares)
    total = 0.0
    for i in range(t.size):
        r = y[i] - q[7]
        for k in range(5):
            r -= q[2 + k] * rows[k, i]
        total += r * r
    return total


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [31, 32])
def test_nested_sampling_of_all_parameters_agrees(seed):
    dynesty = pytest.importorskip("dynesty", reason="needs the extra `bayes`")
    sample = sn3_sample(1, seed=seed, snr=(7.0, 15.0))
    emission, continuum = emission_of(sample.lines), continuum_of(sample.lines)
    geometry, t = geometry_of(sample.lines, 1), sample.lines.coordinate
    nodes = scan.build(
        emission,
        continuum,
        t,
        geometry.width[0],
        velocity=BOX.velocity,
        broadening=BOX.broadening,
    )
    found = posterior.integrate(
        sample.data,
        1 / sample.noise[:, None],
        sample.noise,
        emission,
        continuum,
        geometry,
        start=np.full((1, 4), np.nan),
        bounds=BOX,
        coarse=PosteriorMap.of(nodes, BOX, shared=scan.SharedScan.of(nodes)),
    )
    y, noise, n = sample.data[0], float(sample.noise[0]), t.size
    rows, shares, one = np.zeros((5, n)), np.ones(5), np.ones(n)
    waves = np.empty(n), np.empty(n)
    turns(np.pi * (t[1] - t[0]) / WIDTH, *waves)
    model, spaxel = packed(emission), (1.0, geometry.width[0])
    low = np.r_[BOX.velocity[0], BOX.broadening[0], np.full(5, -AMPLITUDE), -CONTINUUM]
    high = np.r_[BOX.velocity[1], BOX.broadening[1], np.full(5, AMPLITUDE), CONTINUUM]

    def log_likelihood(q):
        square = chi2(q, y, model, spaxel, t, one, rows, shares, waves)
        return -0.5 * square / noise**2 - 0.5 * n * np.log(2 * np.pi * noise**2)

    sampler = dynesty.NestedSampler(
        log_likelihood,
        lambda u: low + u * (high - low),
        8,
        nlive=300,
        sample="rwalk",
        bootstrap=0,
        rstate=np.random.default_rng(seed),
    )
    sampler.run_nested(print_progress=False, dlogz=0.1)
    result = sampler.results
    weight = np.exp(result.logwt - result.logz[-1])
    weight /= weight.sum()
    flat_chi2 = np.square(y - y.mean()).sum() / noise**2
    alone = -0.5 * flat_chi2 - 0.5 * n * np.log(2 * np.pi * noise**2)
    alone += 0.5 * np.log(2 * np.pi * noise**2 / n) - np.log(2 * CONTINUUM)
    # Our amplitudes have the density 1 / (sqrt(2 pi n) noise), dynesty's 1 / (2 AMPLITUDE).
    volume = 5 * np.log(np.sqrt(2 * np.pi * n) * noise / (2 * AMPLITUDE))
    error = float(result.logzerr[-1])
    assert found.log_evidence[0] + alone + volume == pytest.approx(result.logz[-1], abs=3 * error)
    for index, own in enumerate((found.velocity, found.broadening)):
        values = result.samples[:, index]
        mean = weight @ values
        sigma = np.sqrt(weight @ np.square(values - mean))
        # Two thousand effective samples: 0.02 and 2 %, three times and some correlation.
        assert own.mean[0] == pytest.approx(mean, abs=0.1 * sigma)
        assert own.sigma[0] == pytest.approx(sigma, rel=0.08)
