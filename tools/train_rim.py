"""Trains the recurrent inference machine on simulated observations.

    python -m streamfit.tools.train_rim RESPONSES FOLDER --minutes 120

RESPONSES holds pairs of ``NAME.rmf`` and ``NAME.arf`` (or ``.wrmf`` and ``.warf``); those named by
``--leave-out`` are never seen. FOLDER keeps the learned prior, checkpoints and a log, and a
training that was stopped goes on from the last checkpoint; a new one may go on from an exported
network (``--from models/weights/rim.onnx``). One thread is used. The rate falls as a cosine over
the minutes asked for, and what is exported is the running mean of the weights.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx  # pyright: ignore[reportMissingImports]
import onnx.numpy_helper  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]

from ..io.observations import Response
from ..io.ogip import read_response
from ..kernels.plasma import rebin
from ..kernels.response import ENERGY_EDGES
from ..kernels.unfold_prior import SpectralPrior, fit_prior
from ..models.card import load_card
from ..models.plasma_table import load_plasma
from ..models.rim import load_prior
from .rim_loss import Loss
from .rim_network import Data, Rim, Shape
from .spectrum_errors import WIDTHS
from .xray_batches import DEEPEST, Simulated, Simulator
from .xray_sources import Sources

PRIOR_STEPS = 5
_MEAN_DECAY = 0.9985


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Parameters
    ----------
    minutes : float
        Of the clock, over which the rate falls.
    rate : float
        Greatest learning rate.
    groups, each : int
        Responses of a batch, and observations with each.
    components : int
        Of the learned prior.
    seed : int
    warm : int
        Steps in which the rate rises.
    keep : int
        Responses held at a time.
    before : dict
        Of the network this one goes on from: ``sha256``, ``steps``, ``hours``. Empty for a new one.
    """

    minutes: float = 120.0
    rate: float = 2e-3
    groups: int = 4
    each: int = 8
    components: int = 48
    seed: int = 1
    warm: int = 200
    keep: int = 160
    before: dict[str, Any] = field(default_factory=dict)


def learn_prior(sources: Sources, components: int, *, draws: int = 12000) -> SpectralPrior:
    """Find mean and eigenvectors of ln x over simulated spectra.

    Parameters
    ----------
    sources : Sources
    components, draws : int

    Returns
    -------
    SpectralPrior
        The level of spectra is free by a factor e.
    """
    edges = sources.table.edges
    flux = np.array([rebin(edges, sources.draw(), ENERGY_EDGES) / WIDTHS for _ in range(draws)])
    log_flux = np.log(np.maximum(flux / flux.mean(axis=1, keepdims=True), math.exp(-DEEPEST)))
    values, vectors = np.linalg.eigh(np.cov(log_flux.T) + 1.0)
    chosen = slice(-1, -components - 1, -1)
    basis = vectors[:, chosen] * np.sqrt(values[chosen])
    return SpectralPrior(log_flux.mean(axis=0).astype(np.float32), basis.astype(np.float32))


