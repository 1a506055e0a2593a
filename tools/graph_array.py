"""Arrays of an ONNX graph that is being drawn, with the operators and names of numpy.

`spox` draws a graph node by node and checks types as it goes; this wraps its variables so that a
formula reads like one. Every operator used here has a kernel for float64 in the CPU and the CUDA
provider of onnxruntime (its docs/OperatorKernels.md): no `Erf`, and no `Where` on logical values.
Batches come first; the sizes of all axes are found when the graph runs.
"""

# ruff: noqa: D105 - operators are those of numpy

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import DTypeLike
from spox import Tensor, Var, argument


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A value of the graph."""

    var: Var

    def _with(self, other: "Array | float") -> Var:
        """Give the other operand, a number in the type of this one."""
        if isinstance(other, Array):
            return other.var
        return op.const(np.array(other, self.var.unwrap_tensor().dtype))

    def __add__(self, other: "Array | float") -> "Array":
        return Array(op.add(self.var, self._with(other)))

    def __sub__(self, other: "Array | float") -> "Array":
        return Array(op.sub(self.var, self._with(other)))

    def __rsub__(self, other: float) -> "Array":
        return Array(op.sub(self._with(other), self.var))

    def __mul__(self, other: "Array | float") -> "Array":
        return Array(op.mul(self.var, self._with(other)))

    def __truediv__(self, other: "Array | float") -> "Array":
        return Array(op.div(self.var, self._with(other)))

    def __rtruediv__(self, other: float) -> "Array":
        return Array(op.div(self._with(other), self.var))

    def __matmul__(self, other: "Array") -> "Array":
        return Array(op.matmul(self.var, other.var))

    def __lt__(self, other: "Array | float") -> "Array":
        return Array(op.less(self.var, self._with(other)))

    def __le__(self, other: "Array | float") -> "Array":
        return Array(op.less_or_equal(self.var, self._with(other)))

    def __gt__(self, other: "Array | float") -> "Array":
        return Array(op.greater(self.var, self._with(other)))

    def __ge__(self, other: "Array | float") -> "Array":
        return Array(op.greater_or_equal(self.var, self._with(other)))

    def __and__(self, other: "Array") -> "Array":
        return Array(op.and_(self.var, other.var))

    def __or__(self, other: "Array") -> "Array":
        return Array(op.or_(self.var, other.var))

    def __invert__(self) -> "Array":
        return Array(op.not_(self.var))

    __radd__ = __add__
    __rmul__ = __mul__

    @property
    def number(self) -> "Array":
        """Of a logical value: 1.0 where true."""
        return Array(op.cast(self.var, to=np.float64))

    @property
    def transposed(self) -> "Array":
        """Of a stack of matrices: each transposed."""
        return Array(op.transpose(self.var, perm=[0, 2, 1]))

    def along(self, *axes: int) -> "Array":
        """Put axes of length one where they are in the result."""
        return Array(op.unsqueeze(self.var, op.const(np.array(axes, np.int64))))

    def sum(self, axis: int) -> "Array":
        """Sum along an axis, which stays with length one."""
        return Array(op.reduce_sum(self.var, op.const(np.array([axis], np.int64))))

    def max(self, axis: int) -> "Array":
        """Maximum along an axis, which stays with length one."""
        return Array(op.reduce_max(self.var, op.const(np.array([axis], np.int64))))

    def take(self, places: "Array", axis: int = 0) -> "Array":
        """Pick places along an axis."""
        return Array(op.gather(self.var, places.var, axis=axis))

    def every_other(self, first: int) -> "Array":
        """Of a matrix: its columns `first`, `first` + 2, ..."""
        ends = (_vector(value).var for value in (first, np.iinfo(np.int64).max, 1, 2))
        return Array(op.slice(self.var, *ends))

    def shaped(self, *shape: "int | Array") -> "Array":
        """Reshape; 0 keeps the length of an axis, -1 is what is left."""
        return Array(op.reshape(self.var, _vector(*shape).var))

    def cut(self, axis: int, start: "int | Array", stop: "int | Array | None") -> "Array":
        """Keep the places from `start` to before `stop` of an axis; None for the end."""
        last = np.iinfo(np.int64).max if stop is None else stop
        ends = _vector(start).var, _vector(last).var, op.const(np.array([axis], np.int64))
        return Array(op.slice(self.var, *ends))

    def size(self, axis: int) -> "Array":
        """Length of an axis, shape (1,)."""
        return Array(op.shape(self.var, start=axis, end=axis + 1))


def _vector(*values: "int | Array") -> Array:
    parts = [v.var if isinstance(v, Array) else op.const(np.array([v], np.int64)) for v in values]
    return Array(op.concat(parts, axis=0))


def given(dtype: DTypeLike, *shape: str) -> Array:
    """Declare an input of the graph, with names for the lengths of its axes."""
    return Array(argument(Tensor(np.dtype(dtype), shape)))


def concat(parts: Sequence[Array], axis: int) -> Array:
    """Join arrays along an axis."""
    return Array(op.concat([part.var for part in parts], axis=axis))


def split(whole: Array, lengths: Sequence["int | Array"]) -> list[Array]:
    """Cut a matrix into blocks of columns."""
    parts, start = [], _vector(0)
    for length in lengths:
        stop = start + _vector(length)
        parts.append(whole.cut(1, start, stop))
        start = stop
    return parts


def where(condition: Array, yes: "Array | float", no: "Array | float") -> Array:
    """Choose value by value; one of the two is an array of numbers."""
    like = yes if isinstance(yes, Array) else no
    assert isinstance(like, Array)
    return Array(op.where(condition.var, like._with(yes), like._with(no)))


def full(value: float, *shape: "int | Array") -> Array:
    """Fill an array of numbers with a value."""
    return Array(op.constant_of_shape(_vector(*shape).var, value=np.array([value])))


def identity(size: Array) -> Array:
    """Give the unit matrix of a size of shape (1,)."""
    zero, one = (op.const(np.int64(value)) for value in (0, 1))
    count = op.range(zero, op.squeeze(size.var), one)
    row, column = (op.unsqueeze(count, op.const(np.array([axis], np.int64))) for axis in (0, 1))
    return Array(op.equal(row, column)).number


def places(condition: Array) -> Array:
    """Where a vector is true, shape (found,)."""
    return Array(op.reshape(op.non_zero(condition.var), op.const(np.array([-1], np.int64))))


def put(table: Array, rows: Array, values: Array) -> Array:
    """Replace rows of a matrix."""
    index = op.unsqueeze(rows.var, op.const(np.array([1], np.int64)))
    return Array(op.scatter_nd(table.var, index, values.var))


def exp(x: Array) -> Array:
    """Exponential."""
    return Array(op.exp(x.var))


def sin(x: Array) -> Array:
    """Sine."""
    return Array(op.sin(x.var))


def cos(x: Array) -> Array:
    """Cosine."""
    return Array(op.cos(x.var))


def sqrt(x: Array) -> Array:
    """Square root."""
    return Array(op.sqrt(x.var))


def absolute(x: Array) -> Array:
    """Absolute value."""
    return Array(op.abs(x.var))


def minimum(x: Array, y: "Array | float") -> Array:
    """Give the smaller of two."""
    return Array(op.min([x.var, x._with(y)]))


def maximum(x: Array, y: "Array | float") -> Array:
    """Give the larger of two."""
    return Array(op.max([x.var, x._with(y)]))


Body = Callable[[Array, list[Array]], tuple[Array | None, list[Array]]]


def loop(turns: Array, state: Sequence[Array], body: Body) -> list[Array]:
    """Repeat a body, at most `turns` times.

    Parameters
    ----------
    turns : Array
        Of shape () or (1,).
    state : sequence of Array
        What is carried from turn to turn; lengths of axes may change.
    body : callable
        Takes the turn's number, shape (1,), and the state; gives whether to go on, shape (1,), or
        None for always, and the next state.
    """

    def drawn(turn: Var, going: Var, *carried: Var) -> list[Var]:
        go_on, after = body(Array(turn).shaped(1), [Array(value) for value in carried])
        return [op.identity(going) if go_on is None else go_on.var, *(a.var for a in after)]

    start = [value.var for value in state]
    found = op.loop(turns.var, op.const(np.array([True])), start, body=drawn)
    return [Array(value) for value in found]
