"""Vectors of `RANK` float32 inside compiled loops, where the compiler would not make one.

A loop of sixteen turns with a body of one line is unrolled before it can be vectorised, and its sum
becomes a chain of sixteen additions. These say what is meant in the compiler's own terms; it
turns them into whatever vectors the machine has.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .basis import RANK

_VECTOR = ir.VectorType(ir.FloatType(), RANK)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Address of the element `index` of a contiguous array, as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=4, typ=_VECTOR)


def _total(builder: Any, vector: Any) -> Any:
    """Sum of the elements, halves first."""
    width = RANK
    while width > 1:
        width //= 2
        mask = [ir.Constant(ir.IntType(32), (k + width) % RANK) for k in range(RANK)]
        order = ir.Constant(ir.VectorType(ir.IntType(32), RANK), mask)
        vector = builder.fadd(vector, builder.shuffle_vector(vector, vector, order))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def product(typing_context, a, i, b, j):
    """Sum of products of the vectors at a[i] and b[j]; float32."""

    def generate(context, builder, signature, arguments):
        first, second = (
            _load(builder, _pointer(context, builder, signature.args[n], *arguments[n : n + 2]))
            for n in (0, 2)
        )
        return _total(builder, builder.fmul(first, second))

    return types.float32(a, types.intp, b, types.intp), generate


def _spread(builder: Any, value: Any) -> Any:
    """One number in every element."""
    zero = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, zero)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), RANK), [zero] * RANK)
    return builder.shuffle_vector(single, single, everywhere)


def _fused(builder: Any, value: Any, vector: Any, total: Any) -> Any:
    """Add value times vector to total."""
    scaled = builder.fmul(_spread(builder, value), vector, flags=("contract",))
    return builder.fadd(scaled, total, flags=("contract",))


@intrinsic
def add(typing_context, out, o, factor, source, i):
    """Add factor times the vector at source[i] to that at out[o]."""

    def generate(context, builder, signature, arguments):
        target = _pointer(context, builder, signature.args[0], *arguments[:2])
        vector = _load(builder, _pointer(context, builder, signature.args[3], *arguments[3:]))
        total = _fused(builder, arguments[2], vector, _load(builder, target))
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, types.float32, source, types.intp), generate


@intrinsic
def mix(typing_context, out, o, i, factors, source, s):
    """Fill out[o] with out[i] plus all factors times the vectors that follow source[s]."""

    def generate(context, builder, signature, arguments):
        array, target, start, weights, vectors, at = arguments
        first = _load(builder, _pointer(context, builder, signature.args[0], array, start))
        total = cgutils.alloca_once_value(builder, first)
        weights = context.make_array(signature.args[3])(context, builder, weights)
        count = builder.extract_value(weights.shape, 0)
        with cgutils.for_range(builder, count) as loop:
            factor = builder.load(builder.gep(weights.data, [loop.index]), typ=ir.FloatType())
            place = builder.add(at, builder.mul(loop.index, ir.Constant(at.type, RANK)))
            vector = _load(builder, _pointer(context, builder, signature.args[4], vectors, place))
            sum_ = _fused(builder, factor, vector, builder.load(total, typ=_VECTOR))
            builder.store(sum_, total)
        sum_ = builder.load(total, typ=_VECTOR)
        builder.store(sum_, _pointer(context, builder, signature.args[0], array, target), align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, types.intp, factors, source, types.intp), generate
