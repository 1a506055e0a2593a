"""Sampled posteriors beside the lattice, dense algebra and nested sampling."""

import dataclasses

import numpy as np
import pytest
from kernel_model import BOX, continuum_of, emission_of, geometry_of
from synthetic_spectra import sn3_sample
from test_components import EMISSION, ONE, TWO, two_fitted

from streamfit.kernels import components, importance, posterior, psis, scan
from streamfit.kernels.nested import nested
from streamfit.kernels.posterior import Amplitudes
from streamfit.kernels.posterior_map import PosteriorMap
from streamfit.kernels.target import Spectra, Target
from streamfit.kernels.varpro import fit

SCALE = float(np.sqrt(ONE.coordinate.size))
FLAT = Amplitudes(SCALE)


def keys(count, seed=0):
    return np.stack([np.full(count, seed), np.arange(count)], axis=1).astype(np.uint64)


def theta_of(found):
    size = 2 * found.velocity.shape[1]
    theta = np.stack([found.velocity, found.broadening], axis=-1).reshape(-1, 1, size)
    return theta, found.covariance[:, None, :size, :size]


def pair(count=6, snr=30.0, apart=120.0, seed=5, amplitudes=FLAT):
    truth, data, weight, found = two_fitted(count, snr=snr, apart=apart, seed=seed)
    two = components.repeated(EMISSION, 2)
    target = Target(two, continuum_of(TWO), 2, BOX, amplitudes)
    noise = np.full(count, 1 / snr)
    return truth, target, Spectra(data, weight, noise, geometry_of(TWO, count)), found


def one_and_exact(count=30, amplitudes=FLAT, **how):
    sample = sn3_sample(count, seed=3, snr=(12.0, 60.0))
    geometry, continuum = geometry_of(ONE, count), continuum_of(ONE)
    found = fit(
        sample.data,
        sample.weight,
        EMISSION,
        continuum,
        geometry,
        start=(sample.truth[:, :1], sample.truth[:, 1:2]),
        bounds=BOX,
    )
    nodes = scan.build(
        EMISSION,
        continuum,
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
        continuum,
        geometry,
        start=np.full((count, 4), np.nan),
        bounds=BOX,
        coarse=PosteriorMap.of(nodes, BOX, shared=scan.SharedScan.of(nodes)),
        amplitudes=amplitudes,
    )
    target = Target(EMISSION, continuum, 1, BOX, amplitudes)
    spectra = Spectra(sample.data, 1 / sample.noise[:, None], sample.noise, geometry)
    return exact, importance.sample(target, spectra, *theta_of(found), keys(count))


@pytest.mark.parametrize("positive", [False, True])
def test_one_component_has_the_posterior_of_the_lattice(positive):
    exact, found = one_and_exact(amplitudes=Amplitudes(SCALE, positive=positive))
    assert (found.k_hat < psis.TRUSTED).all()
    # 640 draws, 400 to 550 of them effective: 0.05 of a sigma, 3 % and 0.05, three times.
    np.testing.assert_allclose(found.log_evidence, exact.log_evidence, atol=0.15)
    for index, own in enumerate((exact.velocity, exact.broadening)):
        mean, sigma = found.kinematics[:, index, 0], found.kinematics[:, index, 1]
        assert (np.abs(mean - own.mean) < 0.2 * own.sigma).all()
        np.testing.assert_allclose(sigma, own.sigma, rtol=0.12)
        for place, quantile in enumerate((own.q16, own.q50, own.q84)):
            away = found.kinematics[:, index, 2 + place] - quantile
            assert (np.abs(away) < 0.3 * own.sigma).all()
    assert (np.abs(found.flux - exact.flux) < 0.2 * exact.flux_sigma).all()
    np.testing.assert_allclose(found.flux_sigma, exact.flux_sigma, rtol=0.12)


