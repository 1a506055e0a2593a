"""Train the mixture density network, calibrate it and write it with its card.

``python -m streamfit.tools.train_mdn WORK`` draws spectra, trains, calibrates on spectra of its
own and writes ``mdn.onnx`` and ``mdn.json`` into WORK, or over the ones shipped with ``--ship``. It
runs on one thread, counts the processor's time and not the clock's, and goes on from its last
checkpoint when it is started again. The loss is the exact negative log likelihood of velocity and
broadening; the weights kept are a running mean over the last steps.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]

from ..models.mdn import bases
from .export_mdn import calibrate, export
from .mdn_network import Network, negative_log_likelihood
from .training_shards import Shard, load_shard, make_shards

_ROWS = 256  # of a batch that come from one shard: neighbours in memory, many instruments
_MEMORY = 1000  # steps of the running mean
_WARM = 300  # steps until the full rate
_WORST = 30.0  # loss of one spectrum beyond which it teaches nothing
_EVERY = 500  # steps between checkpoints


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Parameters
    ----------
    minutes : float
        Processor time of the training.
    shards, held : int
        Shards to train on and to calibrate on.
    batch : int
    rate : float
        Highest learning rate; it falls as a cosine.
    width, depth : int
        Of the network.
    seed : int
    """

    minutes: float = 60.0
    shards: int = 140
    held: int = 8
    batch: int = 2048
    rate: float = 2e-3
    width: int = 256
    depth: int = 2
    seed: int = 1


class Trainer:
    """Network, optimiser and running mean, with a checkpoint.

    Parameters
    ----------
    plan : Plan
    shards : sequence of Shard
    checkpoint : Path
        Read if it exists.
    """

    def __init__(self, plan: Plan, shards: Sequence[Shard], checkpoint: Path) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.checkpoint = plan, checkpoint
        self.shards = [_usable(shard) for shard in shards]
        some = np.concatenate([shard.features for shard in self.shards[:20]])
        mean, scale = some.mean(axis=0), some.std(axis=0) + 1e-2
        self.network = Network(
            torch.from_numpy(mean), torch.from_numpy(scale), width=plan.width, depth=plan.depth
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, weight_decay=1e-4, betas=(0.9, 0.98)
        )
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.steps, self.seconds = 0, 0.0
        if checkpoint.exists():
            held = torch.load(checkpoint)
            self.network.load_state_dict(held["network"])
            self.optimiser.load_state_dict(held["optimiser"])
            self.mean, self.steps, self.seconds = held["mean"], held["steps"], held["seconds"]

    def run(self, report: Callable[[int, float, float], None] = lambda *_: None) -> Network:
        """Train to the end of the plan; give the network of the running mean."""
        rng = np.random.default_rng([self.plan.seed, self.steps])
        total, started, losses = 60 * self.plan.minutes, time.process_time(), []
        before = self.seconds
        while self.seconds < total:
            losses.append(self._step(self._batch(rng), self.seconds / total))
            self.seconds = before + time.process_time() - started
            if self.steps % _EVERY == 0:
                report(self.steps, float(np.mean(losses)), self.seconds)
                losses.clear()
                self.save()
        self.save()
        self.network.load_state_dict(self.mean)
        return self.network.eval()

    def _step(self, batch: tuple[Tensor, Tensor, Tensor], done: float) -> float:
        """Descend once; the loss."""
        cosine = 0.5 * (1 + math.cos(math.pi * done)) + 1e-3
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * cosine * min(1.0, (self.steps + 1) / _WARM)
        features, base, truth = batch
        loss = negative_log_likelihood(self.network(features), base, truth)
        loss = loss.clamp(max=_WORST).mean()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        share = 1 / min(_MEMORY, 10 + self.steps)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.mean[name].lerp_(value, share)
        return float(loss.detach())

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw features, anchors and truth of a batch from a few shards."""
        parts = []
        for index in rng.integers(0, len(self.shards), max(1, self.plan.batch // _ROWS)):
            shard = self.shards[index]
            rows = rng.integers(0, len(shard.snr), min(_ROWS, self.plan.batch))
            base = bases(shard.anchors[rows], (-shard.half[rows], shard.half[rows]))
            truth = np.stack([shard.velocity[rows], shard.broadening[rows]], axis=1)
            parts.append((shard.features[rows], base.astype(np.float32), truth))
        features, base, truth = (
            torch.from_numpy(np.concatenate(values)) for values in zip(*parts, strict=True)
        )
        return features, base, truth

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        draft = self.checkpoint.with_suffix(".tmp")
        held = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "mean": self.mean,
            "steps": self.steps,
            "seconds": self.seconds,
        }
        torch.save(held, draft)
        os.replace(draft, self.checkpoint)


def _usable(shard: Shard) -> Shard:
    """Leave out the few spectra without a score map."""
    good = np.isfinite(shard.features).all(axis=1)
    good &= (shard.anchors[:, :, 2:4] > 0).all(axis=(1, 2))
    return Shard(*(values[good] for values in shard))


def train(work: Path, plan: Plan, *, ship: Path | None = None) -> Path:
    """Do all of it; give the graph that was written.

    Parameters
    ----------
    work : Path
        Folder of shards, checkpoint and graph.
    plan : Plan
    ship : Path or None
        Where to write the graph; None: into `work`.
    """

    def report(steps: int, loss: float, seconds: float) -> None:
        print(f"step {steps}: loss {loss:.4f} after {seconds / 60:.1f} min", file=sys.stderr)

    shards = [load_shard(path) for path in make_shards(work, plan.shards, seed=plan.seed)]
    network = Trainer(plan, shards, work / "checkpoint.pt").run(report)
    held = [load_shard(path) for path in make_shards(work, plan.held, seed=plan.seed + 500)]
    calibration = calibrate(network, [_usable(shard) for shard in held])
    return export(network, calibration, shards[:20], asdict(plan), ship or work / "mdn.onnx")


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="train_mdn")
    parser.add_argument("work", type=Path, help="folder of spectra, checkpoint and graph")
    parser.add_argument("--ship", action="store_true", help="write over the graph shipped")
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default {value}")
    arguments = vars(parser.parse_args())
    torch.set_num_threads(1)
    work, ship = arguments.pop("work"), arguments.pop("ship")
    from ..models.mdn import GRAPH

    print(train(work, Plan(**arguments), ship=GRAPH if ship else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
