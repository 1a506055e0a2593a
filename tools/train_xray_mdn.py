"""Train the X-ray density network, calibrate it and write it with its card.

    python -m streamfit.tools.train_xray_mdn RESPONSES WORK

RESPONSES are as of `train_rim`; those of `--leave-out` are never seen. Clusters are drawn,
deconvolved by the recurrent inference machine that is shipped (or `--rim`) and kept in WORK; what a
reader is told of the column is drawn afresh with every batch: nothing in two of five, else ln nH
with a normal error, mostly of a tenth. It runs on one thread, counts the processor's time, and goes
on from its last checkpoint; a new training may go on from another's (``--from``), as where the
machine is a new one. The loss is the exact negative log likelihood of number and parameters
of the plasmas. The weights kept are the running mean that did best on clusters held out.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor  # pyright: ignore[reportMissingImports]

from ..kernels.xray_features import TOLD, Known, features, level
from ..models.plasma_table import load_plasma
from ..models.rim import RIM, Rim
from ..models.xray_mdn import COLUMN, anchors
from .train_rim import read_responses
from .xray_mdn_network import Network, negative_log_likelihood, projection
from .xray_shards import Shard, ShardMaker, load_shard

_MEMORY = 600  # steps of the running mean
_WARM = 200  # steps until the full rate
_WORST = 30.0  # loss of one cluster beyond which it teaches nothing
_EVERY = 200  # steps between checks on the clusters held out
_UNKNOWN = 0.4  # part of the clusters whose column is not told
_USUAL_ERROR = 0.1  # of ln nH, in half of the others; else from `_ERRORS`
_ERRORS = 0.02, 0.5
_HELD = 501  # seed of the clusters held out, which no `Plan.seed` is to be


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Parameters
    ----------
    minutes : float
        Processor time of the training.
    shards, held : int
        Shards to train on, and to calibrate on.
    batch : int
    rate : float
        Highest learning rate; it falls as a cosine.
    width, depth : int
        Of the network.
    drop, decay : float
        Part of a layer left out, and decay of the weights.
    seed : int
    before : dict
        Of the training this one goes on from: ``steps`` and ``minutes``. Empty for a new one.
    """

    minutes: float = 20.0
    shards: int = 50
    held: int = 5
    batch: int = 1024
    rate: float = 2e-3
    width: int = 384
    depth: int = 3
    drop: float = 0.05
    decay: float = 1e-2
    seed: int = 1
    before: dict[str, Any] = field(default_factory=dict)