def test_two_bright_components_have_the_fit_and_its_errors():
    _, target, spectra, found = pair(count=10, snr=60.0, apart=200.0)
    sampled = importance.sample(target, spectra, *theta_of(found), keys(10))
    theta, spread = theta_of(found)
    sigma = np.sqrt(np.einsum("spp->sp", spread[:, 0]))
    assert (np.abs(sampled.kinematics[:, :, 0] - theta[:, 0])[:, 0::2] < 0.3 * sigma[:, 0::2]).all()
    np.testing.assert_allclose(sampled.kinematics[:, 0::2, 1], sigma[:, 0::2], rtol=0.2)
    guess = components.laplace_evidence(found, EMISSION, 2, BOX, SCALE * spectra.noise, widths=True)
    np.testing.assert_allclose(sampled.log_evidence, guess, atol=0.6)


def test_the_density_does_not_know_the_order_of_components():
    truth, target, spectra, _ = pair(count=3)
    theta = truth[:, None, :4]
    value, flux, _ = target.evaluate(spectra, theta)
    other, moved, _ = target.evaluate(spectra, theta[:, :, [2, 3, 0, 1]])
    np.testing.assert_allclose(value, other, rtol=1e-9)
    np.testing.assert_allclose(flux, moved[:, :, np.r_[5:10, 0:5]], rtol=1e-6)


def test_the_density_is_that_of_dense_algebra():
    truth, target, spectra, _ = pair(count=3)
    value, flux, variance = target.evaluate(spectra, truth[:, None, :4])
    for s in range(3):
        rows = TWO.evaluate(truth[s])[1][:, 4:14].T
        y, noise = spectra.data[s] - spectra.data[s].mean(), spectra.noise[s]
        rows = rows - rows.mean(axis=1, keepdims=True)
        gram, right = rows @ rows.T, rows @ y / noise
        best = np.linalg.solve(gram, right)
        expected = 0.5 * right @ best - 0.5 * np.linalg.slogdet(gram)[1] - 10 * np.log(SCALE)
        area = np.prod([high - low for low, high in BOX])
        # Spectra are held in float32: 6e-8 of y y, some hundred thousand.
        assert value[s, 0] == pytest.approx(expected - 2 * np.log(area), abs=0.02)
        unit = target.emission.peak_fluxes(
            truth[s : s + 1, 0:4:2], truth[s : s + 1, 1:4:2], spectra.geometry.width[:1]
        )[0]
        np.testing.assert_allclose(flux[s, 0], noise * best * unit, rtol=1e-3)
        sigma = noise * np.sqrt(np.diag(np.linalg.inv(gram))) * unit
        np.testing.assert_allclose(np.sqrt(variance[s, 0]), sigma, rtol=1e-3)


def test_coincident_components_have_the_density_of_one():
    truth, two, spectra, _ = pair(count=3)
    one = Target(EMISSION, two.continuum, 1, BOX, FLAT)
    alone = dataclasses.replace(spectra, geometry=geometry_of(ONE, 3))
    near = np.concatenate([truth[:, :2], truth[:, :2] + 1e-7], axis=1)[:, None]
    area = np.prod([high - low for low, high in BOX])
    together = two.evaluate(spectra, near)[0] + np.log(area)
    np.testing.assert_allclose(together, one.evaluate(alone, near[:, :, :2])[0], atol=1e-3)


def test_components_that_cancel_have_no_density_unless_signs_are_free():
    """Two near each other, one negative, fit as a line and its derivative at any brightness."""
    truth, free, spectra, _ = pair(count=3)
    middle = truth[:, None, [0, 1, 0, 1]] + np.array([55.0, 20.0, 58.0, 23.0])
    held = dataclasses.replace(free, amplitudes=Amplitudes(SCALE, positive=True))
    loss = held.evaluate(spectra, middle)[0] - free.evaluate(spectra, middle)[0]
    apart = held.evaluate(spectra, truth[:, None, :4])[0]
    apart -= free.evaluate(spectra, truth[:, None, :4])[0]
    assert (loss < -20).all()
    np.testing.assert_allclose(apart, 10 * np.log(2), atol=0.5)