class Trainer:
    """A network, its optimiser and the draws it learns from.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    responses : sequence of Response
    plan : Plan
    shape : Shape
    """

    def __init__(
        self, folder: Path, responses: Sequence[Response], plan: Plan, shape: Shape
    ) -> None:
        self.folder, self.plan, self.shape = folder, plan, shape
        self.step, self.spent = 0, 0.0
        table = load_plasma()
        self.prior = self._prior(Sources(table, np.random.default_rng(plan.seed)))
        torch.manual_seed(plan.seed)
        self.network = make_network(self.prior, shape)
        if plan.before:
            self.network.load_state_dict(torch.load(folder / "start.pt"))
        self.mean = make_network(self.prior, shape)
        self.mean.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, weight_decay=1e-4, betas=(0.9, 0.98)
        )
        self.loss = Loss()
        self.load()
        generator = np.random.default_rng([plan.seed, self.step])
        self.simulator = Simulator(table, responses, generator, keep=plan.keep)

    def run(self) -> None:
        """Train for the minutes of the plan."""
        begun, saved, losses = time.monotonic() - self.spent, time.monotonic(), []
        while self.spent < 60.0 * self.plan.minutes:
            losses.append(self.learn())
            self.spent = time.monotonic() - begun
            if time.monotonic() - saved > 60.0:
                parts = np.round(np.mean(losses, axis=0), 4).tolist()
                logging.info("step %d, %.1f min: %s", self.step, self.spent / 60.0, parts)
                saved, losses = time.monotonic(), []
                self.save()
        self.save()

    def learn(self) -> tuple[float, ...]:
        """Take one step; give the parts of its loss."""
        rate = self.plan.rate * _course(self.spent / (60.0 * self.plan.minutes))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / self.plan.warm)
        drawn = self.simulator.batch(self.plan.groups, self.plan.each)
        states, log_sigma = self.network(inputs(self.prior, drawn), self.plan.each)
        parts = self.loss(states, log_sigma, drawn)
        self.optimiser.zero_grad()
        torch.stack(parts).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._average()
        self.step += 1
        return (*(float(part.detach()) for part in parts), float(norm))

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        held = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "plan": asdict(self.plan),
            "shape": asdict(self.shape),
        }
        part = self.folder / "checkpoint.pt.tmp"
        torch.save(held, part)
        part.replace(self.folder / "checkpoint.pt")

    def load(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        held: dict[str, Any] = torch.load(path)
        self.network.load_state_dict(held["network"])
        self.mean.load_state_dict(held["mean"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.step, self.spent = held["step"], held["spent"]

    def _average(self) -> None:
        """Move the running mean of the weights; its memory grows with the steps."""
        decay = min(_MEAN_DECAY, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1.0 - decay)

    def _prior(self, sources: Sources) -> SpectralPrior:
        """Learn the prior, or take the one learned before."""
        path = self.folder / "prior.npz"
        if not path.is_file():
            prior = learn_prior(sources, self.plan.components)
            np.savez(path, mean=prior.mean, basis=prior.basis)
        with np.load(path) as held:
            return SpectralPrior(held["mean"], held["basis"])


def adopt(path: Path, folder: Path) -> dict[str, Any]:
    """Lay an exported network and its prior where a training begins.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file, its card and its prior beside it.
    folder : Path
        Of the training: gets ``start.pt`` and ``prior.npz``.

    Returns
    -------
    dict
        For `Plan.before`: its sha256, and the steps and hours it was trained in all.
    """
    card, prior = load_card(path), load_prior(path)
    np.savez(folder / "prior.npz", mean=prior.mean, basis=prior.basis)
    named = {one.name: one for one in onnx.load(path).graph.initializer}
    held = {
        name.removeprefix("network."): torch.from_numpy(onnx.numpy_helper.to_array(one).copy())
        for name, one in named.items()
        if name.startswith("network.")
    }
    torch.save(held, folder / "start.pt")
    steps, hours = card.training["steps"], card.training["hours"]
    return {"sha256": card.sha256, "steps": steps, "hours": hours}


def make_network(prior: SpectralPrior, shape: Shape) -> Rim:
    """Give a network that has learned nothing."""
    width = torch.from_numpy(WIDTHS.astype(np.float32))
    return Rim(torch.from_numpy(prior.mean), torch.from_numpy(prior.basis), width, shape)


def inputs(prior: SpectralPrior, drawn: Simulated) -> Data:
    """Give what the network is given of a batch."""
    groups, rows = drawn.response.shape[0], drawn.counts.shape[0]
    counts, background = (
        part.reshape(groups, rows // groups, -1) for part in (drawn.counts, drawn.background)
    )
    fit = fit_prior(prior, counts, drawn.response[:, None], background, steps=PRIOR_STEPS)
    size = prior.basis.shape[1]
    arrays = (
        drawn.counts,
        drawn.response,
        drawn.background,
        fit.log_flux.reshape(rows, -1),
        fit.covariance.reshape(rows, size, size),
    )
    return Data(*(torch.from_numpy(np.ascontiguousarray(one)) for one in arrays))


def read_responses(folder: Path, leave_out: Sequence[str] = ()) -> dict[str, Response]:
    """Read all pairs of RMF and ARF of a folder.

    Parameters
    ----------
    folder : Path
    leave_out : sequence of str
        Names, without suffix, that are not read.

    Returns
    -------
    dict
        Responses by name.
    """
    found = {}
    for rmf in sorted(folder.glob("*rmf")):
        arf = rmf.with_suffix(rmf.suffix.replace("rmf", "arf"))
        if rmf.stem not in leave_out and arf.is_file():
            found[rmf.stem] = read_response(rmf, arf)
    return found


def _course(part: float) -> float:
    """Give the rate in units of its greatest, after a part of the time."""
    return 0.005 + 0.995 * 0.5 * (1.0 + math.cos(math.pi * min(part, 1.0)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train."""
    parser = argparse.ArgumentParser(description="Train the X-ray network.")
    parser.add_argument("responses", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--each", type=int, default=8, help="observations with each response")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", nargs="*", default=["12845"])
    parser.add_argument("--from", dest="start", type=Path, help="an exported network to go on from")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO, filename=given.folder / "train.log", format="%(asctime)s %(message)s"
    )
    torch.set_num_threads(1)
    before = adopt(given.start, given.folder) if given.start else {}
    plan = Plan(given.minutes, given.rate, each=given.each, seed=given.seed, before=before)
    responses = read_responses(given.responses, given.leave_out)
    logging.info("%s with %s", json.dumps(asdict(plan)), ", ".join(responses))
    Trainer(given.folder, list(responses.values()), plan, Shape()).run()


if __name__ == "__main__":
    main()
