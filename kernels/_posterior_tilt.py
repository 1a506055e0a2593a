"""Compiled correction of `posterior.py`: by how much the reduced basis errs about a mode.

The basis is single precision and its rank finite: it errs by some 1e-5 of what the lines gain in
chi2, which for a bright spectrum is a tenth of a standard deviation, and more of the evidence. Over
a mode so narrow the error is a plane in velocity and squared broadening, in which profiles are
even. Exact profiles at three points fix it, and the mean by which amplitudes are off; at a radius
of 2^(1/2) standard deviations their mean is that over a Gaussian, to second order.

A tilt is (offset, slope in v, slope in b^2, v and b^2 of its origin, shifts of the amplitudes).
"""

import math
from typing import Final

import numpy as np
from numba import njit

from ._posterior_point import (
    ACROSS,
    ALONG,
    AT_SQUARE,
    AT_V,
    EXACT,
    OFFSET,
    REDUCED,
    SHIFTS,
    density,
)
from .profile import SINC

BRIGHT: Final = 120.0  # gain of a mode whose error is worth three exact points
_AT = ((0.0, 1.0), (-0.8660254037844386, -0.5), (0.8660254037844386, -0.5))
_RADIUS = math.sqrt(2.0)


@njit(cache=True, nogil=True, error_model="numpy")
def tilt_about(case, centre, sigma):  # pragma: no cover - compiled
    """Fill the tilt, level so far, of a mode on the reduced basis; exact evaluations."""
    model, theta, spectrum, exact, tables, small, prior = case
    if spectrum[0] != REDUCED or model[0] == SINC:
        return 0
    x, y, error, shifts = np.empty(3), np.empty(3), np.zeros(3), np.zeros(small[2].size)
    for i in range(3):
        v = centre[0] + _RADIUS * sigma[0] * _AT[i][0]
        b = abs(centre[1] + _RADIUS * sigma[1] * _AT[i][1])
        x[i], y[i] = v - centre[0], b * b - centre[1] * centre[1]
        for engine, sign in ((REDUCED, -1.0), (EXACT, 1.0)):
            theta[0], theta[1] = v, b
            own = engine, spectrum[1], spectrum[2]
            error[i] += sign * density(model, theta, own, exact, tables, small, prior)
            for a in range(shifts.size):
                shifts[a] += sign * small[2][a] / 3.0
    x1, x2, y1, y2 = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0]
    e1, e2 = error[1] - error[0], error[2] - error[0]
    area, tilt = x1 * y2 - x2 * y1, tables[4]
    if area != 0.0:
        tilt[ALONG], tilt[ACROSS] = (e1 * y2 - e2 * y1) / area, (x1 * e2 - x2 * e1) / area
    tilt[OFFSET] = error[0] - tilt[ALONG] * x[0] - tilt[ACROSS] * y[0]
    tilt[AT_V], tilt[AT_SQUARE] = centre[0], centre[1] * centre[1]
    tilt[SHIFTS:] = shifts
    return 3