class Examples:
    """Features and truths of clusters, but for what is told of the column.

    Parameters
    ----------
    shard : Shard
    """

    def __init__(self, shard: Shard) -> None:
        nothing = np.full(len(shard.counts), np.nan)
        known = Known(shard.counts, shard.background, shard.redshift, nothing, nothing)
        self.told = features(shard.log_flux, shard.sigma, known)
        self.level = level(shard.log_flux)
        self.plasmas, self.truth = shard.plasmas, shard.truth.astype(np.float64)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "Examples":
        """Read files of shards; what the features are made of is never held for all at once."""
        parts = [cls(load_shard(path)) for path in paths]
        found = parts[0]
        for name in ("told", "level", "plasmas", "truth"):
            setattr(found, name, np.concatenate([getattr(one, name) for one in parts]))
        return found

    def __len__(self) -> int:
        """Count the clusters."""
        return len(self.told)

    def draw(self, rows: NDArray, rng: np.random.Generator) -> "Batch":
        """Give some clusters, with what is told of their columns."""
        told, truth = self.told[rows].copy(), self.truth[rows]
        low, high = np.log(_ERRORS)
        any_error = np.exp(rng.uniform(low, high, len(rows)))
        error = np.where(rng.random(len(rows)) < 0.5, _USUAL_ERROR, any_error)
        column = truth[:, COLUMN] + error * rng.standard_normal(len(rows))
        known = rng.random(len(rows)) >= _UNKNOWN
        told[known, TOLD] = 1.0
        told[known, TOLD + 1] = column[known]
        told[known, TOLD + 2] = np.log(error[known])
        offset, scale = anchors(told, self.level[rows], truth.shape[1])
        relative = np.nan_to_num((truth - offset) / scale)
        log_scale = np.log(scale[:, COLUMN])
        return Batch(told, self.plasmas[rows], relative.astype(np.float32), log_scale)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network is shown: features, plasmas, truth relative to anchors, ln scale of ln nH."""

    told: NDArray[np.float32]
    plasmas: NDArray[np.float32]
    truth: NDArray[np.float32]
    log_scale: NDArray[np.float64]

    def loss(self, network: Network) -> Tensor:
        """Negative log likelihood of each cluster."""
        arrays = self.plasmas, self.truth, self.log_scale.astype(np.float32)
        outputs = network(torch.from_numpy(self.told))
        return negative_log_likelihood(outputs, *(torch.from_numpy(one) for one in arrays))


class Trainer:
    """Network, optimiser and running mean, with a checkpoint.

    Parameters
    ----------
    plan : Plan
    examples, held : Examples
        To train on, and to choose by.
    checkpoint : Path
        Read if it exists.
    start : Path or None
        Checkpoint of another training, whose best network this one begins with.
    """

    def __init__(
        self,
        plan: Plan,
        examples: Examples,
        held: Examples,
        checkpoint: Path,
        start: Path | None = None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.examples, self.checkpoint = plan, examples, checkpoint
        rng = np.random.default_rng([plan.seed, 1])
        everything = np.arange(len(examples))
        shape = {"width": plan.width, "depth": plan.depth, "drop": plan.drop}
        projected = projection(examples.draw(everything, rng).told)
        self.network, self.mean = (Network(*projected, **shape) for _ in range(2))
        if start is not None:
            self.network.load_state_dict(torch.load(start)["kept"])
        self.mean.load_state_dict(self.network.state_dict())
        self.mean.eval()
        self.held = held.draw(np.arange(len(held)), rng)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, weight_decay=plan.decay, betas=(0.9, 0.98)
        )
        self.steps, self.seconds = 0, 0.0
        self.best, self.kept, self.kept_at = math.inf, self.mean.state_dict(), 0
        if checkpoint.exists():
            found = torch.load(checkpoint)
            self.network.load_state_dict(found["network"])
            self.optimiser.load_state_dict(found["optimiser"])
            self.mean.load_state_dict(found["mean"])
            self.kept, self.best, self.kept_at = (found[n] for n in ("kept", "best", "kept_at"))
            self.steps, self.seconds = found["steps"], found["seconds"]

    def run(self, report: Callable[[int, float, float, float], None] = lambda *_: None) -> Network:
        """Train to the end of the plan; give the network that did best."""
        rng = np.random.default_rng([self.plan.seed, 2, self.steps])
        total, started, losses = 60 * self.plan.minutes, time.process_time(), []
        before = self.seconds
        while self.seconds < total:
            rows = rng.integers(0, len(self.examples), self.plan.batch)
            losses.append(self._step(self.examples.draw(rows, rng), self.seconds / total))
            self.seconds = before + time.process_time() - started
            if self.steps % _EVERY == 0:
                report(self.steps, float(np.mean(losses)), self.check(), self.seconds)
                losses.clear()
        self.check()
        self.mean.load_state_dict(self.kept)
        return self.mean

    def check(self) -> float:
        """Try the running mean on the clusters held out, keep it if it is the best, and save."""
        with torch.no_grad():
            loss = float(self.held.loss(self.mean).clamp(max=_WORST).mean())
        if loss < self.best:
            self.best, self.kept_at = loss, self.steps
            self.kept = {name: value.clone() for name, value in self.mean.state_dict().items()}
        self.save()
        return loss

    def _step(self, batch: Batch, done: float) -> float:
        """Descend once; the loss."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0))) + 1e-3
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * cosine * min(1.0, (self.steps + 1) / _WARM)
        loss = batch.loss(self.network).clamp(max=_WORST).mean()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        share = 1 / min(_MEMORY, 10 + self.steps)
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, share)
        return float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        draft = self.checkpoint.with_suffix(".tmp")
        held = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "mean": self.mean.state_dict(),
            "kept": self.kept,
            "best": self.best,
            "kept_at": self.kept_at,
            "steps": self.steps,
            "seconds": self.seconds,
        }
        torch.save(held, draft)
        os.replace(draft, self.checkpoint)


