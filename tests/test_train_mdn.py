"""A training of a second or two: everything but the result."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamfit.kernels.score_map import ANCHORS, FEATURES  # noqa: E402
from streamfit.models.mdn import COMPONENTS, OUTPUTS, DensityNetwork, mixture  # noqa: E402
from streamfit.tools import training_shards, training_spectra  # noqa: E402
from streamfit.tools.compare_mdn import cramer_rao  # noqa: E402
from streamfit.tools.mdn_network import Network, negative_log_likelihood  # noqa: E402
from streamfit.tools.train_mdn import Plan, Trainer, train  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(training_shards, "OBSERVATORIES", 2)
    monkeypatch.setattr(training_shards, "SPECTRA", 128)


PLAN = Plan(minutes=0.01, shards=2, held=1, batch=128, width=16, depth=1)


def test_loss_is_the_density_of_the_mixture_at_the_truth():
    rng = np.random.default_rng(1)
    outputs = 0.4 * rng.standard_normal((5, COMPONENTS, OUTPUTS))
    outputs[:, :, 0] -= np.log(np.exp(outputs[:, :, 0]).sum(axis=1, keepdims=True))
    base = rng.uniform(1, 20, (5, COMPONENTS, 5)) * [1, 1, 1, 1, 0.05]
    truth = np.stack([rng.uniform(0, 20, 5), rng.uniform(0, 20, 5)], axis=1)
    wanted = -mixture(outputs, base).log_density(truth[:, :1], truth[:, 1:])[:, 0]
    found = negative_log_likelihood(*(torch.from_numpy(x) for x in (outputs, base, truth)))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9)


def test_training_writes_a_graph_that_is_the_network(small, tmp_path):
    path = train(tmp_path, PLAN)
    network = DensityNetwork(graph=path)
    held = torch.load(tmp_path / "checkpoint.pt")
    same = Network(torch.zeros(FEATURES), torch.ones(FEATURES), width=16, depth=1)
    same.load_state_dict(held["mean"])
    features = training_shards.draw_shard(9, 0).features
    with torch.no_grad():
        wanted = same(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(network.outputs(features), wanted, rtol=1e-4, atol=1e-4)
    assert network.card.training["minutes"] == PLAN.minutes
    assert train(tmp_path, PLAN) == path  # found finished; the graph is another version
    assert DensityNetwork(graph=path).card.version == network.card.version + 1


def test_training_goes_on_from_its_checkpoint(small, tmp_path):
    shards = [training_shards.draw_shard(1, 0)]
    first = Trainer(PLAN, shards, tmp_path / "checkpoint.pt")
    first.run()
    again = Trainer(PLAN, shards, tmp_path / "checkpoint.pt")
    assert again.steps == first.steps > 0
    assert again.seconds == first.seconds
    for name, value in first.mean.items():
        torch.testing.assert_close(again.mean[name], value)


def test_a_shard_is_drawn_once_and_the_same_again(small, tmp_path):
    (path,) = training_shards.make_shards(tmp_path, 1, seed=3)
    stamp = path.stat().st_mtime_ns
    assert [path] == list(training_shards.make_shards(tmp_path, 1, seed=3))
    assert path.stat().st_mtime_ns == stamp
    read, drawn = training_shards.load_shard(path), training_shards.draw_shard(3, 0)
    for one, other in zip(read, drawn, strict=True):
        np.testing.assert_array_equal(one, other)
    assert read.features.shape == (256, FEATURES)
    assert read.anchors.shape == (256, ANCHORS, 6)


def test_no_resolving_power_held_out_is_trained_on():
    rng = np.random.default_rng(1)
    powers = np.array([training_spectra.draw_observatory(rng).resolution for _ in range(300)])
    for held in training_spectra.HELD_OUT:
        assert (np.abs(powers / held - 1) > 0.03).all()
    assert powers.min() < 800
    assert powers.max() > 7500


def test_spectra_are_what_they_say(small):
    rng = np.random.default_rng(2)
    observatory = training_spectra.draw_observatory(rng, resolution=3300.0, usual=True)
    spectra = training_spectra.draw_spectra(observatory, 400, rng, plain=True, snr=(5.0, 100.0))
    noise = spectra.data - spectra.noiseless
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    assert spectra.plain.all()
    bound = cramer_rao(observatory, spectra.noiseless, v=spectra.velocity, b=spectra.broadening)
    kept = np.isfinite(bound[:, 0])
    assert kept.mean() > 0.9
    assert np.median(bound[kept, 0] * spectra.snr[kept]) < 200  # km/s: a few resolution elements


def test_blank_doubled_and_spoiled_spectra_are_among_them():
    rng = np.random.default_rng(3)
    observatory = training_spectra.draw_observatory(rng, resolution=2500.0)
    spectra = training_spectra.draw_spectra(observatory, 2000, rng)
    assert np.mean(spectra.snr == 0) == pytest.approx(0.05, abs=0.02)
    assert np.mean(spectra.plain) == pytest.approx(0.66, abs=0.04)
    assert spectra.continuum.max() > 4.5
    assert spectra.broadening.max() <= training_spectra.BROADEST
