"""Compiled line profiles with derivatives: what `varpro.py` evaluates millions of times a second.

The same shapes as `ils.py`, written for a loop that the compiler can vectorise:

- cos u and sin u on a uniform grid come from angle addition, not from a call per channel;
- exp(-b^2) is computed only where it is not zero to rounding;
- Faddeeva's w is Weideman's rational series with 24 terms (Weideman 1994, SIAM J. Numer. Anal. 31,
  1497, eq. 38) near the line and its five-term continued fraction (Abramowitz & Stegun 7.1.15)
  where |z| > 9: only where a line is are terms many, so their number costs little.

Derivatives follow from the profile itself. With I and u, a of `ils.py` and q = a^2,

    dI/du = (exp(-q) sin u - u I) / 2q,   dI/dq = (exp(-q) cos u - I - u dI/du) / 2q.

Everything here is in units of the caller's grid and holds for one spectrum and one line.
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

_TERMS = 24
_CONTINUED_FRACTION = 81.0  # |z|^2 beyond which the continued fraction holds to 1e-11
_SQRT_PI = math.sqrt(math.pi)
_INV_SQRT_PI = 1.0 / _SQRT_PI
_REACH = 6.5  # standard deviations; beyond, a Gaussian is below 7e-10


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
    """w(x + iy) for |z| < 9 by Weideman's series, real and imaginary part."""
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
    re = 2.0 * (p_re * inv_re - p_im * inv_im) + _INV_SQRT_PI
    im = 2.0 * (p_re * inv_im + p_im * inv_re)
    return re * inv_re - im * inv_im, re * inv_im + im * inv_re


@njit(inline="always", fastmath=FAST_MATH)
def _faddeeva_far(x, y):  # pragma: no cover - compiled
    """w(x + iy) for |z| > 9: i/sqrt(pi) (z^4 - 4.5 z^2 + 2) / (z (z^4 - 5 z^2 + 3.75))."""
    sq_re, sq_im = x * x - y * y, 2.0 * x * y
    qu_re, qu_im = sq_re * sq_re - sq_im * sq_im, 2.0 * sq_re * sq_im
    n_re, n_im = qu_re - 4.5 * sq_re + 2.0, qu_im - 4.5 * sq_im
    e_re, e_im = qu_re - 5.0 * sq_re + 3.75, qu_im - 5.0 * sq_im
    d_re, d_im = x * e_re - y * e_im, x * e_im + y * e_re
    norm = _INV_SQRT_PI / (d_re * d_re + d_im * d_im)
    return -(n_im * d_re - n_re * d_im) * norm, (n_re * d_re + n_im * d_im) * norm


@njit(inline="always")
def _between(value, high):  # pragma: no cover - compiled
    """Clip a channel; callers round to eight, so that vectors rarely leave a rest."""
    return max(0, min(high, value))


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def turns(step, cosine, sine):  # pragma: no cover - compiled
    """Fill cos(i step) and sin(i step) for every channel i by rotation, renewed every 64."""
    c1, s1 = math.cos(step), math.sin(step)
    for start in range(0, cosine.size, 64):
        c, s = math.cos(start * step), math.sin(start * step)
        for i in range(start, min(start + 64, cosine.size)):
            cosine[i], sine[i] = c, s
            c, s = c * c1 - s * s1, s * c1 + c * s1


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def sincgauss_row(u0, du, a, waves, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted profile on channels u0 + i du; `waves` holds the `turns` of du."""
    n = f.size
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    q = a * a
    peak = 1.0 / math.erf(a)
    turning = -math.exp(-q) * peak
    half = 0.5 / a
    centre = int(-u0 / du)
    reach = 0
    if q < _CONTINUED_FRACTION:
        reach = int(2.0 * a * math.sqrt(_CONTINUED_FRACTION - q) / du) + 2
    near, far = _between(centre - reach, n) & ~7, _between((centre + reach + 9) & ~7, n)
    for start, stop in ((0, near), (far, n)):
        for i in range(start, stop):
            re, im = _faddeeva_far((u0 + du * i) * half, a)
            c, s = c0 * cosine[i] - s0 * sine[i], s0 * cosine[i] + c0 * sine[i]
            f[i] = turning * weight[i] * (c * re - s * im)
    for i in range(near, far):
        re, im = _faddeeva_near((u0 + du * i) * half, a)
        c, s = c0 * cosine[i] - s0 * sine[i], s0 * cosine[i] + c0 * sine[i]
        f[i] = turning * weight[i] * (c * re - s * im)
    reach = int(12.0 * a / du) + 1  # b = 6: exp(-36)
    for i in range(_between(centre - reach, n), _between(centre + reach + 2, n)):
        b = (u0 + du * i) * half
        f[i] += peak * weight[i] * math.exp(-b * b)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def sincgauss_slope(u0, du, a, waves, chain, weight, f, m_v, m_b):  # pragma: no cover - compiled
    """Add the derivatives of a line whose weighted profile is `f` to m_v and m_b.

    `chain` = (du/dv, dq/dv, dq/db), times the line's amplitude, turns the derivatives by u and
    q = a^2 into those by velocity and broadening. All arrays have shape (channel,).
    """
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    q = a * a
    edge = 2.0 * a * _INV_SQRT_PI * math.exp(-q) / math.erf(a)  # exp(-q) / I(0, a)
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


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def sinc_row(u0, du, waves, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted sinc on channels u0 + i du."""
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    for i in range(f.size):
        u = u0 + du * i
        value = 1.0 - u * u / 6.0
        if abs(u) > 1e-4:
            value = (s0 * cosine[i] + c0 * sine[i]) / u
        f[i] = weight[i] * value


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def sinc_slope(u0, du, waves, u_v, weight, f, m_v):  # pragma: no cover - compiled
    """Add the derivative by velocity of a sinc whose weighted profile is `f`."""
    cosine, sine = waves
    c0, s0 = math.cos(u0), math.sin(u0)
    for i in range(f.size):
        u = u0 + du * i
        slope = -weight[i] * u / 3.0
        if abs(u) > 1e-4:
            slope = (weight[i] * (c0 * cosine[i] - s0 * sine[i]) - f[i]) / u
        m_v[i] += slope * u_v


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def gaussian_row(t, centre, sigma, weight, f):  # pragma: no cover - compiled
    """Fill f with the weighted Gaussian at coordinates `t`, zero beyond 6.5 sigma."""
    f[:] = 0.0
    inverse = 1.0 / sigma
    for i in range(
        np.searchsorted(t, centre - _REACH * sigma), np.searchsorted(t, centre + _REACH * sigma)
    ):
        d = (t[i] - centre) * inverse
        f[i] = weight[i] * math.exp(-0.5 * d * d)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
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
