"""Compiled arithmetic of a reduced basis: tables to coefficients, and overlaps.

Everything is float32 in arrays of one axis, in pieces of `RANK` numbers that start where an offset
says: only then can the compiler tell that pieces do not overlap and make of each one vector. Sums
over pieces are written out for the same reason. Offsets are clipped at zero, which they never are
below: an index that might be negative would not be vectorised either.
"""

# numba's types do not know `_nrt` and `forceinline`.
# pyright: reportCallIssue=false, reportArgumentType=false

from typing import Final

import numpy as np
from numba import njit

from .basis import RANK, TAU_NODES
from .profile import FAST_MATH

PAIRWISE: Final = {"contract", "nsz"}  # sums stay the trees they are written as: shorter chains

_ROW = RANK * TAU_NODES  # of the table, from one node of delta to the next


@njit(cache=True, nogil=True)
def aligned(size):  # pragma: no cover - compiled
    """Zeros whose pieces never straddle two cache lines."""
    space = np.zeros(size + RANK, np.float32)
    start = (-(space.ctypes.data // 4)) % RANK
    return space[start : start + size]


@njit(inline="always", fastmath=FAST_MATH)
def _spline(t):  # pragma: no cover - compiled
    """Weights of four nodes of a cubic B-spline, then of its slope, t past the second node."""
    u = 1.0 - t
    t2, u2 = t * t, u * u
    return (
        np.float32(u2 * u / 6.0),
        np.float32(2.0 / 3.0 - t2 * (1.0 - 0.5 * t)),
        np.float32(2.0 / 3.0 - u2 * (1.0 - 0.5 * u)),
        np.float32(t2 * t / 6.0),
        np.float32(-0.5 * u2),
        np.float32(t * (1.5 * t - 2.0)),
        np.float32(u * (2.0 - 1.5 * u)),
        np.float32(0.5 * t2),
    )


@njit(inline="always", fastmath=FAST_MATH)
def _second(t):  # pragma: no cover - compiled
    """Weights of four nodes of the second slope of a cubic B-spline."""
    return np.float32(1.0 - t), np.float32(3.0 * t - 2.0), np.float32(1.0 - 3.0 * t), np.float32(t)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, fastmath=FAST_MATH)
def look_up(table, p, t_delta, t_tau, h, o):  # pragma: no cover - compiled
    """Fill h at o with a profile's coefficients, then with their slopes by delta and by tau.

    `p` is the first of four by four nodes in the table, `t_delta`, `t_tau` in [0, 1] the place
    between the second and the third; slopes are per node.
    """
    p, o = max(p, 0), max(o, 0)
    a0, a1, a2, a3, d0, d1, d2, d3 = _spline(t_delta)
    b0, b1, b2, b3, e0, e1, e2, e3 = _spline(t_tau)
    q, r, s = p + _ROW, p + 2 * _ROW, p + 3 * _ROW
    for m in range(RANK):
        p0, p1, p2, p3 = table[p + m], table[p + 16 + m], table[p + 32 + m], table[p + 48 + m]
        q0, q1, q2, q3 = table[q + m], table[q + 16 + m], table[q + 32 + m], table[q + 48 + m]
        r0, r1, r2, r3 = table[r + m], table[r + 16 + m], table[r + 32 + m], table[r + 48 + m]
        s0, s1, s2, s3 = table[s + m], table[s + 16 + m], table[s + 32 + m], table[s + 48 + m]
        x0 = a0 * p0 + a1 * q0 + a2 * r0 + a3 * s0
        x1 = a0 * p1 + a1 * q1 + a2 * r1 + a3 * s1
        x2 = a0 * p2 + a1 * q2 + a2 * r2 + a3 * s2
        x3 = a0 * p3 + a1 * q3 + a2 * r3 + a3 * s3
        h[o + m] = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        h[o + 32 + m] = e0 * x0 + e1 * x1 + e2 * x2 + e3 * x3
        x0 = d0 * p0 + d1 * q0 + d2 * r0 + d3 * s0
        x1 = d0 * p1 + d1 * q1 + d2 * r1 + d3 * s1
        x2 = d0 * p2 + d1 * q2 + d2 * r2 + d3 * s2
        x3 = d0 * p3 + d1 * q3 + d2 * r3 + d3 * s3
        h[o + 16 + m] = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, fastmath=FAST_MATH)
