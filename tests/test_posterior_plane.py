"""Posteriors of faint spectra beside sums over the whole plane of velocity and broadening."""

import numpy as np
import pytest
from numba import njit
from synthetic_spectra import sn3_sample
from test_posterior import BOX, LINES, Case, minimum

from streamfit.kernels._posterior_batch import small_space
from streamfit.kernels._posterior_point import solve
from streamfit.kernels.emission import profiles
from streamfit.kernels.posterior import Amplitudes


@njit
def levels(products, gram, small, prior, out):  # pragma: no cover - compiled
    """Log densities of many spectra at many points from c (point, column, spaxel) and G."""
    for p in range(len(gram)):
        for s in range(products.shape[2]):
            for a in range(gram.shape[1]):
                small[0][a] = products[p, a, s]
                for b in range(gram.shape[1]):
                    small[1][a, b] = gram[p, a, b]
            out[s, p] = solve(small, prior)


def whole_plane(case, sample, priors):
    """Means and deviations of v and b, log evidence, by sums over a grid of the whole plane."""
    t, (low, high) = case.lines.coordinate, case.box.broadening
    v = np.linspace(*case.box.velocity, 501)
    v_weight = np.full(v.size, v[1] - v[0])
    v_weight[[0, -1]] *= 0.5
    b, b_weight = [], []
    for first, last, count in ((low, 40.0, 34), (40.0, 120.0, 30), (120.0, high, 16)):
        node, weight = np.polynomial.legendre.leggauss(count)
        b.append(0.5 * (first + last) + 0.5 * (last - first) * node)
        b_weight.append(0.5 * (last - first) * weight)
    b, b_weight = np.concatenate(b), np.concatenate(b_weight)
    flat = np.linalg.qr(case.lines.continuum().T)[0]
    y = sample.data / sample.noise[:, None]
    y = np.ascontiguousarray((y - (y @ flat) @ flat.T).T)
    level = np.empty((len(priors), y.shape[1], v.size, b.size))
    for j, wide in enumerate(b):
        centre = case.emission.centres(v[:, None])
        sigma = case.emission.sigmas(v[:, None], np.full((v.size, 1), wide))
        f = np.stack(
            [
                profiles(case.emission, t, centre[i], sigma[i], case.lines.width)
                for i in range(v.size)
            ]
        )
        f -= (f @ flat) @ flat.T
        columns = f.shape[1]
        products = (f.reshape(-1, t.size) @ y).reshape(v.size, columns, -1)
        small, out = small_space(columns, columns), np.empty(level.shape[1:3])
        for prior, own in zip(priors, level, strict=True):
            scale, positive = float(np.log(prior.scale)), float(prior.positive)
            numbers = (0.0, 0.0, scale, np.zeros((6, 0)), positive)
            levels(products, f @ f.transpose(0, 2, 1), small, numbers, out)
            own[:, :, j] = out
    return [summed(case, own, (v, b), (v_weight, b_weight)) for own in level]


def summed(case, level, nodes, weights):
    """Moments and evidence of log densities on a grid."""
    top = level.max(axis=(1, 2))
    mass = np.exp(level - top[:, None, None]) * weights[0][:, None] * weights[1]
    whole = mass.sum(axis=(1, 2))
    area = np.ptp(case.box.velocity) * np.ptp(case.box.broadening)
    mass /= whole[:, None, None]
    moments = []
    for axis, places in ((2, nodes[0]), (1, nodes[1])):
        share = mass.sum(axis=axis)
        mean = share @ places
        moments += [mean, np.sqrt(share @ places**2 - mean**2)]
    return *moments, np.log(whole / area) + top


@pytest.mark.slow
def test_every_moment_of_faint_spectra_is_that_of_the_whole_plane():
    """Forty spectra of SNR 3 to 8, noise and far modes included, amplitudes of either sign or not.

    Nodes 4 km/s apart, a standard deviation or less: the sums are right to a part in a thousand.
    """
    case, sample = Case(LINES, BOX), sn3_sample(40, seed=502, snr=(3.0, 8.0))
    scale = float(np.sqrt(LINES.coordinate.size))
    priors = [Amplitudes(scale, positive=positive) for positive in (False, True)]
    start = minimum(case, sample)
    for prior, moments in zip(priors, whole_plane(case, sample, priors), strict=True):
        found = case(sample.data, sample.noise, start=start, amplitudes=prior)
        mean, sigma, b_mean, b_sigma, evidence = moments
        # What nested sampling is good for: a twentieth of a deviation, 5 %.
        np.testing.assert_array_less(np.abs(found.velocity.mean - mean), 0.05 * sigma)
        np.testing.assert_allclose(found.velocity.sigma, sigma, rtol=0.05)
        np.testing.assert_array_less(np.abs(found.broadening.mean - b_mean), 0.05 * b_sigma)
        np.testing.assert_allclose(found.broadening.sigma, b_sigma, rtol=0.05)
        np.testing.assert_allclose(found.log_evidence, evidence, atol=0.05)
