"""Line shapes of the instruments, exact in float64: gaussian, sinc, sincgauss.

A line is ``amplitude * shape(offset)`` with ``shape(0) = 1``. The sinc is the response of an
unapodized Fourier-transform spectrometer; convolved with a Gaussian line of standard deviation s it
is the sincgauss (Martin, Prunet & Drissen 2016, arXiv:1608.05854), the normalised cosine integral

    f = I(u, a) / I(0, a),   I(u, a) = int_0^1 exp(-a^2 t^2) cos(u t) dt,
    u = pi offset / W,       a = pi s / (sqrt 2 W).

With the Faddeeva function w and b = u / (2 a) = offset / (sqrt 2 s),

    f = [exp(-b^2) - exp(-a^2) (cos u Re w(b + ia) - sin u Im w(b + ia))] / erf(a),

where no term overflows. For small `a` both differences cancel and the series in a^2 is used.
These are the definitions: simulators use them and tests hold `profile.py`, which is fast, to them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, spherical_jn, wofz

Array = NDArray[np.float64]

_SERIES_BELOW = 0.01  # here the series leaves out 1e-14 and the closed form loses as much


def gaussian(offset: ArrayLike, sigma: ArrayLike) -> Array:
    """Gaussian line shape, peak one.

    Parameters
    ----------
    offset : array_like, shape (spaxel, channel)
        Coordinate minus line centre.
    sigma : array_like, broadcast against `offset`
        Standard deviation in the unit of `offset`, positive.
    """
    offset, sigma = np.asarray(offset, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    return np.exp(-0.5 * np.square(offset / sigma))


def sinc(offset: ArrayLike, width: ArrayLike) -> Array:
    """Line shape of an unapodized FTS for an unbroadened line, peak one.

    Parameters
    ----------
    offset : array_like, shape (spaxel, channel)
        Wavenumber minus line centre [cm-1].
    width : array_like, broadcast against `offset`
        Distance from the peak to the first zero [cm-1], 1 / (2 MPD).
    """
    return np.sinc(np.asarray(offset, dtype=np.float64) / np.asarray(width, dtype=np.float64))


def sincgauss(offset: ArrayLike, sigma: ArrayLike, width: ArrayLike) -> Array:
    """Line shape of an unapodized FTS for a line with a Gaussian profile, peak one.

    Parameters
    ----------
    offset : array_like, shape (spaxel, channel)
        Wavenumber minus line centre [cm-1].
    sigma : array_like, broadcast against `offset`
        Standard deviation of the line [cm-1]; zero gives the pure sinc.
    width : array_like, broadcast against `offset`
        Width of the sinc [cm-1].

    Returns
    -------
    ndarray
        Profile, of the shape the arguments broadcast to.

    Notes
    -----
    Martin, Prunet & Drissen (2016), eq. 14, in the form of this module's docstring.
    """
    to_u = np.pi / np.asarray(width, dtype=np.float64)
    u, a = np.broadcast_arrays(
        np.asarray(offset, dtype=np.float64) * to_u,
        np.asarray(sigma, dtype=np.float64) * to_u / np.sqrt(2),
    )
    narrow = a < _SERIES_BELOW
    out = np.empty(u.shape)
    out[narrow] = _series(u[narrow], a[narrow])
    out[~narrow] = _closed(u[~narrow], a[~narrow])
    return out


def _closed(u: Array, a: Array) -> Array:
    b = u / (2 * a)
    w = wofz(b + 1j * a)
    turning = np.exp(-a * a) * (np.cos(u) * w.real - np.sin(u) * w.imag)
    return (np.exp(-b * b) - turning) / erf(a)


def _series(u: Array, a: Array) -> Array:
    """I(u, a) / I(0, a) to a^4, with int_0^1 t^2 cos ut and t^4 cos ut by spherical Bessels."""
    q, u = a * a, np.maximum(np.abs(u), 1e-100)  # scipy's j_n is NaN at denormal numbers
    j0, j2, j4 = (spherical_jn(n, u) for n in (0, 2, 4))
    second = j0 / 3 - 2 * j2 / 3  # t^2 = P0/3 + 2 P2/3;  int_0^1 P_n cos ut = (-1)^(n/2) j_n
    fourth = j0 / 5 - 4 * j2 / 7 + 8 * j4 / 35
    return (j0 - q * second + q * q / 2 * fourth) / (1 - q / 3 + q * q / 10)


def gaussian_flux(sigma: ArrayLike) -> Array:
    """Integral of a Gaussian of peak one, in the unit of `sigma`."""
    return np.sqrt(2 * np.pi) * np.asarray(sigma, dtype=np.float64)


def sinc_flux(width: ArrayLike) -> Array:
    """Integral of a sinc of peak one, in the unit of `width`."""
    return np.asarray(width, dtype=np.float64) * 1.0


def sincgauss_flux(sigma: ArrayLike, width: ArrayLike) -> Array:
    """Integral of a sincgauss of peak one, in the unit of `width`; W at sigma zero.

    sqrt(2 pi) sigma / erf(a): the integral of the cosine transform is its value at t = 0.
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    a = np.pi * sigma / (np.sqrt(2) * width)
    safe = np.where(a > 1e-8, a, 1.0)
    ratio = np.where(a > 1e-8, safe / erf(safe), np.sqrt(np.pi) / 2)  # a / erf(a)
    return 2 / np.sqrt(np.pi) * ratio * width


def sincgauss_power(sigma: ArrayLike, width: ArrayLike) -> Array:
    """Slope d ln flux / d ln sigma of a sincgauss of peak one.

    1 - 2 a exp(-a^2) / (sqrt(pi) erf(a)): from 2 a^2 / 3 for narrow lines to 1 for broad ones.
    """
    a = np.pi * np.asarray(sigma, dtype=np.float64) / (np.sqrt(2) * width)
    safe = np.where(a > 1e-3, a, 1.0)
    slope = 1 - 2 / np.sqrt(np.pi) * safe * np.exp(-safe * safe) / erf(safe)
    return np.where(a > 1e-3, slope, 2 * a * a / 3)
