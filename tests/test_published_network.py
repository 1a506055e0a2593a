"""The benches beside the published network: what they draw, and what they say of known errors."""

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from streamfit.tools import compare_luci, published_network  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_layers_are_those_of_the_published_graph():
    network = published_network.PublishedNetwork(460)
    # Of R5000-PREDICTOR-I-MDN-SN3.onnx: its matrices, biases and kernels, and the normalisation's.
    wanted = 3680 * 128 + 128 + 128 * 256 + 256 + 256 * 4 + 4 + 4 * 5 + 4 + 16 * 4 * 3 + 16 + 2
    assert sum(value.numel() for value in network.parameters()) == wanted == 505_454


def test_loss_is_the_density_of_two_normals():
    rng = np.random.default_rng(1)
    mean, truth = rng.normal(size=(2, 6, 2)) * 100
    deviation = rng.uniform(1, 30, (6, 2))
    found = published_network.negative_log_likelihood(
        *(torch.from_numpy(values) for values in (mean, deviation, truth))
    )
    wanted = -norm.logpdf(truth, mean, deviation).sum(axis=1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.slow
def test_both_networks_are_shown_the_same_spectra():
    network = published_network.train(0.001, *published_network.draw(200, seed=1))
    theirs, ours = published_network.compare(network, 300, seed=2)
    np.testing.assert_array_equal(theirs.truth, ours.truth)
    np.testing.assert_array_equal(theirs.bound, ours.bound)
    assert theirs.mean.shape == ours.mean.shape
    assert len(published_network.by_snr(theirs)) == 6
    # A second of training knows nothing; ours does.
    bright = ours.plain & (ours.snr > 20)
    error = [np.median(np.abs((s.mean - s.truth)[bright, 0])) for s in (theirs, ours)]
    assert error[1] < 5 < error[0]


@pytest.mark.parametrize("continuum", [False, True])
def test_spectra_cover_the_range_the_published_network_was_trained_on(continuum):
    at = compare_luci.observatory(4900.0, 500.0)
    drawn = compare_luci.spectra(at, 2000, continuum=continuum, seed=1)
    assert np.abs(drawn.velocity).max() == pytest.approx(500, rel=0.01)
    assert drawn.broadening.min() == pytest.approx(10, abs=1)
    assert drawn.broadening.max() == pytest.approx(200, abs=2)
    assert (drawn.data - drawn.noiseless).std() == pytest.approx(1, rel=0.01)
    level = np.median(drawn.noiseless, axis=1) / drawn.snr
    peak = drawn.noiseless.max(axis=1) / drawn.snr
    np.testing.assert_allclose(peak, 1 + drawn.continuum, rtol=1e-4)
    assert (level.min() > 0.08) == continuum


def test_errors_are_counted_by_signal_to_noise():
    snr = np.array([4.0, 4.0, 50.0])
    one = np.array([[3.0, 0.0], [-4.0, 0.0], [1.0, 2.0]])
    found = compare_luci.Errors(snr, one, 2 * one, np.full((3, 2), 0.5))
    name, number, values = compare_luci.rms(found)[0]
    assert (name, number) == ("3-5", 2)
    np.testing.assert_allclose(values, [[12.5**0.5, 0], [50**0.5, 0], [0.5, 0.5]])
    name, number, values = compare_luci.rms(found)[-1]
    assert (name, number) == ("3-200", 3)
    assert values[0, 1] == pytest.approx((4 / 3) ** 0.5)
