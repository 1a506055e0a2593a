"""Whether a background holds counts of the source itself, because its region covers the source's.

Counts of a background drawn beside the source fall into the source's channels by chance. The
resolution spreads every feature of a spectrum over several channels, so chance does the same to
the neighbours: with s and b the counts of source and background in channel i,

    P(k) = sum_i s(i) b(i + k)

is a parabola for small lags k, but for k = 0 where events are in both, each of which adds one.
The excess over the even parabola through the lags 1 to 3 on either side is the number of shared
events. It is a sum of s(i) times b(i) less a mean of its neighbours, which varies by 3/2 of the
rate of b, so that without shared events its variance is 3/2 of the sum of the products of the
two rates. In a bright spectrum the chance is great and the shared events few: there is more to
see the fainter the two are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The value at lag 0 of the parabola a + c k^2 through lags 1, 2 and 3, least squares; half for
# either side. Three channels are less than half of the resolution of a CCD.
_WEIGHTS = {1: 3 / 7, 2: 3 / 14, 3: -1 / 7}
_SPREAD = 1.0 + 2.0 * sum(weight**2 for weight in _WEIGHTS.values())  # 3/2
_REACH = 7  # channels on either side over which rates are averaged


class Shared(NamedTuple):
    """Events that are in both spectra."""

    events: float
    z: float


def shared_events(source: Array, beside: Array) -> Shared:
    """Estimate how many events two spectra share.

    Parameters
    ----------
    source, beside : ndarray, shape (channel,)
        Counts on the same native channels.

    Returns
    -------
    Shared
        The number, negative by chance, and the same in its standard deviations; both zero where
        one spectrum is empty.
    """
    widest = max(_WEIGHTS)
    inside = slice(widest, max(source.size - widest, widest))  # what every lag has
    moved = {
        lag: float(np.roll(source, -lag)[inside] @ beside[inside])
        for lag in range(-widest, widest + 1)
    }
    by_chance = sum(weight * (moved[lag] + moved[-lag]) for lag, weight in _WEIGHTS.items())
    box = np.full(2 * _REACH + 1, 1.0 / (2 * _REACH + 1))
    rate, other = (np.convolve(array, box, mode="same") for array in (source, beside))
    variance = _SPREAD * float(rate[inside] @ other[inside])
    if variance <= 0:
        return Shared(0.0, 0.0)
    excess = moved[0] - by_chance
    return Shared(excess, excess / float(np.sqrt(variance)))
