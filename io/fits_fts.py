"""The axis of an interferometer from the cards that ORB and LUCI write.

With mirror step STEP [nm], folding order ORDER and n channels the axis runs from corr ORDER /
(2 STEP) in steps of corr / (2 n STEP), one step later for odd orders; corr is AXISCORR.
The WCS of the third axis says the same once more: where the two disagree, as in a cube cut along
its spectral axis, the mirror steps no longer describe the channels.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fits_cards import Cards, number, text
from .records import FtsAxis

_SAME_AXIS = 1e-3  # of a channel: what rounding in a header may amount to


def fts_axis(
    cards: Cards, values: NDArray[np.float64], notes: list[str], *, where: str
) -> FtsAxis | None:
    """Describe a wavenumber axis by mirror steps.

    Parameters
    ----------
    cards : dict
        Of the cube.
    values : ndarray, shape (channel,)
        Increasing wavenumbers by the WCS [cm-1].
    notes : list of str
        What is assumed is added here.
    where : str
        The image, as errors name it.

    Returns
    -------
    FtsAxis or None
        None where the cards are missing or disagree with `values`, which a note then says.

    Raises
    ------
    InputError
        If a card is not a number, or the steps leave no path difference.
    """
    step_nm = number(cards, "STEP", where=where)
    order = number(cards, "ORDER", where=where)
    step_nb = number(cards, "STEPNB", "STEP_NB", where=where)
    zpd_index = number(cards, "ZPDINDEX", "ZPD_INDEX", where=where)
    if step_nm is None or order is None or step_nb is None or zpd_index is None:
        given = {"STEP": step_nm, "ORDER": order, "STEPNB": step_nb, "ZPDINDEX": zpd_index}
        lacking = ", ".join(name for name, value in given.items() if value is None)
        notes.append(f"no {lacking} in the header: the line shape of the FTS is not known")
        return None
    if step_nm <= 0 or order < 0 or step_nb <= zpd_index:
        raise InputError(
            f"{where}: STEP {step_nm}, ORDER {order:.0f}, STEPNB {step_nb:.0f} and ZPDINDEX "
            f"{zpd_index:.0f} leave no path difference; mend them"
        )
    channels = values.size
    spacing = float(values[-1] - values[0]) / (channels - 1)
    corr = number(cards, "AXISCORR", "AXIS_CORR", where=where)
    if corr is None:
        corr = spacing * 2e-7 * channels * step_nm
        notes.append(f"no AXISCORR in the header: {corr:.6f} follows from the step of the axis")
    off = _disagreement(values, step_nm=step_nm, order=int(order), corr=corr)
    if off > _SAME_AXIS:
        notes.append(
            f"STEP and ORDER put the axis {off:.3g} channels from CRVAL3 and CDELT3, which are "
            "taken; the line shape of the FTS is not known"
        )
        return None
    notes.append("no map of the calibration laser: the line shape has the width of AXISCORR")
    return FtsAxis(
        channels=channels,
        step_nm=step_nm,
        order=int(order),
        step_nb=int(step_nb),
        zpd_index=int(zpd_index),
        axis_corr=corr,
        calibrated=True,
        apodization=_apodization(cards, where),
    )


def _apodization(cards: Cards, where: str) -> float:
    """Give the apodization; 1, 0 or the word None mean there is none."""
    if text(cards, "APODIZ", "APODIZATION").lower() in ("", "none"):
        return 1.0
    return number(cards, "APODIZ", "APODIZATION", where=where) or 1.0


def _disagreement(values: NDArray[np.float64], *, step_nm: float, order: int, corr: float) -> float:
    """Give the largest distance [channel] between the WCS and the mirror steps."""
    channels = values.size
    spacing = corr / (2.0 * channels * step_nm) * 1e7
    first = order / (2.0 * step_nm) * corr * 1e7 + (spacing if order % 2 else 0.0)
    return float(np.max(np.abs(first + spacing * np.arange(channels) - values))) / spacing
