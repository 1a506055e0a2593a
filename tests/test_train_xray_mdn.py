"""A training of a second or two: everything but the result."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'stream-fit[train]' to train")
pytest.importorskip("onnxscript", reason="pip install 'stream-fit[train]' to export")

from streamfit.kernels.gaussian_mixture import GaussianMixture  # noqa: E402
from streamfit.models.plasma_table import load_plasma  # noqa: E402
from streamfit.models.rim import Rim  # noqa: E402
from streamfit.models.xray_mdn import (  # noqa: E402
    COLUMN,
    SIZES,
    XrayNetwork,
    density_of,
)
from streamfit.tools import xray_shards  # noqa: E402
from streamfit.tools.export_xray_mdn import calibrate, stretches  # noqa: E402
from streamfit.tools.train_xray_mdn import Examples, Plan, Trainer, before, train  # noqa: E402
from streamfit.tools.xray_mdn_network import Network, projection  # noqa: E402
from streamfit.tools.xray_shards import ShardMaker, load_shard  # noqa: E402

PLAN = Plan(minutes=0.005, shards=1, held=2, batch=64, width=16, depth=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    """Of small shards, with made-up responses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xray_shards, "RESPONSES", 2)
        patch.setattr(xray_shards, "EACH", 20)
        yield ShardMaker(tmp_path_factory.mktemp("clusters"), Rim(), load_plasma(), ())


@pytest.fixture(scope="module")
def examples(maker):
    (path,) = maker.shards(1, seed=PLAN.seed)
    return Examples(load_shard(path))


@pytest.fixture(scope="module")
def network(examples):
    """One that has learned nothing, all of its numbers different."""
    torch.manual_seed(1)
    drawn = examples.draw(np.arange(len(examples)), np.random.default_rng(0))
    network = Network(*projection(drawn.told), width=16, depth=1).eval()
    with torch.no_grad():
        for values in network.parameters():
            values += 0.1 * torch.randn_like(values)
    return network


def test_the_loss_is_the_density_of_the_mixture_at_the_truth(examples, network):
    drawn = examples.draw(np.arange(len(examples)), np.random.default_rng(2))
    with torch.no_grad():
        outputs = network(torch.from_numpy(drawn.told)).numpy()
        loss = drawn.loss(network).numpy()
    density = density_of(outputs, drawn.told, examples.level)
    for plasmas, given in ((1, density.one), (2, density.two)):
        own = drawn.plasmas == plasmas
        truth = examples.truth[own, : SIZES[plasmas]]
        chance = density.second if plasmas == 2 else 1 - density.second
        at = given.part(np.flatnonzero(own)).log_density(truth[:, None])[:, 0]
        np.testing.assert_allclose(loss[own], -at - np.log(chance[own]), rtol=2e-3, atol=2e-3)


def test_columns_are_told_with_their_errors_or_not_at_all(examples):
    rows = np.zeros(4000, np.int64)
    drawn = examples.draw(rows, np.random.default_rng(3))
    known = drawn.told[:, -3] > 0
    assert known.mean() == pytest.approx(0.6, abs=0.03)
    pulls = drawn.truth[known, COLUMN]  # truth less what is told, in units of its error
    assert pulls.std() == pytest.approx(1.0, rel=0.06)
    assert len(np.unique(drawn.told[~known, -2:])) == 2


@pytest.mark.slow
def test_training_writes_a_graph_that_is_the_network(maker, examples, tmp_path):
    path = train(maker, PLAN, ship=tmp_path / "xray_mdn.onnx")
    shipped = XrayNetwork(graph=path)
    held = torch.load(maker.folder / f"checkpoint-{maker.machine}.pt")
    drawn = examples.draw(np.arange(len(examples)), np.random.default_rng(4))
    same = Network(*projection(drawn.told), width=16, depth=1).eval()
    same.load_state_dict(held["kept"])
    with torch.no_grad():
        wanted = same(torch.from_numpy(drawn.told)).numpy()
    found = shipped.outputs(drawn.told)
    assert (np.abs(found - wanted) / np.maximum(np.abs(wanted), 1.0)).max() < 1e-4
    assert shipped.card.training["rim"] == maker.rim.card.sha256
    assert shipped.card.training["steps"] == held["kept_at"]


def test_a_training_goes_on_from_its_checkpoint_and_from_another_s(examples, tmp_path):
    first = Trainer(PLAN, examples, examples, tmp_path / "one.pt")
    first.run()
    again = Trainer(PLAN, examples, examples, tmp_path / "one.pt")
    assert again.steps == first.steps > 0
    assert again.seconds == first.seconds
    other = Trainer(PLAN, examples, examples, tmp_path / "two.pt", tmp_path / "one.pt")
    assert other.steps == 0
    assert before(tmp_path / "one.pt")["steps"] == first.kept_at
    for name, value in first.kept.items():
        torch.testing.assert_close(other.mean.state_dict()[name], value)


def test_calibration_finds_how_truths_were_stretched_and_moved():
    rng = np.random.default_rng(6)
    n, factor, move = 6000, np.exp([0.3, -0.2]), np.array([0.15, -0.1])
    weights = rng.dirichlet([1.0, 1.0, 1.0], n)
    root = 0.5 * np.tril(rng.standard_normal((n, 3, 2, 2))) + np.eye(2)
    density = GaussianMixture(
        weights, 2.0 * rng.standard_normal((n, 3, 2)), root @ np.swapaxes(root, 2, 3)
    )
    chosen = (rng.random(n)[:, None] > np.cumsum(weights, axis=1)).sum(axis=1)
    rows = np.arange(n)
    drawn = np.einsum("nij,nj->ni", root[rows, chosen], rng.standard_normal((n, 2)))
    drawn += density.mean[rows, chosen]
    mean, sigma = density.moments()
    truth = mean + factor * (drawn - mean) - move * factor * sigma
    found = stretches(density, truth, rng.uniform(np.log(200), np.log(1e5), n))
    # Some 900 clusters at a knot: 3 % of a width, and of a mean, three times; the ends have half.
    np.testing.assert_allclose(found[0][1:-1].mean(axis=0), np.log(factor), atol=0.04)
    np.testing.assert_allclose(found[1][1:-1].mean(axis=0), move, atol=0.05)
    np.testing.assert_allclose(found[0], np.log(factor) * np.ones((7, 1)), atol=0.13)


def test_calibration_widens_a_network_that_is_too_sure(examples, network):
    found = calibrate(network, examples)
    narrow = Network(network.mean, network.project, width=16, depth=1).eval()
    narrow.load_state_dict(network.state_dict())
    with torch.no_grad():
        one = narrow.last.bias[1:91].view(6, 15)
        one[:, 5:9] -= 0.7
    again = calibrate(narrow, examples)
    assert (again.one - found.one).mean() > 0.1


def test_a_shard_is_drawn_once_and_the_same_again(maker):
    (path,) = maker.shards(1, seed=9)
    stamp = path.stat().st_mtime_ns
    assert [path] == list(maker.shards(1, seed=9))
    assert path.stat().st_mtime_ns == stamp
    read = load_shard(path)
    path.unlink()
    again = load_shard(next(maker.shards(1, seed=9)))
    for one, other in zip(read, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert maker.rim.card.sha256.startswith(path.name.split("-")[1])
