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


@intrinsic
def inner(typing_context, a, i, b, j, count):
    """Sum of products of so many vectors from a[i] on with those from b[j] on; float32."""

    def generate(context, builder, signature, arguments):
        total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * RANK))
        with cgutils.for_range(builder, arguments[4]) as loop:
            past = builder.mul(loop.index, ir.Constant(loop.index.type, RANK))
            first, second = (
                _load(
                    builder,
                    _pointer(
                        context,
                        builder,
                        signature.args[n],
                        arguments[n],
                        builder.add(arguments[n + 1], past),
                    ),
                )
                for n in (0, 2)
            )
            scaled = builder.fmul(first, second, flags=("contract",))
            sum_ = builder.fadd(scaled, builder.load(total, typ=_VECTOR), flags=("contract",))
            builder.store(sum_, total)
        return _total(builder, builder.load(total, typ=_VECTOR))

    return types.float32(a, types.intp, b, types.intp, types.intp), generate


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


def _compression(rows: int) -> Any:
    """Make the intrinsic that compresses so many spectra at once, which load functions but once.

    Products of the spectra of `size` channels that stand one behind the other at flat[i], with the
    functions from vectors[v] on, go to out[o] and behind it. Sums stay in registers throughout.
    """
    parts = 8 // rows  # sums that run side by side, or each addition would wait for the one before

    def compress(typing_context, flat, i, size, vectors, v, out, o):
        def generate(context, builder, signature, arguments):
            data, first, count, table, start, target, place = arguments
            kinds = signature.args
            zero = ir.Constant(_VECTOR, [0.0] * RANK)
            totals = [cgutils.alloca_once_value(builder, zero) for _ in range(8)]
            turns = builder.udiv(count, ir.Constant(count.type, parts))
            with cgutils.for_range(builder, turns) as loop:
                at = builder.mul(loop.index, ir.Constant(count.type, parts))
                for part in range(parts):
                    channel = builder.add(at, ir.Constant(at.type, part))
                    row = builder.add(start, builder.mul(channel, ir.Constant(at.type, RANK)))
                    vector = _load(builder, _pointer(context, builder, kinds[3], table, row))
                    for r in range(rows):
                        below = builder.mul(count, ir.Constant(count.type, r))
                        value = builder.add(first, builder.add(below, channel))
                        source = context.make_array(kinds[0])(context, builder, data).data
                        value = builder.load(builder.gep(source, [value]), typ=ir.FloatType())
                        total = totals[r * parts + part]
                        sum_ = _fused(builder, value, vector, builder.load(total, typ=_VECTOR))
                        builder.store(sum_, total)
            for r in range(rows):
                sums = [builder.load(x, typ=_VECTOR) for x in totals[r * parts : (r + 1) * parts]]
                while len(sums) > 1:
                    sums = [builder.fadd(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
                at = builder.add(place, ir.Constant(place.type, r * RANK))
                pointer = _pointer(context, builder, kinds[5], target, at)
                builder.store(sums[0], pointer, align=4)
            return context.get_dummy_value()

        whole = types.intp
        return types.void(flat, whole, whole, vectors, whole, out, whole), generate

    return intrinsic(compress)


compress = _compression(1)
compress_four = _compression(4)
