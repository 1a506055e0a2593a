import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'stream-fit[train]' to train")
pytest.importorskip("onnxscript", reason="pip install 'stream-fit[train]' to export")

from streamfit.models.card import load_card  # noqa: E402
from streamfit.models.plasma_table import load_plasma  # noqa: E402
from streamfit.models.session import open_session  # noqa: E402
from streamfit.tools.export_rim import calibrate, export, make_card, read_checkpoint  # noqa: E402
from streamfit.tools.rim_network import Shape  # noqa: E402
from streamfit.tools.train_rim import Plan, Trainer, inputs, learn_prior  # noqa: E402
from streamfit.tools.xray_batches import Simulator  # noqa: E402
from streamfit.tools.xray_sources import Sources  # noqa: E402

PLAN = Plan(minutes=10.0, groups=2, each=2, components=8, warm=1, keep=3)
SMALL = Shape(channels=6, hidden=6, steps=2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training that was stopped after some steps."""
    folder = tmp_path_factory.mktemp("rim")
    table = load_plasma()
    prior = learn_prior(Sources(table, np.random.default_rng(0)), 8, draws=300)
    np.savez(folder / "prior.npz", mean=prior.mean, basis=prior.basis)
    trainer = Trainer(folder, (), PLAN, SMALL)
    for _ in range(4):
        assert np.isfinite(trainer.learn()).all()
    trainer.save()
    return folder


def test_the_prior_is_that_of_the_draws():
    sources = Sources(load_plasma(), np.random.default_rng(1))
    prior = learn_prior(sources, 12, draws=400)
    gram = prior.basis.T @ prior.basis
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3 * gram.max())
    assert (np.diff(np.diag(gram)) <= 0).all()


def test_before_it_has_learned_the_network_leaves_the_start_as_it_is(tmp_path, folder):
    (tmp_path / "prior.npz").write_bytes((folder / "prior.npz").read_bytes())
    trainer = Trainer(tmp_path, (), PLAN, SMALL)
    data = inputs(trainer.prior, trainer.simulator.batch(2, 2))
    states, _ = trainer.network(data, 2)
    torch.testing.assert_close(states[-1], data.start)


def test_a_training_goes_on_where_it_stopped(folder):
    first, second = (Trainer(folder, (), PLAN, SMALL) for _ in range(2))
    assert first.step == 4
    assert first.learn() == second.learn()
    assert first.step == 5


def test_rows_that_share_a_response_are_as_if_each_had_its_own(folder):
    network, prior, _ = read_checkpoint(folder)
    drawn = Simulator(load_plasma(), (), np.random.default_rng(3), keep=2).batch(2, 3)
    data = inputs(prior, drawn)
    with torch.no_grad():
        shared, log_sigma = network(data, 3)
        each = data._replace(response=data.response.repeat_interleave(3, 0))
        alone, other = network(each)
    torch.testing.assert_close(shared[-1], alone[-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_sigma, other, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    """The machine that comes of it."""
    return export(folder, tmp_path_factory.mktemp("weights"), {}, each=1)


@pytest.mark.slow
def test_what_is_exported_is_what_was_trained(folder, exported):
    path = exported.path
    assert path.stat().st_size < 5e6
    assert load_card(path).training["steps"] == 4
    network, prior, _ = read_checkpoint(folder)
    simulator = Simulator(load_plasma(), (), np.random.default_rng(4), keep=5)
    data = inputs(prior, simulator.batch(5, 1))
    with torch.no_grad():
        states, log_sigma = network(data)
    session = open_session(path, "cpu")
    names = [one.name for one in exported.card.inputs]
    feed = {name: part.numpy() for name, part in zip(names, data, strict=True)}
    found = session.run(None, feed)
    np.testing.assert_allclose(found[0], states[-1].numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1], log_sigma.numpy(), atol=1e-4)


@pytest.mark.slow
def test_sigmas_that_are_too_small_are_given_a_higher_temperature(exported):
    wide, narrow = (_Stretched(exported, factor) for factor in (1.0, 0.5))
    found = [
        calibrate(one, Simulator(load_plasma(), (), np.random.default_rng(5), keep=3), 3)
        for one in (wide, narrow)
    ]
    ratio = np.array(found[1]["temperature"]) / np.array(found[0]["temperature"])
    assert np.median(ratio) == pytest.approx(2.0, rel=0.3)
    assert found[0]["freedom"] == found[1]["freedom"]
    assert 0.0 <= min(found[0]["freedom"]) <= max(found[0]["freedom"]) <= 1.0


def test_a_card_counts_the_training_of_the_network_that_was_gone_on_from(folder):
    _, _, held = read_checkpoint(folder)
    first = make_card(held, 8, ["b", "a"]).training
    assert (first["steps"], first["responses"]) == (4, ["a", "b"])
    before = {"sha256": "c0ffee", "steps": 1000, "hours": 1.5}
    held = {**held, "plan": {**held["plan"], "before": before}, "spent": 1800.0}
    found = make_card(held, 8, []).training
    assert found["steps"] == 1004
    assert found["hours"] == 2.0
    assert found["plan"]["before"]["sha256"] == "c0ffee"


class _Stretched:
    """A machine whose sigmas are multiplied."""

    def __init__(self, rim, factor):
        self.rim, self.factor = rim, factor
        self.rim._calibration._temperature[:] = 1.0
        self.rim._calibration._freedom[:] = 1.0

    def deconvolve(self, counts, response, background):
        found = self.rim.deconvolve(counts, response, background)
        found.log_flux_sigma[:] *= self.factor
        return found
