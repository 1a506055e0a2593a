"""Exports a trained network to ONNX, calibrates it, and writes its card.

    python -m streamfit.tools.export_rim RESPONSES FOLDER models/weights

FOLDER is one that `train_rim` wrote. Sigma is calibrated on simulations of their own, made with
responses that were trained on but for the seed: at each number of counts it is multiplied by the
temperature that brings 68 % and 95 % of truths closest to where they belong, each in units of what
is allowed. The same simulations tell how much of the first fit's freedom the result has: by that
much its refolded statistic is lower than the truth's.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import nn  # pyright: ignore[reportMissingImports]

from ..io.observations import Response
from ..kernels.poisson import fold
from ..kernels.refold import refold_cash
from ..models.card import Card, Tensor, digest, save_card
from ..models.plasma_table import PLASMA, load_plasma
from ..models.rim import Rim
from .rim_network import Data
from .rim_network import Rim as Network
from .spectrum_errors import BAND
from .train_rim import PRIOR_STEPS, Shape, SpectralPrior, make_network, read_responses
from .xray_batches import COUNTS, Simulator
from .xray_responses import Instrument, exact

Array = NDArray[np.float64]

LOG_COUNTS = np.arange(1.75, 6.01, 0.5)
BRIGHT = 1e4  # counts from which an estimate is made to agree with them
_HELD = 150  # responses of all kinds
_FAR = 4.0  # standard deviations of the statistic
_HALF = 0.25  # of the range of log10 counts around each of these
_ALLOWED = ((0.68, 1.0, 0.04), (0.95, 1.96, 0.02))  # part, sigmas, tolerance
_CODE = (
    "train_rim.py",
    "rim_network.py",
    "xray_sources.py",
    "xray_responses.py",
    "xray_batches.py",
)


class Single(nn.Module):
    """A network of which only the last estimate is wanted."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        counts: torch.Tensor,
        response: torch.Tensor,
        background: torch.Tensor,
        start: torch.Tensor,
        spread: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give ln flux and ln sigma."""
        states, log_sigma = self.network(Data(counts, response, background, start, spread))
        return states[-1], log_sigma


def read_checkpoint(folder: Path) -> tuple[Network, SpectralPrior, dict[str, Any]]:
    """Open what `train_rim` wrote.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Rim, SpectralPrior, dict
        The network with the running mean of its weights, its prior, and the rest of the checkpoint.
    """
    held: dict[str, Any] = torch.load(folder / "checkpoint.pt")
    with np.load(folder / "prior.npz") as saved:
        prior = SpectralPrior(saved["mean"], saved["basis"])
    network = make_network(prior, Shape(**held["shape"]))
    network.load_state_dict(held["mean"])
    return network.eval(), prior, held


def write_graph(network: Network, path: Path) -> None:
    """Write the ONNX graph of a network, for batches of any size."""
    components, energy = network.basis.shape[1], network.mean.shape[0]
    example = (
        torch.ones(3, 222),
        torch.full((3, 222, energy), 0.1),
        torch.zeros(3, 222),
        torch.zeros(3, energy),
        torch.eye(components).expand(3, -1, -1).contiguous(),
    )
    batch = torch.export.Dim("observation", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Single(network),
            example,
            str(path),
            input_names=[tensor.name for tensor in _inputs(components)],
            output_names=[tensor.name for tensor in _outputs()],
            dynamic_shapes=tuple({0: batch} for _ in example),
            dynamo=True,
            external_data=False,
            opset_version=18,
            verbose=False,
        )


def calibrate(rim: Rim, simulator: Simulator, each: int) -> dict[str, list[float]]:
    """Find the temperatures of sigma and the shares of freedom at `LOG_COUNTS`.

    Two kinds of observations have the same weight, since one temperature cannot be right for both:
    clusters without background behind the real responses, and all kinds of sources and
    backgrounds behind all kinds of responses.

    Parameters
    ----------
    rim : Rim
        With temperatures and shares of one.
    simulator : Simulator
        With the responses it holds.
    each : int
        Observations of each kind at each number of counts.

    Returns
    -------
    dict
        ``temperature`` and ``freedom``, for the card.
    """
    held = simulator.instruments
    real = [exact(one) for one in simulator.responses] or held
    found: dict[str, list[float]] = {"temperature": [], "freedom": []}
    for middle in LOG_COUNTS:
        counts = 10.0 ** (middle - _HALF), 10.0 ** (middle + _HALF)
        clusters = [
            _trial(rim, simulator, _in_turn(real, at), counts, kind="cluster", background=False)
            for at in range(each)
        ]
        anything = [_trial(rim, simulator, _in_turn(held, at), counts) for at in range(each)]
        found["temperature"].append(_temperature([clusters, anything]))
        found["freedom"].append(_share(clusters + anything))
    return found


class _Trial(NamedTuple):
    """A simulated observation: its errors, and the freedom the result showed.

    `pulls` are errors in units of sigma where they count; `short` is the expected statistic less
    what came out, and `freedom` that of the first fit, both in units of the statistic's scatter and
    zero where the background is estimated too.
    """

    pulls: Array
    short: float = 0.0
    freedom: float = 0.0


def _trial(
    rim: Rim,
    simulator: Simulator,
    instrument: Instrument,
    counts: tuple[float, float],
    **options: Any,
) -> _Trial:
    """Draw an observation and deconvolve it."""
    drawn, background, truth = simulator.observation(instrument, counts=counts, **options)
    found = rim.deconvolve(*(one[None] for one in (drawn, instrument.working, background)))
    log_flux, sigma = found.log_flux[0], found.log_flux_sigma[0]
    pulls = (np.abs(log_flux - truth) / sigma)[BAND]
    if background.any():
        return _Trial(pulls)
    refold = refold_cash(drawn.astype(np.float64), fold(instrument.working, np.exp(log_flux)))
    return _Trial(pulls, -refold.z, float(found.freedom[0]) / refold.scatter)


def _in_turn(instruments: Sequence[Instrument], at: int) -> Instrument:
    """Give one after the other."""
    return instruments[at % len(instruments)]


def _share(trials: list[_Trial]) -> float:
    """Give the share of the first fit's freedom with which the mean of z is zero.

    A few that are wrong by many standard deviations count as four.
    """
    short = sum(min(max(one.short, -_FAR), _FAR) for one in trials)
    return round(float(np.clip(short / sum(one.freedom for one in trials), 0.0, 1.0)), 4)


def _temperature(kinds: list[list[_Trial]]) -> float:
    """Give the temperature with the smallest misses, in units of what is allowed."""
    trials = np.geomspace(0.25, 4.0, 561)
    misses = np.zeros(trials.size)
    for kind in kinds:
        pulls = np.sort(np.concatenate([one.pulls for one in kind]))
        for part, sigmas, allowed in _ALLOWED:
            within = np.searchsorted(pulls, sigmas * trials) / pulls.size
            misses += ((within - part) / allowed) ** 2
    return round(float(trials[np.argmin(misses)]), 4)


def make_card(held: dict[str, Any], components: int, responses: Sequence[str]) -> Card:
    """Give the card of a network that is not yet calibrated."""
    settings = {"plan": held["plan"], "shape": held["shape"], "responses": sorted(responses)}
    here, before = Path(__file__).parent, held["plan"].get("before", {})
    training = {
        **settings,
        # Of the whole training; the plan says what of it was that of the network gone on from.
        "steps": held["step"] + before.get("steps", 0),
        "hours": round(held["spent"] / 3600.0 + before.get("hours", 0.0), 2),
        "prior_steps": PRIOR_STEPS,
        "simulations": "fresh draws of tools/xray_batches.py, counts 50 to 1e6",
        "digest": digest(settings, *(here / name for name in _CODE), PLASMA),
    }
    return Card(
        name="rim",
        version=1,
        licence="BSD-3-Clause",
        purpose="Intrinsic X-ray photon spectrum with bands, from counts, response and background",
        inputs=_inputs(components),
        outputs=_outputs(),
        training=training,
        calibration={
            "log10_counts": LOG_COUNTS.tolist(),
            "temperature": [1.0] * LOG_COUNTS.size,
            "freedom": [1.0] * LOG_COUNTS.size,
            "consistent_above_counts": BRIGHT,
        },
        holds={
            "counts": list(COUNTS),
            "background_share": 0.6,
            "band_keV": [0.6, 6.5],
            "resolution": "CCDs: FWHM near 100 eV at 1 keV and 150 eV at 6 keV, to a third",
        },
    )


def _inputs(components: int) -> tuple[Tensor, ...]:
    """Declare what the graph takes."""
    size = "observation"
    return (
        Tensor("counts", (size, 222), "float32", "counts", "Poisson counts of detector bins"),
        Tensor(
            "response",
            (size, 222, 256),
            "float32",
            "counts per photon/cm2/s/keV",
            "A of m = A x + b",
        ),
        Tensor("background", (size, 222), "float32", "counts", "expected b of m = A x + b"),
        Tensor("start", (size, 256), "float32", "ln photons/cm2/s/keV", "fit under the prior"),
        Tensor("spread", (size, components, components), "float32", "", "covariance of that fit"),
    )


def _outputs() -> tuple[Tensor, ...]:
    """Declare what the graph gives."""
    size = ("observation", 256)
    return (
        Tensor("log_flux", size, "float32", "ln photons/cm2/s/keV", "intrinsic spectrum"),
        Tensor("log_sigma", size, "float32", "", "ln of its standard deviation, not calibrated"),
    )


def export(
    folder: Path, weights: Path, responses: dict[str, Response], *, each: int = 500, seed: int = 7
) -> Rim:
    """Write graph, prior and cards; give the calibrated machine.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    weights : Path
        Folder to write ``rim.onnx`` and its companions to.
    responses : dict
        Those trained on.
    each : int
        Simulations of each kind for each temperature.
    seed : int
        Of these.

    Returns
    -------
    Rim
    """
    network, prior, held = read_checkpoint(folder)
    path, beside = weights / "rim.onnx", weights / "rim_prior.npz"
    write_graph(network, path)
    np.savez(beside, mean=prior.mean, basis=prior.basis)
    card = make_card(held, prior.basis.shape[1], list(responses))
    text = "Gaussian prior of ln flux that the network starts from: mean and scaled eigenvectors"
    save_card(beside, replace(card, name="rim_prior", purpose=text, inputs=(), outputs=()))
    save_card(path, card)
    generator = np.random.default_rng([held["plan"]["seed"], seed])
    simulator = Simulator(load_plasma(), list(responses.values()), generator, keep=_HELD)
    found = calibrate(Rim(weights=path), simulator, each)
    logging.info("calibration %s", found)
    save_card(path, replace(card, calibration={**card.calibration, **found}))
    return Rim(weights=path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Export and calibrate."""
    parser = argparse.ArgumentParser(description="Export the X-ray network.")
    parser.add_argument("responses", type=Path)
    parser.add_argument("folder", type=Path, help="of the training")
    parser.add_argument("weights", type=Path, help="where rim.onnx is written")
    parser.add_argument("--each", type=int, default=500, help="simulations a temperature")
    parser.add_argument("--leave-out", nargs="*", default=["12845"])
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    responses = read_responses(given.responses, given.leave_out)
    rim = export(given.folder, given.weights, responses, each=given.each)
    print(json.dumps(dict(rim.card.calibration)))


if __name__ == "__main__":
    main()
