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
from ..models.xray_mdn import COORDINATES, ONE, OUTPUTS, SIZES, TWO, Calibration, density_of
from .train_xray_mdn import Examples
from .xray_clusters import ALL
from .xray_mdn_network import Network

Array = NDArray[np.float64]

_KNOTS = tuple(float(x) for x in np.log([150.0, 500.0, 1.5e3, 5e3, 1.5e4, 5e4, 1.5e5]))
_DESCENTS = 200
_STIFFNESS = 2.0  # of the table, per knot: a factor that few clusters ask for stays near one
_WORST = 10.0  # surprise of one cluster, in ln, beyond which it counts no more
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
    """Find stretches and moves of the densities, by the counts, that make held clusters likeliest.

    Each coordinate has its own, found on its marginal distribution.

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
    density = density_of(outputs.numpy(), batch.told, held.level)
    log_counts = batch.told[:, -xray_features.SCALARS].astype(np.float64)
    tables = []
    for plasmas, given in ((1, density.one), (2, density.two)):
        own = np.flatnonzero(held.plasmas == plasmas)
        truth = held.truth[own, : SIZES[plasmas]]
        tables.append(stretches(given.part(own), truth, log_counts[own]))
    (one, bias_one), (two, bias_two) = tables
    return Calibration(np.array(_KNOTS), one, two, bias_one, bias_two)


def stretches(density: GaussianMixture, truth: Array, log_counts: Array) -> tuple[Array, Array]:
    """Find ln of the stretches and the moves that make truths likeliest.

    Parameters
    ----------
    density : GaussianMixture
    truth : ndarray, shape (n, coordinate)
    log_counts : ndarray, shape (n,)

    Returns
    -------
    stretch, move : ndarray, shape (knot, coordinate)
        As of `models.xray_mdn.Calibration`.
    """
    shares = torch.from_numpy(_shares(log_counts))
    found = [
        _table(density.marginal(slice(i, i + 1)), truth[:, i], shares)
        for i in range(truth.shape[1])
    ]
    stretch, move = np.stack(found, axis=2)
    return stretch, move


def _table(density: GaussianMixture, truth: Array, shares: Tensor) -> Array:
    """Find ln of the stretch and the move of one coordinate, shape (2, knot)."""
    centre, sigma = (one[:, 0] for one in density.moments())
    own = (density.mean[:, :, 0] - centre[:, None]) / sigma[:, None]
    width = np.sqrt(density.covariance[:, :, 0, 0]) / sigma[:, None]
    with np.errstate(divide="ignore"):  # a component of no weight
        height = np.log(density.weights) - np.log(width)
    means, widths, heights, pull = (
        torch.from_numpy(one) for one in (own, width, height, (truth - centre) / sigma)
    )
    table = torch.zeros(2, len(_KNOTS), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([table], 0.02)
    for _ in range(_DESCENTS):
        stretch, move = shares @ table[0], shares @ table[1]
        at = pull * torch.exp(-stretch) + move
        e = (at[:, None] - means) / widths
        loss = stretch - torch.logsumexp(heights - 0.5 * e.square(), dim=1).clamp(min=-_WORST)
        loss = (loss.sum() + _STIFFNESS * table.square().sum()) / len(truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return np.asarray(np.round(table.detach().numpy(), 4), np.float64)


def _shares(log_counts: Array) -> Array:
    """Weight of each knot at each counts, shape (n, knot), linear between them."""
    eye = np.eye(len(_KNOTS))
    return np.stack([np.interp(log_counts, _KNOTS, row) for row in eye], axis=1)


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
