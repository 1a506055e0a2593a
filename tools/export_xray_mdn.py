"""Calibrate an X-ray density network and write it as an ONNX graph with its card."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor  # pyright: ignore[reportMissingImports]

from ..kernels import xray_features
from ..kernels.gaussian_mixture import GaussianMixture
from ..kernels.xray_features import FEATURES
from ..models.card import Card, card_path, digest, load_card, save_card
from ..models.card import Tensor as Declared
from ..models.plasma_table import PLASMA
from ..models.session import open_session
from ..models.xray_mdn import COORDINATES, ONE, OUTPUTS, SIZES, TWO, Calibration, density_of, split
from .train_xray_mdn import Batch, Examples
from .xray_clusters import ALL
from .xray_mdn_network import Network, log_density

_KNOTS = tuple(float(x) for x in np.log([150.0, 500.0, 1.5e3, 5e3, 1.5e4, 5e4, 1.5e5]))
_DESCENTS = 200
_STIFFNESS = 2.0  # of the table, per knot: a factor that few clusters ask for stays near one
_FAR = 4.0  # standard deviations beyond which an error counts no more
_MARGIN = 0.05  # of the range of a feature, added to it
_PARITY = 1e-4
_CODE = (
    "train_xray_mdn.py",
    "xray_mdn_network.py",
    "xray_shards.py",
    "xray_clusters.py",
    "xray_batches.py",
    "xray_responses.py",
)


def calibrate(network: Network, held: Examples, *, seed: int = 11) -> Calibration:
    """Find factors on the widths, by the counts, that make held clusters likeliest.

    What the means are then off, in standard deviations, is a straight line in ln counts.

    Parameters
    ----------
    network : Network
    held : Examples
        None of those it was trained on or chosen by.
    seed : int
        Of what is told of the columns.
    """
    batch = held.draw(np.arange(len(held)), np.random.default_rng(seed))
    with torch.no_grad():
        outputs = network(torch.from_numpy(batch.told))
    _, *numbers = split(outputs)
    shares = torch.from_numpy(_shares(batch.told[:, -xray_features.SCALARS]))
    found = [
        _widths(these, batch, shares, plasmas)
        for plasmas, these in zip(SIZES, numbers, strict=True)
    ]
    level = np.array(_KNOTS)
    widths = Calibration(level, *found, *(np.zeros_like(one) for one in found))
    density = density_of(outputs.numpy(), batch.told, held.level, calibration=widths)
    biases = [_biases(density.one, held, 1), _biases(density.two, held, 2)]
    return Calibration(level, *found, *biases)


def _biases(density: GaussianMixture, held: Examples, plasmas: int) -> NDArray:
    """Find what the means of one kind of cluster are off, shape (knot, coordinate)."""
    own = held.plasmas == plasmas
    mean, sigma = density.moments()
    pull = (mean[own] - held.truth[own, : SIZES[plasmas]]) / sigma[own]
    at = held.told[own, -xray_features.SCALARS].astype(np.float64)
    line = np.polynomial.polynomial.polyfit(at, np.clip(pull, -_FAR, _FAR), 1)
    return np.round(line[0] + np.array(_KNOTS)[:, None] * line[1], 4)


def _widths(numbers: Tensor, batch: Batch, shares: Tensor, plasmas: int) -> NDArray:
    """Find the table of one mixture, shape (knot, coordinate)."""
    size = SIZES[plasmas]
    rows = torch.from_numpy(batch.plasmas == plasmas)
    these, truth = numbers[rows], torch.from_numpy(batch.truth)[rows, :size]
    table = torch.zeros(len(_KNOTS), size, requires_grad=True)
    optimiser = torch.optim.Adam([table], 0.02)
    for _ in range(_DESCENTS):
        logs = (shares[rows] @ table)[:, None]
        loss = -log_density(widened(these, logs), truth).clamp(min=-30.0).sum()
        loss = (loss + _STIFFNESS * table.square().sum()) / len(truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return np.round(table.detach().numpy().astype(np.float64), 4)


def widened(numbers: Tensor, logs: Tensor) -> Tensor:
    """Multiply the deviations of components by factors.

    Parameters
    ----------
    numbers : Tensor, shape (n, component, number)
    logs : Tensor, shape (n, 1, coordinate)
        ln of the factors f: widths grow by f_i, slopes t_ij by f_i / f_j.
    """
    size = logs.shape[2]
    row, column = np.tril_indices(size, -1)
    slopes = numbers[:, :, 1 + 2 * size :] * torch.exp(logs[:, :, row] - logs[:, :, column])
    parts = [numbers[:, :, : 1 + size], numbers[:, :, 1 + size : 1 + 2 * size] + logs, slopes]
    return torch.cat(parts, dim=2)


def _shares(log_counts: NDArray[np.floating]) -> NDArray[np.float32]:
    """Weight of each knot at each counts, shape (n, knot), linear between them."""
    eye = np.eye(len(_KNOTS))
    found = np.stack([np.interp(log_counts, _KNOTS, row) for row in eye], axis=1)
    return found.astype(np.float32)


def export(
    network: Network,
    calibration: Calibration,
    seen: Examples,
    training: Mapping[str, Any],
    path: Path,
) -> Path:
    """Write the graph and its card.

    Parameters
    ----------
    network : Network
    calibration : Calibration
    seen : Examples
        That it was trained on, to say where it holds.
    training : mapping
        How it was trained.
    path : Path
        The ``.onnx`` file.

    Raises
    ------
    RuntimeError
        If the graph's outputs differ from the network's by 1e-4.
    """
    version = load_card(path).version + 1 if card_path(path).exists() else 1
    write_graph(network, path)
    told = seen.draw(np.arange(len(seen)), np.random.default_rng(12)).told
    _compare(network, path, told[:2000])
    low, high = told.min(axis=0), told.max(axis=0)
    beyond = _MARGIN * (high - low) + 1e-3
    here = Path(__file__).parent
    code = (*(here / name for name in _CODE), Path(xray_features.__file__), PLASMA)
    card = Card(
        name=path.stem,
        version=version,
        licence="BSD-3-Clause",
        purpose="density of the parameters of one plasma or two from a deconvolved X-ray spectrum",
        inputs=_inputs(),
        outputs=_outputs(),
        training={
            **training,
            "simulations": "tools/xray_clusters.py through tools/xray_batches.py and a rim",
            "digest": digest(training, *code),
        },
        calibration={
            "log_counts": list(_KNOTS),
            "one": calibration.one.tolist(),
            "two": calibration.two.tolist(),
            "bias_one": calibration.bias_one.tolist(),
            "bias_two": calibration.bias_two.tolist(),
        },
        holds={
            "kT_keV": ALL.kT,
            "abundance": ALL.abundance,
            "nH_1e22": ALL.nH,
            "redshift": ALL.redshift,
            "counts": ALL.counts,
            "second": ALL.second,
            "features": {
                "low": np.round(low - beyond, 3).tolist(),
                "high": np.round(high + beyond, 3).tolist(),
            },
        },
    )
    save_card(path, card)
    return path


def _inputs() -> tuple[Declared, ...]:
    """Declare what the graph takes."""
    text = "kernels/xray_features.py: ln x over its level in two frames, ln sigma, seven numbers"
    return (Declared("features", ("observation", FEATURES), "float32", "", text),)


def _outputs() -> tuple[Declared, ...]:
    """Declare what the graph gives."""
    text = (
        f"logit of a second plasma; ln weight, m, ln S, t (models/xray_mdn.py) of {ONE} components "
        f"over {', '.join(COORDINATES[:4])} (keV, solar, 1e22 cm-2, XSPEC) and of {TWO} over these "
        f"and {', '.join(COORDINATES[4:])} (keV, norm2 / norm)"
    )
    return (Declared("components", ("observation", OUTPUTS), "float32", "", text),)


def write_graph(network: Network, path: Path) -> None:
    """Write the ONNX graph of a network, for batches of any size."""
    batch = torch.export.Dim("observation", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(3, FEATURES),),
            str(path),
            input_names=[tensor.name for tensor in _inputs()],
            output_names=[tensor.name for tensor in _outputs()],
            dynamic_shapes=({0: batch},),
            dynamo=True,
            external_data=False,
            opset_version=18,
            verbose=False,
        )


def _compare(network: Network, path: Path, told: NDArray[np.float32]) -> None:
    """Hold the graph to the network."""
    session = open_session(path, "cpu")
    with torch.no_grad():
        wanted = network(torch.from_numpy(told)).numpy()
    found = np.asarray(session.run(None, {"features": told})[0])
    worst = float((np.abs(found - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
    if not worst < _PARITY:
        raise RuntimeError(f"{path.name}: differs from the network by {worst:.2g}")
