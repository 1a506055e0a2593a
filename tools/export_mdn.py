"""Calibrate a mixture density network and write it as an ONNX graph with its card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..kernels import _score_features, _score_map, score_map
from ..kernels.score_map import FEATURES, GLOBAL
from ..models.card import Card, Tensor, card_path, digest, load_card, save_card
from ..models.mdn import COMPONENTS, OUTPUTS, Calibration, bases
from ..models.session import open_session
from . import mdn_network, training_shards, training_spectra
from .mdn_network import CLIP, LARGEST, Network, negative_log_likelihood
from .training_shards import Shard

_KNOTS = tuple(float(x) for x in np.linspace(1.0, 13.0, 9))  # of ln gain: SNR 1 to 600
_DESCENTS = 150
_EDGE = 2e-4  # of the training set, left out of the range of a feature at either end
_MARGIN = 0.05  # of that range, added to it
_PARITY = 1e-4


def calibrate(network: Network, shards: Sequence[Shard]) -> Calibration:
    """Find factors on the widths, by the height of the peak, that make the held spectra likeliest.

    Parameters
    ----------
    network : Network
    shards : sequence of Shard
        None of those it was trained on.
    """
    with torch.no_grad():
        outputs = torch.cat([network(torch.from_numpy(s.features)) for s in shards])
    base = np.concatenate([bases(s.anchors, (-s.half, s.half)) for s in shards])
    gain = np.concatenate([s.anchors[:, 0, 5] for s in shards])
    truth = np.concatenate([np.stack([s.velocity, s.broadening], axis=1) for s in shards])
    shares = torch.from_numpy(_shares(np.log(np.maximum(gain, 1e-3))).astype(np.float32))
    fixed = torch.from_numpy(base.astype(np.float32)), torch.from_numpy(truth)
    table = torch.zeros(len(_KNOTS), 2, requires_grad=True)
    optimiser = torch.optim.Adam([table], 0.02)
    for _ in range(_DESCENTS):
        moved = outputs.clone()
        moved[:, :4, 2::2] = moved[:, :4, 2::2] + (shares @ table)[:, None]
        loss = negative_log_likelihood(moved, *fixed).clamp(max=30.0).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = table.detach().numpy()
    return Calibration(_KNOTS, *(tuple(map(float, np.round(f, 4))) for f in found.T))


def _shares(height: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weight of each knot at each height, shape (spaxel, knot), linear between them."""
    eye = np.eye(len(_KNOTS))
    return np.stack([np.interp(height, _KNOTS, row) for row in eye], axis=1)


def export(
    network: Network,
    calibration: Calibration,
    shards: Sequence[Shard],
    plan: Mapping[str, Any],
    path: Path,
    *,
    measured: Mapping[str, Any] | None = None,
) -> Path:
    """Write the graph and its card.

    Parameters
    ----------
    network : Network
    calibration : Calibration
    shards : sequence of Shard
        Some that it was trained on, to say where it holds.
    plan : mapping
        How it was trained.
    path : Path
        The ``.onnx`` file.
    measured : mapping or None
        Figures for the card.

    Raises
    ------
    RuntimeError
        If the graph's outputs differ from the network's by 1e-4.
    """
    version = load_card(path).version + 1 if card_path(path).exists() else 1
    onnx.save(graph_of(network), path)
    features = np.concatenate([shard.features for shard in shards])
    _compare(network, path, features[:4096])
    low, high = np.quantile(features[:, :GLOBAL], (_EDGE, 1 - _EDGE), axis=0)
    beyond = _MARGIN * (high - low) + 1e-3
    code = [training_spectra, training_shards, mdn_network, score_map, _score_map, _score_features]
    card = Card(
        name=path.stem,
        version=version,
        licence="BSD-3-Clause",
        purpose="density of velocity and broadening from the score map of a spectrum's scan",
        inputs=(Tensor("features", ("spaxel", FEATURES), "float32", "", "kernels/score_map.py"),),
        outputs=(
            Tensor(
                "components",
                ("spaxel", COMPONENTS, OUTPUTS),
                "float32",
                "",
                "ln weight, m_v, ln S_v, m_b, ln S_b, c of models/mdn.py",
            ),
        ),
        training={**plan, "digest": digest(plan, *(Path(str(m.__file__)) for m in code))},
        calibration={
            "height": calibration.height,
            "velocity": calibration.velocity,
            "broadening": calibration.broadening,
        },
        holds={
            "resolution": training_spectra.RESOLUTION,
            "broadening_km_s": (0.0, training_spectra.BROADEST),
            "snr": (0.0, 600.0),
            "features": {
                "low": np.round(low - beyond, 4).tolist(),
                "high": np.round(high + beyond, 4).tolist(),
            },
        },
        measured=measured or {},
    )
    save_card(path, card)
    return path


