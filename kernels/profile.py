"""Compiled line profiles with derivatives: what `varpro.py` evaluates millions of times a second.

The same shapes as `ils.py`, written for a loop that the compiler can vectorise:

- cos u and sin u on a uniform grid come from angle addition, not from a call per channel;
- exp(-b^2) runs by a recurrence outwards from the line and only where it is not zero to rounding;
- in the wings the profile is the series that integrating by parts gives at the end t = 1,

      I(u, a) = sin u (E - E'' / u^2 + ...) / u + cos u (E' - E''' / u^2 + ...) / u^2,

  E = exp(-a^2 t^2), to twelve terms, which nothing cancels even for an unbroadened line;
- near the line it takes Faddeeva's w, by Weideman's rational series with 24 terms (Weideman 1994,
  SIAM J. Numer. Anal. 31, 1497, eq. 38): only there are terms many, so their number costs little.

Derivatives follow from the profile itself. With I and u, a of `ils.py` and q = a^2,

    dI/du = (exp(-q) sin u - u I) / 2q,   dI/dq = (exp(-q) cos u - I - u dI/du) / 2q.

Everything here is in units of the caller's grid and holds for one spectrum and one line. Loops over
part of the channels count from zero: an index that might be negative would not be vectorised.
"""

import math
from typing import Final

import numpy as np
from numba import njit

GAUSSIAN: Final = 0
SINC: Final = 1
SINCGAUSS: Final = 2

# What lets a loop be vectorised and still lets NaN be NaN.
FAST_MATH: Final = {"reassoc", "contract", "arcp", "nsz"}

# How functions are compiled that allocate nothing: the references to the arrays they are handed
# are not counted, which would cost more than some of them do.
BORROWING: Final = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}

_TERMS = 24
_VANISHING = 1e-14  # of exp(-a^2): such a line is broad enough to have no wings
_SQRT_PI = math.sqrt(math.pi)
INV_SQRT_PI = 1.0 / _SQRT_PI
_REACH = 6.5  # standard deviations; beyond, a Gaussian is below 7e-10
_GAUSSIAN_REACH = 6.2  # of b: exp(-b^2) is 2e-17


def _weideman() -> tuple[float, tuple[float, ...]]:
    """Scale L and coefficients, highest power first, of Weideman's series."""
    points = np.arange(-2 * _TERMS + 1, 2 * _TERMS)
    scale = math.sqrt(_TERMS / math.sqrt(2.0))
    nodes = scale * np.tan(points * np.pi / (4 * _TERMS))
    values = np.r_[0.0, np.exp(-(nodes**2)) * (scale**2 + nodes**2)]
    coefficients = np.fft.fft(np.fft.fftshift(values)).real[1 : _TERMS + 1] / (4 * _TERMS)
    return scale, tuple(float(c) for c in coefficients[::-1])


_SCALE, _C = _weideman()


@njit(inline="always", fastmath=FAST_MATH)
def _two(high, low, twice, square, c, d):  # pragma: no cover - compiled
    """Two steps of Knuth's recurrence for a real polynomial of a complex argument.

    Written out below, term by term: a loop over the terms would keep the loop over the channels
    from being vectorised.
    """
    high, low = low + twice * high, c - square * high
    return low + twice * high, d - square * high


@njit(inline="always", fastmath=FAST_MATH)
def _faddeeva_near(x, y):  # pragma: no cover - compiled
    """w(x + iy) by Weideman's series, real and imaginary part."""
    down = _SCALE + y
    norm = 1.0 / (down * down + x * x)
    inv_re = down * norm  # 1 / (L - iz)
    inv_im = x * norm
    up = _SCALE - y
    z_re = up * inv_re - x * inv_im  # (L + iz) / (L - iz)
    z_im = up * inv_im + x * inv_re
    twice, square = 2.0 * z_re, z_re * z_re + z_im * z_im
    high, low = _two(_C[0], _C[1], twice, square, _C[2], _C[3])
    high, low = _two(high, low, twice, square, _C[4], _C[5])
    high, low = _two(high, low, twice, square, _C[6], _C[7])
    high, low = _two(high, low, twice, square, _C[8], _C[9])
    high, low = _two(high, low, twice, square, _C[10], _C[11])
    high, low = _two(high, low, twice, square, _C[12], _C[13])
    high, low = _two(high, low, twice, square, _C[14], _C[15])
    high, low = _two(high, low, twice, square, _C[16], _C[17])
    high, low = _two(high, low, twice, square, _C[18], _C[19])
    high, low = _two(high, low, twice, square, _C[20], _C[21])
    high, low = _two(high, low, twice, square, _C[22], _C[23])
    p_re, p_im = high * z_re + low, high * z_im
    re = 2.0 * (p_re * inv_re - p_im * inv_im) + INV_SQRT_PI
    im = 2.0 * (p_re * inv_im + p_im * inv_re)
    return re * inv_re - im * inv_im, re * inv_im + im * inv_re


