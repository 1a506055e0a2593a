import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from streamfit.models.session import WEIGHTS
from streamfit.tools.build_fit_graph import SHAPES, draw, main

# Operators with kernels for float64, or for places and sizes, in the CPU and the CUDA provider of
# onnxruntime 1.20 and later, from its docs/OperatorKernels.md.
EVERYWHERE = {
    *("Abs", "Add", "And", "Cast", "Concat", "Constant", "ConstantOfShape", "Cos", "Div", "Equal"),
    *("Exp", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Loop"),
    *("MatMul", "Max", "Min", "Mul", "NonZero", "Not", "Or", "Range", "ReduceMax", "ReduceSum"),
    *("Reshape", "ScatterND", "Shape", "Sin", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose"),
    *("Unsqueeze", "Where"),
}


def nodes(graph):
    """Give the nodes of a graph and of the graphs in it, in order."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def constants(graph):
    return [
        numpy_helper.to_array(attribute.t)
        for node in nodes(graph)
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TENSOR
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_that_is_shipped_is_the_one_that_is_drawn(name):
    shipped, drawn = onnx.load(WEIGHTS / f"{name}.onnx").graph, draw(name).graph
    assert [node.op_type for node in nodes(shipped)] == [node.op_type for node in nodes(drawn)]
    for one, other in zip(constants(shipped), constants(drawn), strict=True):
        np.testing.assert_array_equal(one, other)
    for kind in ("input", "output"):
        one, other = ([v.name for v in getattr(g, kind)] for g in (shipped, drawn))
        assert one == other


@pytest.mark.parametrize("name", SHAPES)
def test_a_gpu_has_every_operator(name):
    graph = onnx.load(WEIGHTS / f"{name}.onnx")
    assert {node.op_type for node in nodes(graph.graph)} <= EVERYWHERE
    assert graph.ir_version <= 10  # what onnxruntime 1.20 reads


def test_building_twice_gives_the_same_files(tmp_path):
    for run in ("one", "two"):
        main([str(tmp_path / run)])
    for name in SHAPES:
        one, two = ((tmp_path / run / f"{name}.onnx").read_bytes() for run in ("one", "two"))
        assert one == two
        assert len(one) < 500_000