def graph_of(network: Network) -> onnx.ModelProto:
    """Write the layers out as a graph of any batch size."""
    nodes: list[onnx.NodeProto] = []
    held: list[onnx.TensorProto] = []

    def constant(name: str, value: Any, kind: type = np.float32) -> str:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        held.append(numpy_helper.from_array(np.asarray(array, dtype=kind), name))
        return name

    def apply(kind: str, name: str, *inputs: str, **how: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [name], **how))
        return name

    def dense(name: str, x: str, layer: torch.nn.Linear) -> str:
        weight = constant(f"{name}.weight", layer.weight)
        bias = constant(f"{name}.bias", layer.bias)
        return apply("Gemm", name, x, weight, bias, transB=1)

    def silu(name: str, x: str) -> str:
        return apply("Mul", name, x, apply("Sigmoid", f"{name}.gate", x))

    x = apply("Sub", "centred", "features", constant("mean", network.mean))
    x = apply("Div", "scaled", x, constant("scale", network.scale))
    limits = (constant(f"clip.{side}", np.array(side * CLIP)) for side in (-1, 1))
    x = apply("Clip", "clipped", x, *limits)
    x = silu("silu.first", dense("first", x, network.first))
    for index, layer in enumerate(network.hidden):
        assert isinstance(layer, torch.nn.Linear)
        x = apply("Add", f"sum.{index}", x, silu(f"silu.{index}", dense(f"h.{index}", x, layer)))
    shape = constant("shape", np.array([-1, COMPONENTS, OUTPUTS]), np.int64)
    x = apply("Reshape", "raw", dense("last", x, network.last), shape)
    sizes = constant("sizes", np.ones(OUTPUTS), np.int64)
    parts = [f"part.{i}" for i in range(OUTPUTS)]
    nodes.append(helper.make_node("Split", [x, sizes], parts, axis=2))
    parts[0] = apply("LogSoftmax", "weight", parts[0], axis=1)
    largest = constant("largest", np.array(LARGEST))
    for index in (2, 4):
        divided = apply("Div", f"divided.{index}", parts[index], largest)
        turned = apply("Tanh", f"tanh.{index}", divided)
        parts[index] = apply("Mul", f"width.{index}", turned, largest)
    apply("Concat", "components", *parts, axis=2)
    graph = helper.make_graph(
        nodes,
        "mdn",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["spaxel", FEATURES])],
        [
            helper.make_tensor_value_info(
                "components", TensorProto.FLOAT, ["spaxel", COMPONENTS, OUTPUTS]
            )
        ],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def _compare(network: Network, path: Path, features: NDArray[np.float32]) -> None:
    """Hold the graph to the network."""
    session = open_session(path, "cpu")
    with torch.no_grad():
        wanted = network(torch.from_numpy(features)).numpy()
    found = np.asarray(session.run(None, {"features": features})[0])
    worst = float(np.abs(found - wanted).max() / np.maximum(np.abs(wanted), 1.0).max())
    if not worst < _PARITY:
        raise RuntimeError(f"{path.name}: differs from the network by {worst:.2g}")