@njit(inline="always")
def _between(value, high):  # pragma: no cover - compiled
    """Clip a channel; callers round to eight, so that vectors rarely leave a rest."""
    return max(0, min(high, value))


@njit(**BORROWING, fastmath=FAST_MATH)
def turns(step, cosine, sine):  # pragma: no cover - compiled
    """Fill cos(i step) and sin(i step) for every channel i by rotations, which grow with i."""
    n = cosine.size
    turn_c, turn_s = math.cos(step), math.sin(step)
    c, s = 1.0, 0.0
    for i in range(min(8, n)):
        cosine[i], sine[i] = c, s
        c, s = c * turn_c - s * turn_s, s * turn_c + c * turn_s
    turn_c, turn_s = c, s
    for i in range(min(56, n - 8)):
        c, s = cosine[i], sine[i]
        cosine[i + 8], sine[i + 8] = turn_c * c - turn_s * s, turn_s * c + turn_c * s
    for _ in range(3):
        turn_c, turn_s = turn_c * turn_c - turn_s * turn_s, 2.0 * turn_c * turn_s
    for i in range(n - 64):
        c, s = cosine[i], sine[i]
        cosine[i + 64], sine[i + 64] = turn_c * c - turn_s * s, turn_s * c + turn_c * s


@njit(inline="always", fastmath=FAST_MATH)
def _end_series(q, first):  # pragma: no cover - compiled
    """Give the derivatives of exp(-q t^2) at t = 1, times first / exp(-q): E' = -2q E, ..."""
    twice = -2.0 * q
    e1 = twice * first
    e2 = twice * (e1 + first)
    e3 = twice * (e2 + 2.0 * e1)
    e4 = twice * (e3 + 3.0 * e2)
    e5 = twice * (e4 + 4.0 * e3)
    e6 = twice * (e5 + 5.0 * e4)
    e7 = twice * (e6 + 6.0 * e5)
    e8 = twice * (e7 + 7.0 * e6)
    e9 = twice * (e8 + 8.0 * e7)
    e10 = twice * (e9 + 9.0 * e8)
    return first, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, twice * (e10 + 10.0 * e9)


@njit(**BORROWING, fastmath=FAST_MATH)
def _wing(u0, du, turn, series, waves, weight, f, start, count):  # pragma: no cover - compiled
    """Fill `count` channels of a wing."""
    start = max(start, 0)
    (cosine, sine), (c0, s0) = waves, turn
    e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11 = series
    for j in range(count):
        i = start + j
        c, s = c0 * cosine[i] - s0 * sine[i], s0 * cosine[i] + c0 * sine[i]
        r = 1.0 / (u0 + du * i)
        v = -r * r
        odd = e0 + v * (e2 + v * (e4 + v * (e6 + v * (e8 + v * e10))))
        even = e1 + v * (e3 + v * (e5 + v * (e7 + v * (e9 + v * e11))))
        f[i] = weight[i] * r * (s * odd + r * c * even)


@njit(**BORROWING, fastmath=FAST_MATH)
def _core(u0, du, turn, a, peak, waves, weight, f, start, count):  # pragma: no cover - compiled
    """Fill `count` channels about the line, but for the Gaussian."""
    start = max(start, 0)
    (cosine, sine), (c0, s0) = waves, turn
    half = 0.5 / a
    for j in range(count):
        i = start + j
        re, im = _faddeeva_near((u0 + du * i) * half, a)
        c, s = c0 * cosine[i] - s0 * sine[i], s0 * cosine[i] + c0 * sine[i]
        f[i] = peak * weight[i] * (s * im - c * re)


@njit(**BORROWING, fastmath=FAST_MATH)
def _add_gaussian(u0, du, a, peak, weight, f):  # pragma: no cover - compiled
    """Add peak exp(-b^2), b = u / 2a, with b_(i+1)^2 - b_i^2 = h (2 b_i + h) on a uniform grid."""
    centre, reach = int(0.5 - u0 / du), int(2.0 * _GAUSSIAN_REACH * a / du) + 1
    low, high = _between(centre - reach, f.size), _between(centre + reach + 2, f.size)
    if low == high:
        return
    top = max(low, min(high - 1, centre))
    h = 0.5 * du / a
    b, shrink = (u0 + du * top) * 0.5 / a, math.exp(-2.0 * h * h)
    left = right = peak * math.exp(-b * b)
    step = math.exp(-h * (2.0 * b + h))
    for i in range(top, high):
        f[i] += weight[i] * right
        right *= step
        step *= shrink
    step = math.exp(h * (2.0 * b - h))
    for i in range(top - 1, low - 1, -1):
        left *= step
        step *= shrink
        f[i] += weight[i] * left


