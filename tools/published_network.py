"""A network of the published kind, trained on our spectra: what reading the score map is worth.

``python -m streamfit.tools.published_network WORK`` trains the layers of Rhea et al. (2021, ApJ
910, 129) as luci-sitelle 2.0.1 ships them for SN3 at R 5000: batch normalisation, 4 convolutions of
5 channels, 16 of 3, the larger of every two, a fifth dropped, dense layers of 128 and 256, and a
normal for velocity and one for broadening, with a softplus for their deviations. It reads spectra
as that one does: of one filter, at R 4800 to 5000, brought to the axis of R 5000 by linear
interpolation, divided by their maximum. All else is as for our network: the simulator with whatever
goes wrong, the exact likelihood, a rate that falls as a cosine, the mean of the last steps. Then
both are held against the truth of the same new spectra. It is a bench, and writes no graph.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from ..models.mdn import DensityNetwork
from .compare_luci import observatory
from .compare_mdn import SNR, Figures, Sample, figures, joined, observe, printed
from .training_spectra import BROADEST, VELOCITY, draw_spectra

Array = NDArray[np.float64]

RESOLUTION = 4800.0, 5000.0  # Rhea et al. train each network on 200 below its own
RATE = 7e-4  # theirs
_EACH = 2500  # spectra of one resolving power
_BATCH = 512
_MEMORY = 1000  # steps of the running mean
_WORST = 30.0  # loss of one spectrum beyond which it teaches nothing


class PublishedNetwork(nn.Module):
    """From spectra, (spaxel, channel), to means and deviations [km/s], each (spaxel, 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(1),
            nn.Conv1d(1, 4, 5, padding="same"),
            nn.ReLU(),
            nn.Conv1d(4, 16, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(16 * (channels // 2), 128),
            nn.ReLU(),
            nn.Linear(128, 256),
            nn.ReLU(),
            nn.Linear(256, 4),
        )

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Scale the outputs, so that all are near one, to the ranges of the truth."""
        out = self.layers(spectra[:, None])
        scale = torch.tensor([VELOCITY, BROADEST])
        mean = torch.stack([out[:, 0], out[:, 1] + 0.5], dim=1) * scale
        return mean, (nn.functional.softplus(out[:, 2:]) + 1e-4) * scale


def negative_log_likelihood(mean: Tensor, deviation: Tensor, truth: Tensor) -> Tensor:
    """Exact for two independent normals, shape (spaxel,)."""
    pull = (truth - mean) / deviation
    return (0.5 * pull * pull + torch.log(deviation)).sum(dim=1) + math.log(2 * math.pi)


def prepare(axis: Array, data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring spectra to the axis of R 5000, and their maximum to one."""
    wanted = observatory(RESOLUTION[1]).coordinate
    brought = np.stack([np.interp(wanted, axis, row) for row in data])
    return (brought / brought.max(axis=1, keepdims=True)).astype(np.float32)


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw spectra as the network reads them, and their truth, (spaxel, 2)."""
    rng = np.random.default_rng(seed)
    spectra, truth = [], []
    for _ in range(math.ceil(count / _EACH)):
        at = observatory(float(rng.uniform(*RESOLUTION)))
        drawn = draw_spectra(at, min(_EACH, count), rng)
        spectra.append(prepare(at.coordinate, drawn.data))
        truth.append(np.stack([drawn.velocity, drawn.broadening], axis=1).astype(np.float32))
    return torch.from_numpy(np.concatenate(spectra)), torch.from_numpy(np.concatenate(truth))


def train(minutes: float, spectra: Tensor, truth: Tensor, *, seed: int = 1) -> PublishedNetwork:
    """Train for some minutes of processor time; give the network of the running mean."""
    torch.manual_seed(seed)
    network = PublishedNetwork(spectra.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    started, steps, done, losses = time.process_time(), 0, 0.0, []
    while done < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.5 * (1 + math.cos(math.pi * done)) + 1e-3)
        rows = torch.randint(0, len(spectra), (_BATCH,))
        found, deviation = network(spectra[rows])
        loss = negative_log_likelihood(found, deviation, truth[rows])
        loss = loss.clamp(max=_WORST).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps, share = steps + 1, 1 / min(_MEMORY, 10 + steps)
        for name, value in network.state_dict().items():
            mean[name] = torch.lerp(mean[name].float(), value.float(), share)
        done = (time.process_time() - started) / (60 * minutes)
        losses.append(float(loss.detach()))
        if steps % 1000 == 0:
            said = f"step {steps}: loss {np.mean(losses):.4f}, {100 * done:.0f} % of the time"
            print(said, file=sys.stderr)
            losses.clear()
    network.load_state_dict(mean)
    return network.eval()


def compare(network: PublishedNetwork, count: int, *, seed: int) -> tuple[Sample, Sample]:
    """Show both networks new spectra; give what the published kind says, and ours."""
    ours, rng, kinds = DensityNetwork(), np.random.default_rng(seed), []
    own = []
    for _ in range(math.ceil(count / _EACH)):
        at = observatory(float(rng.uniform(*RESOLUTION)))
        spectra = draw_spectra(at, min(_EACH, count), rng)
        sample, good = observe(ours, at, spectra)
        with torch.no_grad():
            found = network(torch.from_numpy(prepare(at.coordinate, spectra.data[good])))
        mean, deviation = (values.numpy().astype(np.float64) for values in found)
        rank = norm.cdf(sample.truth, mean, deviation)
        own.append(sample)
        kinds.append(sample.predicted(mean, deviation, rank))
    return joined(kinds), joined(own)


def by_snr(sample: Sample) -> list[Figures]:
    """Figures of every bin of SNR."""
    bins = []
    for low, high in pairwise(SNR):
        own = sample.part((sample.snr >= low) & (sample.snr < high))
        bins.append(figures(f"SNR {low:g}-{high:g}", own))
    return bins


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or find what was trained, and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("work", type=Path, help="folder of the weights")
    parser.add_argument("--minutes", type=float, default=20.0, help="processor time of training")
    parser.add_argument("--spectra", type=int, default=300_000, help="to train on")
    parser.add_argument("--held", type=int, default=50_000, help="to compare on")
    parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    weights = arguments.work / "published.pt"
    if not weights.exists():
        network = train(arguments.minutes, *draw(arguments.spectra, seed=1))
        torch.save(network.state_dict(), weights)
    network = PublishedNetwork(observatory(RESOLUTION[1]).coordinate.size)
    network.load_state_dict(torch.load(weights))
    samples = compare(network.eval(), arguments.held, seed=2)
    tables = dict(zip(("published kind", "ours"), map(by_snr, samples), strict=True))
    if arguments.json:
        print(json.dumps({name: [asdict(f) for f in rows] for name, rows in tables.items()}))
        return 0
    for name, rows in tables.items():
        printed(name, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