def test_nothing_lies_outside_the_bounds():
    truth, target, spectra, _ = pair(count=1)
    theta = np.repeat(truth[:, None, :4], 4, axis=1)
    theta[0, 1, 0], theta[0, 2, 3], theta[0, 3, 1] = 1001.0, 0.5, 301.0
    value = target.evaluate(spectra, theta)[0][0]
    assert np.isfinite(value[0])
    assert (value[1:] == -np.inf).all()


def test_a_row_depends_on_nothing_but_itself():
    _, target, spectra, found = pair(count=40)
    theta, spread = theta_of(found)
    whole = importance.sample(target, spectra, theta, spread, keys(40))
    rows = np.array([3, 35])
    some = importance.sample(target, spectra.part(rows), theta[rows], spread[rows], keys(40)[rows])
    for field in dataclasses.fields(whole):
        mine = getattr(whole, field.name)[rows]
        np.testing.assert_allclose(getattr(some, field.name), mine, rtol=1e-9)
    other = importance.sample(target, spectra.part(rows), theta[rows], spread[rows], keys(2, 1))
    assert (other.log_evidence != some.log_evidence).all()
    assert other.log_evidence == pytest.approx(some.log_evidence, abs=0.2)


def test_a_proposal_about_nothing_is_not_to_be_trusted():
    _, target, spectra, found = pair(count=2)
    theta, spread = theta_of(found)
    lost = importance.sample(target, spectra, theta + 150.0, 1e-3 * spread, keys(2))
    assert (lost.k_hat > psis.TRUSTED).all()
    nowhere = importance.sample(target, spectra, np.full_like(theta, np.nan), spread, keys(2))
    assert np.isnan(nowhere.k_hat).all()
    assert np.isnan(nowhere.kinematics).all()


def test_a_sinc_is_sampled_in_velocity_alone():
    lines = dataclasses.replace(ONE, shape="sinc")
    emission = emission_of(lines)
    target = Target(emission, continuum_of(ONE), 1, BOX, FLAT)
    assert target.free.tolist() == [0]
    two = Target(components.repeated(emission, 2), continuum_of(ONE), 2, BOX, FLAT)
    assert two.orders().tolist() == [[0, 1], [1, 0]]
    assert two.line_orders().tolist() == [list(range(10)), [*range(5, 10), *range(5)]]