def look_up_value(table, p, t_delta, t_tau, h, o):  # pragma: no cover - compiled
    """Fill h at o with a profile's coefficients, as `look_up` does, but with no slopes."""
    p, o = max(p, 0), max(o, 0)
    a0, a1, a2, a3, _, _, _, _ = _spline(t_delta)
    b0, b1, b2, b3, _, _, _, _ = _spline(t_tau)
    q, r, s = p + _ROW, p + 2 * _ROW, p + 3 * _ROW
    for m in range(RANK):
        first = b0 * table[p + m] + b1 * table[p + 16 + m]
        first += b2 * table[p + 32 + m] + b3 * table[p + 48 + m]
        second = b0 * table[q + m] + b1 * table[q + 16 + m]
        second += b2 * table[q + 32 + m] + b3 * table[q + 48 + m]
        third = b0 * table[r + m] + b1 * table[r + 16 + m]
        third += b2 * table[r + 32 + m] + b3 * table[r + 48 + m]
        fourth = b0 * table[s + m] + b1 * table[s + 16 + m]
        fourth += b2 * table[s + 32 + m] + b3 * table[s + 48 + m]
        h[o + m] = (a0 * first + a1 * second) + (a2 * third + a3 * fourth)


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, fastmath=FAST_MATH)
def bend(table, p, t_delta, t_tau, out, o):  # pragma: no cover - compiled
    """Fill out at o with the second slopes of a profile's coefficients: delta, mixed, tau."""
    p, o = max(p, 0), max(o, 0)
    a0, a1, a2, a3, d0, d1, d2, d3 = _spline(t_delta)
    b0, b1, b2, b3, e0, e1, e2, e3 = _spline(t_tau)
    c0, c1, c2, c3 = _second(t_delta)
    f0, f1, f2, f3 = _second(t_tau)
    q, r, s = p + _ROW, p + 2 * _ROW, p + 3 * _ROW
    for m in range(RANK):
        p0, p1, p2, p3 = table[p + m], table[p + 16 + m], table[p + 32 + m], table[p + 48 + m]
        q0, q1, q2, q3 = table[q + m], table[q + 16 + m], table[q + 32 + m], table[q + 48 + m]
        r0, r1, r2, r3 = table[r + m], table[r + 16 + m], table[r + 32 + m], table[r + 48 + m]
        s0, s1, s2, s3 = table[s + m], table[s + 16 + m], table[s + 32 + m], table[s + 48 + m]
        x0 = c0 * p0 + c1 * q0 + c2 * r0 + c3 * s0
        x1 = c0 * p1 + c1 * q1 + c2 * r1 + c3 * s1
        x2 = c0 * p2 + c1 * q2 + c2 * r2 + c3 * s2
        x3 = c0 * p3 + c1 * q3 + c2 * r3 + c3 * s3
        out[o + m] = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        x0 = d0 * p0 + d1 * q0 + d2 * r0 + d3 * s0
        x1 = d0 * p1 + d1 * q1 + d2 * r1 + d3 * s1
        x2 = d0 * p2 + d1 * q2 + d2 * r2 + d3 * s2
        x3 = d0 * p3 + d1 * q3 + d2 * r3 + d3 * s3
        out[o + 16 + m] = e0 * x0 + e1 * x1 + e2 * x2 + e3 * x3
        x0 = a0 * p0 + a1 * q0 + a2 * r0 + a3 * s0
        x1 = a0 * p1 + a1 * q1 + a2 * r1 + a3 * s1
        x2 = a0 * p2 + a1 * q2 + a2 * r2 + a3 * s2
        x3 = a0 * p3 + a1 * q3 + a2 * r3 + a3 * s3
        out[o + 32 + m] = f0 * x0 + f1 * x1 + f2 * x2 + f3 * x3


@njit(cache=True, nogil=True, _nrt=False, forceinline=True, fastmath=PAIRWISE)
def overlap(blocks, at, source, i, out, o):  # pragma: no cover - compiled
    """Fill out at o with the block of overlaps at `at` times the piece of `source` at i."""
    at, i, o = max(at, 0), max(i, 0), max(o, 0)
    c0, c1, c2, c3 = source[i], source[i + 1], source[i + 2], source[i + 3]
    c4, c5, c6, c7 = source[i + 4], source[i + 5], source[i + 6], source[i + 7]
    c8, c9, c10, c11 = source[i + 8], source[i + 9], source[i + 10], source[i + 11]
    c12, c13, c14, c15 = source[i + 12], source[i + 13], source[i + 14], source[i + 15]
    for m in range(RANK):
        first = c0 * blocks[at + m] + c1 * blocks[at + 16 + m]
        first += c2 * blocks[at + 32 + m] + c3 * blocks[at + 48 + m]
        second = c4 * blocks[at + 64 + m] + c5 * blocks[at + 80 + m]
        second += c6 * blocks[at + 96 + m] + c7 * blocks[at + 112 + m]
        third = c8 * blocks[at + 128 + m] + c9 * blocks[at + 144 + m]
        third += c10 * blocks[at + 160 + m] + c11 * blocks[at + 176 + m]
        fourth = c12 * blocks[at + 192 + m] + c13 * blocks[at + 208 + m]
        fourth += c14 * blocks[at + 224 + m] + c15 * blocks[at + 240 + m]
        out[o + m] = (first + second) + (third + fourth)
