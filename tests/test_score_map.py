"""The score map against the exact fit, which shares none of its tables."""

import numpy as np
import pytest

from streamfit.kernels import _score_features, scan, score_map, varpro
from streamfit.kernels.axis import GAUSSIAN_FWHM, SINC_FWHM
from streamfit.kernels.emission import Continuum, Shape, tie
from streamfit.kernels.lines import RATIOS, REST_AIR_NM

RANGE = (-600.0, 600.0)
SN3 = ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731")


class Bench:
    """An instrument with its scan, and spectra of known truth."""

    def __init__(self, shape: Shape, lines=SN3, *, power=3000.0, ratios=RATIOS):
        wavenumber = shape is not Shape.GAUSSIAN
        if wavenumber:
            rest = {n: 1e7 / REST_AIR_NM[n] for n in lines}
            window = min(rest.values()) - 160, max(rest.values()) + 160
            width = sum(window) / 2 / power / SINC_FWHM
            self.t = np.arange(*window, 0.8 * width)
        else:
            rest = {n: 10 * REST_AIR_NM[n] for n in lines}
            window = min(rest.values()) - 60, max(rest.values()) + 60
            width = sum(window) / 2 / power / GAUSSIAN_FWHM
            self.t = np.arange(*window, 0.9 * width)
        self.emission = tie(rest, shape=shape, wavenumber=wavenumber, ratios=ratios)
        self.continuum = Continuum((window,), 1)
        self.width = np.full(len(lines), width)
        nodes = scan.build(
            self.emission,
            self.continuum,
            self.t,
            self.width,
            velocity=RANGE,
            broadening=(1.0, 400.0),
        )
        self.shared, self.weighted = scan.SharedScan.of(nodes), scan.WeightedScan.of(nodes)
        self.table = score_map.build(
            self.shared, self.emission, self.continuum, self.t, self.width, velocity=RANGE
        )

    def spectra(self, count, snr, seed=1, broadening=(20, 180), noise=None):
        rng = np.random.default_rng(seed)
        v, b = rng.uniform(-500, 500, count), rng.uniform(broadening[0], broadening[1], count)
        peaks = rng.uniform(0.3, 1, (count, self.emission.columns))
        linear = np.concatenate([peaks, np.zeros((count, 2))], axis=1)
        data = np.empty((count, self.t.size))
        varpro.model_lines(
            np.stack([v, b], axis=1),
            linear,
            varpro.packed(self.emission),
            self.t,
            np.ones(count),
            np.repeat(self.width[None], count, axis=0),
            data,
        )
        noise = np.full(data.shape, 1 / snr) if noise is None else noise / snr
        return data + 0.7 + noise * rng.standard_normal(data.shape), v, b

    def fit(self, data, weight, v, b):
        count = len(data)
        geometry = varpro.Geometry(
            self.t, np.ones(count), np.repeat(self.width[None], count, axis=0)
        )
        bounds = varpro.Bounds(RANGE, (0.5, 400.0))
        start = v[:, None].copy(), b[:, None].copy()
        return varpro.fit(
            data, weight, self.emission, self.continuum, geometry, start=start, bounds=bounds
        )

    def read_weighted(self, data, weight):
        parts = []

        def listen(rows, right, z):
            parts.append(self.table.read_weighted(data[rows], weight[rows], (right, z)))

        self.weighted.seeds(data, weight, listen)
        return score_map.Reading(*(np.concatenate(x) for x in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def fts():
    return Bench(Shape.SINCGAUSS)


@pytest.fixture(scope="module")
def grating():
    return Bench(Shape.GAUSSIAN)


def compare(anchor, found, *, most):
    """Hold a peak to the exact minimum, in standard errors; a few may sit on another peak."""
    error = np.sqrt(np.einsum("sii->si", found.covariance))[:, :2]
    exact = np.concatenate([found.velocity, found.broadening], axis=1)
    away = (anchor[:, :2] - exact) / error
    assert np.quantile(np.abs(away[:, 0]), 0.95) < most
    assert np.quantile(np.abs(away[:, 1]), 0.95) < 2 * most
    np.testing.assert_allclose(np.median(anchor[:, 2:4] / error, axis=0), [1, 1], atol=0.06)
    gain = found.flat_chi2 - found.chi2
    assert np.median(np.abs(anchor[:, 5] / gain - 1)) < 2e-3


@pytest.mark.parametrize("name", ["fts", "grating"])
def test_first_peak_is_the_minimum_of_the_exact_fit(name, request):
    bench = request.getfixturevalue(name)
    data, v, b = bench.spectra(200, 30.0)
    read = bench.table.read(data, np.full(200, 1 / 30.0))
    found = bench.fit(data, np.full(data.shape, 30.0), v, b)
    compare(read.anchors[:, 0], found, most=0.25)


def test_first_peak_is_the_minimum_where_channels_weigh_differently(grating):
    rng = np.random.default_rng(5)
    noise = np.exp(0.3 * rng.standard_normal((100, grating.t.size)))
    data, v, b = grating.spectra(100, 30.0, noise=noise)
    weight = 30.0 / noise
    weight[:, ::17] = 0.0
    data[:, ::17] = np.nan
    read = grating.read_weighted(data, weight)
    compare(read.anchors[:, 0], grating.fit(data, weight, v, b), most=0.5)


def test_the_layout_of_the_weights_compiles_nothing_again(grating):
    data, _, _ = grating.spectra(4, 30.0)
    weight = np.full(data.shape, 30.0)
    seen = []

    def listen(rows, right, z):
        for order in "CF":
            layout = np.asarray(weight[rows], order=order)
            seen.append(grating.table.read_weighted(data[rows], layout, (right, z)).anchors)
            seen.append(len(_score_features.read.signatures))

    grating.weighted.seeds(data, weight, listen)
    np.testing.assert_array_equal(seen[2], seen[0])
    assert seen[3] == seen[1]


@pytest.mark.parametrize("name", ["fts", "grating"])
def test_even_weights_give_the_same_either_way(name, request):
    bench = request.getfixturevalue(name)
    data, _, _ = bench.spectra(60, 20.0)
    even = bench.table.read(data, np.full(60, 0.05))
    uneven = bench.read_weighted(data, np.full(data.shape, 20.0))
    away = (uneven.anchors[:, 0, :2] - even.anchors[:, 0, :2]) / even.anchors[:, 0, 2:4]
    assert np.median(np.abs(away)) < 0.02
    np.testing.assert_allclose(uneven.anchors[:, 0, 5], even.anchors[:, 0, 5], rtol=0.02)


def test_a_free_doublet_that_overlaps_is_followed():
    bench = Bench(Shape.GAUSSIAN, ("OII3726", "OII3729"), ratios={})
    data, v, b = bench.spectra(100, 30.0, broadening=(10, 60))
    read = bench.table.read(data, np.full(100, 1 / 30.0))
    compare(read.anchors[:, 0], bench.fit(data, np.full(data.shape, 30.0), v, b), most=0.5)


def test_an_unresolved_line_peaks_at_no_broadening(fts):
    data, _, _ = fts.spectra(100, 10.0, broadening=(0.1, 0.2))
    anchor = fts.table.read(data, np.full(100, 0.1)).anchors[:, 0]
    assert np.mean(anchor[:, 1] == 0) > 0.2  # half of them would like to be narrower still
    assert np.mean(anchor[:, 1] < 3 * anchor[:, 3]) > 0.95


def test_scale_and_continuum_of_the_data_do_not_matter(fts):
    data, _, _ = fts.spectra(30, 15.0)
    one = fts.table.read(data, np.full(30, 1 / 15.0))
    slope = np.linspace(2, 5, fts.t.size)
    other = fts.table.read(1e-17 * (data + slope), np.full(30, 1e-17 / 15.0))
    np.testing.assert_allclose(other.features, one.features, atol=0.02)
    np.testing.assert_allclose(other.anchors[:, 0], one.anchors[:, 0], rtol=1e-3, atol=0.05)


def test_a_row_does_not_depend_on_its_neighbours(fts):
    data, _, _ = fts.spectra(70, 6.0)
    scaled = (6.0 * data).astype(np.float32)
    z = fts.shared.whiten(scaled)
    whole = fts.table.read_projected(scaled, z)
    for rows in (slice(0, 1), slice(13, 66)):
        part = fts.table.read_projected(scaled[rows], z[rows])
        np.testing.assert_array_equal(part.features, whole.features[rows])
        np.testing.assert_array_equal(part.anchors, whole.anchors[rows])


def test_a_spectrum_that_is_not_finite_has_no_reading(fts):
    data, _, _ = fts.spectra(3, 10.0)
    data[1, 4] = np.nan
    read = fts.table.read(data, np.full(3, 0.1))
    assert np.isnan(read.features[1]).all()
    assert np.isnan(read.anchors[1]).all()
    assert np.isfinite(read.features[[0, 2]]).all()


def test_noise_alone_has_a_reading(fts):
    noise = np.random.default_rng(3).standard_normal((50, fts.t.size))
    read = fts.table.read(noise, np.ones(50))
    assert np.isfinite(read.features).all()
    assert (read.anchors[:, :, 2:4] > 0).all()
