"""Builds the graphs that `models/fit_graph.py` runs, one for each family of line shapes.

Sizes of all axes are found when a graph runs and a model's ties are among its inputs, so the two
files serve every model and the builder (`spox`) is needed here only.

    python -m streamfit.tools.build_fit_graph models/weights
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import onnx
from spox import build

from .graph_lines import Fts, Gaussian, Model, Shape
from .graph_search import Search
from .graph_state import Spectra

SHAPES: dict[str, Callable[[], Shape]] = {"fit_fts": Fts, "fit_gaussian": Gaussian}


def draw(name: str) -> onnx.ModelProto:
    """Give a graph.

    Parameters
    ----------
    name : {"fit_fts", "fit_gaussian"}

    Returns
    -------
    onnx.ModelProto
        Inputs are the fields of `Model`, of `Spectra` and of the shape, in this order.
    """
    shape, model, spectra = SHAPES[name](), Model.declare(), Spectra.declare()
    declared = {f.name: getattr(part, f.name) for part in (model, spectra) for f in fields(part)}
    inputs = {key: value.var for key, value in {**declared, **shape.inputs()}.items()}
    with warnings.catch_warnings():
        # The batch shrinks from turn to turn, so a loop's results have no shape until it runs.
        warnings.filterwarnings("ignore", "Output type for variable .* was not concrete")
        outputs = Search(model, shape, spectra).run()
        graph = build(inputs, {key: value.var for key, value in outputs.items()})
    graph.graph.name = name
    graph.graph.doc_string = "Lines on a continuum: variable projection, Levenberg-Marquardt"
    onnx.checker.check_model(graph, full_check=True)
    return graph


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the graphs into a folder."""
    parser = argparse.ArgumentParser(description="Build the graphs of the batched fit.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHAPES:
        (folder / f"{name}.onnx").write_bytes(draw(name).SerializeToString())


if __name__ == "__main__":
    main()