def before(start: Path) -> dict[str, Any]:
    """Tell what a training was that another one goes on from, for `Plan.before`."""
    found = torch.load(start)
    part = found["kept_at"] / max(found["steps"], 1)
    return {"steps": found["kept_at"], "minutes": round(part * found["seconds"] / 60, 1)}


def train(
    maker: ShardMaker,
    plan: Plan,
    *,
    start: Path | None = None,
    more: Sequence[Path] = (),
    ship: Path | None = None,
) -> Path:
    """Do all of it; give the graph that was written.

    Parameters
    ----------
    maker : ShardMaker
    plan : Plan
    start : Path or None
        As of `Trainer`.
    more : sequence of Path
        Shards of another seed or machine to train on too; none is chosen by or calibrated on.
    ship : Path or None
        Where to write the graph; None: into the folder of the shards.
    """
    from .export_xray_mdn import calibrate, export

    def report(steps: int, loss: float, held: float, seconds: float) -> None:
        text = f"step {steps}: loss {loss:.4f}, held out {held:.4f}, {seconds / 60:.1f} min"
        print(text, file=sys.stderr, flush=True)

    seen = Examples.of([*maker.shards(plan.shards, seed=plan.seed), *more])
    first, *rest = maker.shards(max(2, plan.held), seed=_HELD)
    checkpoint = maker.folder / f"checkpoint-{maker.machine}.pt"
    trainer = Trainer(plan, seen, Examples.of([first]), checkpoint, start)
    network = trainer.run(report)
    calibration = calibrate(network, Examples.of(rest))
    told = {"steps": trainer.kept_at, "clusters": len(seen), "responses": len(maker.responses)}
    others = [load_shard(one) for one in more if f"-{maker.machine}-" not in one.name]
    if others:
        told["of_another_rim"] = sum(len(one.counts) for one in others)
    path = ship or maker.folder / "xray_mdn.onnx"
    return export(
        network, calibration, seen, {**asdict(plan), **told, "rim": maker.rim.card.sha256}, path
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="train_xray_mdn")
    parser.add_argument("responses", type=Path, help="folder of RMFs and ARFs")
    parser.add_argument("work", type=Path, help="folder of clusters, checkpoint and graph")
    parser.add_argument("--leave-out", nargs="*", default=["12845"])
    parser.add_argument("--rim", type=Path, default=RIM, help="default: the one shipped")
    parser.add_argument("--ship", action="store_true", help="write over the graph shipped")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint to go on from")
    text = "shards of another seed or machine to train on too"
    parser.add_argument("--more", nargs="*", type=Path, default=(), help=text)
    settings = {name: value for name, value in asdict(Plan()).items() if name != "before"}
    for name, value in settings.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default {value}")
    given = vars(parser.parse_args(arguments))
    torch.set_num_threads(1)
    names = "responses", "work", "leave_out", "rim", "ship", "start", "more"
    folder, work, leave_out, rim, ship, start, more = (given.pop(name) for name in names)
    from ..models.xray_mdn import GRAPH

    responses = list(read_responses(folder, leave_out).values())
    maker = ShardMaker(work, Rim(weights=rim), load_plasma(), responses)
    plan = Plan(**given, before=before(start) if start else {})
    print(train(maker, plan, start=start, more=more, ship=GRAPH if ship else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