def test_groups_change_places_by_themselves():
    one = dataclasses.replace(EMISSION, group=np.array([0, 0, 0, 1, 1]))
    target = Target(components.repeated(one, 2), continuum_of(ONE), 2, BOX, FLAT)
    orders = target.orders().tolist()
    assert len(orders) == 4
    assert [0, 1, 6, 7, 4, 5, 2, 3] in orders
    lines = target.line_orders().tolist()
    assert lines[orders.index([0, 1, 6, 7, 4, 5, 2, 3])] == [0, 1, 2, 8, 9, 5, 6, 7, 3, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nested_sampling_of_the_same_density_agrees():
    pytest.importorskip("dynesty", reason="needs the extra `bayes`")
    amplitudes = Amplitudes(SCALE, positive=True)
    _, target, spectra, found = pair(count=1, snr=15.0, apart=100.0, amplitudes=amplitudes)
    theta, spread = theta_of(found)
    sampled = importance.sample(target, spectra, theta, spread, keys(1))
    again = nested(target, spectra, theta[0, 0], keys(1)[0])
    assert sampled.k_hat[0] < psis.TRUSTED
    # its own error is 0.35
    assert again.log_evidence[0] == pytest.approx(sampled.log_evidence[0], abs=1.5)
    sigma = sampled.kinematics[0, :, 1]
    away = again.kinematics[0, :, 0] - sampled.kinematics[0, :, 0]
    assert (np.abs(away) < 0.25 * sigma).all()
    # Of the central 68 %: a mode of a thousandth, far away, would count in a deviation.
    width, other = (np.ptp(k.kinematics[0][:, [2, 4]], axis=1) for k in (sampled, again))
    np.testing.assert_allclose(other, width, rtol=0.2)
    assert (np.abs(again.flux - sampled.flux) < 0.25 * sampled.flux_sigma).all()


def quadrature(lines, y, noise, centre, sigma):
    """Evidence, means and deviations of two components on a lattice, by dense algebra alone."""
    nodes = [np.linspace(m - 5 * s, m + 5 * s, 17) for m, s in zip(centre, sigma, strict=True)]
    m = len(lines.rest)
    blocks = []
    for v, b in (nodes[:2], nodes[2:]):
        rows = np.array(
            [
                lines.evaluate(np.r_[at_v, at_b, np.ones(m + 1)])[1][:, 2 : 2 + m].T
                for at_v in v
                for at_b in b
            ]
        )
        blocks.append(rows - rows.mean(axis=2, keepdims=True))
    first, second = blocks
    y = (y - y.mean()) / noise
    count = len(first)
    cross = np.einsum("pmi,qni->pqmn", first, second, optimize=True)
    gram = np.empty((count, count, 2 * m, 2 * m))
    gram[:, :, :m, :m] = (first @ first.transpose(0, 2, 1))[:, None]
    gram[:, :, m:, m:] = (second @ second.transpose(0, 2, 1))[None]
    gram[:, :, :m, m:], gram[:, :, m:, :m] = cross, cross.transpose(0, 1, 3, 2)
    right = np.empty((count, count, 2 * m))
    right[:, :, :m], right[:, :, m:] = (first @ y)[:, None], (second @ y)[None]
    best = np.linalg.solve(gram, right[..., None])[..., 0]
    value = 0.5 * (right * best).sum(axis=-1) - 0.5 * np.linalg.slogdet(gram)[1]
    value -= 2 * m * np.log(SCALE) + 2 * np.log(np.prod([high - low for low, high in BOX]))
    cell = np.prod([axis[1] - axis[0] for axis in nodes])
    weight = np.exp(value - value.max()).reshape([17] * 4)
    evidence = value.max() + np.log(weight.sum() * cell) + np.log(2)  # either order
    weight /= weight.sum()
    marginal = [weight.sum(axis=tuple(k for k in range(4) if k != p)) for p in range(4)]
    mean = np.array([w @ axis for w, axis in zip(marginal, nodes, strict=True)])
    square = np.array([w @ axis**2 for w, axis in zip(marginal, nodes, strict=True)])
    return evidence, mean, np.sqrt(square - mean**2)


def test_two_components_have_the_evidence_of_quadrature():
    one = dataclasses.replace(ONE, rest=ONE.rest[[0, 2]], width=ONE.width[:2])
    both = dataclasses.replace(
        one, rest=np.tile(one.rest, 2), width=np.tile(one.width, 2), group=(0, 0, 1, 1)
    )
    truth, noise = np.array([30.0, 40.0, 150.0, 35.0, 1.0, 0.6, 0.7, 0.5, 0.2]), 1 / 30
    rng = np.random.default_rng(9)
    data = both.evaluate(truth)[0][None] + noise * rng.standard_normal((1, ONE.coordinate.size))
    emission, continuum = components.repeated(emission_of(one), 2), continuum_of(both)
    geometry = geometry_of(both, 1)
    found = fit(
        data,
        np.full(data.shape, 1 / noise),
        emission,
        continuum,
        geometry,
        start=(truth[None, [0, 2]], truth[None, [1, 3]]),
        bounds=BOX,
    )
    theta, spread = theta_of(found)
    target = Target(emission, continuum, 2, BOX, FLAT)
    spectra = Spectra(data, np.full(data.shape, 1 / noise), np.full(1, noise), geometry)
    sampled = importance.sample(target, spectra, theta, spread, keys(1))
    assert sampled.k_hat[0] < psis.TRUSTED
    expected = quadrature(one, data[0], noise, theta[0, 0], np.sqrt(np.diag(spread[0, 0])))
    evidence, mean, sigma = expected
    # 640 draws, some 400 of them effective: 0.05, three times.
    assert sampled.log_evidence[0] == pytest.approx(evidence, abs=0.15)
    assert (np.abs(sampled.kinematics[0, :, 0] - mean) < 0.2 * sigma).all()
    np.testing.assert_allclose(sampled.kinematics[0, :, 1], sigma, rtol=0.15)
