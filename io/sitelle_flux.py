"""From the numbers a SITELLE cube stores to flux, by its level.

Levels 1, 2 and 2.5 are in erg/s/cm2/A. Level 3 holds counts, and

    flux = counts * flambda / channels / exposure_time

with flambda one value or one for each channel. Without flambda they stay counts.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .sitelle_header import Metadata

FLUX_UNIT = "erg/s/cm**2/Angstrom"
COUNT_UNIT = "count"


def flux_factor(
    metadata: Metadata, level: float, channels: int
) -> tuple[NDArray[np.float64] | None, str, list[str]]:
    """Find what makes stored numbers into flux.

    Parameters
    ----------
    metadata : Metadata
    level : float
        1, 2, 2.5 or 3.
    channels : int

    Returns
    -------
    factor : ndarray, shape (channel,), or None
        To multiply the data by, NaN where flambda is not positive; None to leave them as they are.
    unit : str
        Of the product, as FITS writes it.
    notes : list of str

    Raises
    ------
    InputError
        If flambda or the exposure time cannot be used.
    """
    if level != 3:
        if "flux_calibration" in metadata and not metadata.flag("flux_calibration"):
            return None, COUNT_UNIT, ["flux_calibration is false: the data stay in counts"]
        return None, FLUX_UNIT, []
    if "flambda" not in metadata:
        return None, COUNT_UNIT, ["flambda is missing: the data stay in counts"]
    flambda = metadata.vector("flambda")
    if flambda.ndim > 0 and flambda.shape != (channels,):
        raise InputError(
            f"{metadata.file}: flambda has {flambda.size} values but the data {channels} channels; "
            "give one value, or one for each channel"
        )
    exposure = metadata.number("exposure_time")
    good = np.isfinite(flambda) & (flambda > 0)
    if exposure <= 0 or not np.any(good):
        raise InputError(
            f"{metadata.file}: exposure_time is {exposure:g} s and {np.count_nonzero(good)} of "
            f"{good.size} values of flambda are positive; correct them in the file, or remove "
            "flambda to fit counts"
        )
    factor = np.broadcast_to(np.where(good, flambda, np.nan) / channels / exposure, channels)
    bad = np.count_nonzero(~good)
    lost = [f"flambda is not positive in {bad} of {channels} channels: these are lost"]
    return factor, FLUX_UNIT, lost if bad else []