@njit(**BORROWING, fastmath=FAST_MATH)
def sincgauss_row(u0, du, a, waves, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted profile on channels u0 + i du; `waves` holds the `turns` of du."""
    n, q = f.size, a * a
    edge, peak = math.exp(-q), 1.0 / math.erf(a)
    if edge > _VANISHING:
        turn = math.cos(u0), math.sin(u0)
        # Here the twelfth term is below 1e-11: it is largest where a^2 is 12.
        centre, reach = int(-u0 / du), int(min(21.0 * a + 0.7, 43.0) / du) + 1
        near, far = _between(centre - reach, n) & ~7, _between((centre + reach + 9) & ~7, n)
        series = _end_series(q, 2.0 * a * INV_SQRT_PI * edge * peak)
        _wing(u0, du, turn, series, waves, weight, f, 0, near)
        _wing(u0, du, turn, series, waves, weight, f, far, n - far)
        _core(u0, du, turn, a, edge * peak, waves, weight, f, near, far - near)
    else:
        f[:] = 0.0
    _add_gaussian(u0, du, a, peak, weight, f)


@njit(**BORROWING, fastmath=FAST_MATH)
def sincgauss_slope(u0, du, a, waves, chain, weight, f, m_v, m_b):  # pragma: no cover - compiled
    """Add the derivatives of a line whose weighted profile is `f` to m_v and m_b.

    `chain` = (du/dv, dq/dv, dq/db), times the line's amplitude, turns the derivatives by u and
    q = a^2 into those by velocity and broadening. All arrays have shape (channel,).
    """
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    q = a * a
    edge = 2.0 * a * INV_SQRT_PI * math.exp(-q) / math.erf(a)  # exp(-q) / I(0, a)
    shrink = 0.5 / q
    norm_q = (edge - 1.0) * shrink  # d ln I(0, a) / dq
    u_v, q_v, q_b = chain
    for i in range(f.size):
        u, value, w = u0 + du * i, f[i], edge * weight[i]
        c, s = c0 * cosine[i] - s0 * sine[i], s0 * cosine[i] + c0 * sine[i]
        by_u = (w * s - u * value) * shrink
        by_q = (w * c - value - u * by_u) * shrink - value * norm_q
        m_v[i] += by_u * u_v + by_q * q_v
        m_b[i] += by_q * q_b


@njit(**BORROWING, fastmath=FAST_MATH)
def sinc_row(u0, du, waves, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted sinc on channels u0 + i du."""
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    for i in range(f.size):
        u = u0 + du * i
        value = 1.0 - u * u * (1.0 / 6.0 - u * u / 120.0)
        if abs(u) > 1e-2:
            value = (s0 * cosine[i] + c0 * sine[i]) / u
        f[i] = weight[i] * value


@njit(**BORROWING, fastmath=FAST_MATH)
def sinc_slope(u0, du, waves, u_v, weight, f, m_v):  # pragma: no cover - compiled
    """Add the derivative by velocity of a sinc whose weighted profile is `f`."""
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    for i in range(f.size):
        u = u0 + du * i
        slope = -weight[i] * u * (1.0 / 3.0 - u * u / 30.0)
        if abs(u) > 1e-2:
            slope = (weight[i] * (c0 * cosine[i] - s0 * sine[i]) - f[i]) / u
        m_v[i] += slope * u_v


@njit(**BORROWING, fastmath=FAST_MATH)
def gaussian_row(t, centre, sigma, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted Gaussian at coordinates `t`, zero beyond 6.5 sigma."""
    f[:] = 0.0
    inverse = 1.0 / sigma
    for i in range(
        np.searchsorted(t, centre - _REACH * sigma), np.searchsorted(t, centre + _REACH * sigma)
    ):
        d = (t[i] - centre) * inverse
        f[i] = weight[i] * math.exp(-0.5 * d * d)


@njit(**BORROWING, fastmath=FAST_MATH)
def gaussian_slope(t, centre, sigma, chain, f, m_v, m_b):  # pragma: no cover - compiled
    """Add the derivatives of a Gaussian whose weighted profile is `f` to m_v and m_b.

    `chain` = (dcentre/dv, dsigma/dv, dsigma/db), times the line's amplitude.
    """
    inverse = 1.0 / sigma
    for i in range(
        np.searchsorted(t, centre - _REACH * sigma), np.searchsorted(t, centre + _REACH * sigma)
    ):
        d = (t[i] - centre) * inverse
        by_centre = f[i] * d * inverse
        m_v[i] += by_centre * (chain[0] + d * chain[1])
        m_b[i] += by_centre * d * chain[2]
