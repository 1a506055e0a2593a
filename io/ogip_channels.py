"""Which channel of the response each channel of a spectrum is."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .observations import Response
from .ogip_pha import Spectrum

_Value = TypeVar("_Value", bound=np.generic)


def place(spectrum: Spectrum, response: Response, notes: list[str]) -> NDArray[np.int64]:
    """Find the place of every channel of a spectrum among those of the response.

    Parameters
    ----------
    spectrum : Spectrum
    response : Response
    notes : list of str
        Told here where the two count from different numbers.

    Returns
    -------
    ndarray of int, shape (channel of the spectrum,)

    Raises
    ------
    InputError
        If the spectrum has channels the response has not.
    """
    first, count = response.first_channel, response.channels
    channels = spectrum.channels
    if channels.size == 0:
        raise InputError(f"{spectrum.name}: it has no channels; give a spectrum")
    index = channels - first
    if index.min() >= 0 and index.max() < count:
        return index
    low, high = int(channels.min()), int(channels.max())
    if index.size == count and high - low + 1 == count:
        notes.append(
            f"channels are counted from {low}, those of the response from {first}: matched in order"
        )
        return index - index.min()
    raise InputError(
        f"{spectrum.name} has channels {low} to {high} but {response.name} has {first} to "
        f"{first + count - 1}; give the response made for it"
    )


def spread(
    values: NDArray[_Value], index: NDArray[np.int64], channels: int, *, fill: float = 0.0
) -> NDArray[_Value]:
    """Put values of a spectrum's channels on those of the response.

    Parameters
    ----------
    values : ndarray, shape (channel of the spectrum,)
    index : ndarray of int, shape (channel of the spectrum,)
        From `place`.
    channels : int
        Of the response.
    fill : float
        For channels the spectrum does not have.

    Returns
    -------
    ndarray, shape (channel,)
        Of the type of `values`.
    """
    full = np.full(channels, fill, dtype=values.dtype)
    full[index] = values
    return full
