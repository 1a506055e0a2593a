"""The axis of a SITELLE cube: the numbers it follows from, held against what the file says.

With n channels, mirror step s [nm] and folding order o it is linspace(min, max, n) with
d = corr 1e7 / (2 n s), min = o corr 1e7 / (2 s) (+ d if o is odd) and
max = (o + 1) corr 1e7 / (2 s) (- d if o is even). It is used here only to catch a file whose
attributes contradict each other; `kernels/axis.py` makes the axis that is fitted on.
"""

from numpy.typing import NDArray

from .errors import InputError
from .records import FtsAxis
from .sitelle_header import Metadata, apodization_of


def axis_ends(axis: FtsAxis, corr: float) -> tuple[float, float]:
    """First and last wavenumber [cm-1] of the axis of a spaxel with correction `corr`."""
    limit = corr * 1e7 / (2 * axis.step_nm)
    step = limit / axis.channels
    odd = axis.order % 2
    return (
        axis.order * limit + (step if odd else 0.0),
        (axis.order + 1) * limit - (0.0 if odd else step),
    )


def read_axis(
    metadata: Metadata, channels: int, stored: NDArray | None, calib_corr: float | None
) -> tuple[FtsAxis, list[str]]:
    """Read the numbers the axis follows from, and check them against what the file says.

    Parameters
    ----------
    metadata : Metadata
    channels : int
        Channels of the data.
    stored : ndarray, shape (channel,), or None
        The dataset `axis` [cm-1].
    calib_corr : float or None
        Median of the laser map over the nominal wavelength.

    Returns
    -------
    axis : FtsAxis
    notes : list of str

    Raises
    ------
    InputError
        If a number is missing or impossible, or disagrees with the stored axis.
    """
    step, order = metadata.number("step"), metadata.whole("order")
    step_nb, zpd = metadata.whole("step_nb"), metadata.whole("zpd_index")
    if step <= 0 or order < 0:
        raise InputError(
            f"{metadata.file}: step is {step:g} nm and order {order}; the step must be positive, "
            "the order not negative: correct them in the file"
        )
    if not 0 <= zpd < step_nb:
        raise InputError(
            f"{metadata.file}: zpd_index is {zpd} but step_nb is {step_nb}; zero path difference "
            "is one of the steps, correct the attributes"
        )
    notes = []
    if step_nb != channels:
        notes.append(f"{channels} channels but step_nb {step_nb}: the line width follows step_nb")
    if metadata.text("wavetype").upper() == "WAVELENGTH":
        raise InputError(
            f"{metadata.file}: wavetype is WAVELENGTH; spectra must be on their wavenumber axis, "
            "take the cube before it was resampled"
        )
    calibrated = "axis_corr" in metadata
    if "wavenumber_calibration" in metadata:
        calibrated = metadata.flag("wavenumber_calibration")
    else:
        said = "there is" if calibrated else "there is no"
        state = "on one common axis" if calibrated else "each on its own axis"
        notes.append(f"wavenumber_calibration is not said; {said} axis_corr: spectra are {state}")
    draft = FtsAxis(channels, step, order, step_nb, zpd, 1.0, calibrated, apodization_of(metadata))
    corr, note = _axis_corr(metadata, draft, stored, calib_corr)
    axis = FtsAxis(channels, step, order, step_nb, zpd, corr, calibrated, draft.apodization)
    _check_axis(metadata, axis, stored)
    return axis, notes + ([note] if note else [])


def _axis_corr(
    metadata: Metadata, axis: FtsAxis, stored: NDArray | None, calib_corr: float | None
) -> tuple[float, str]:
    """Find the correction of the common axis; several things a file may say imply it."""
    if "axis_corr" in metadata:
        corr = metadata.number("axis_corr")
        if not 0.99 <= corr <= 2.0:
            raise InputError(
                f"{metadata.file}: axis_corr is {corr:g}, not 1 / cos of an angle (1 to 2); "
                "correct it in the file"
            )
        return corr, ""
    unit_end = axis_ends(axis, 1.0)[0 if axis.order else 1]
    name = ("axis_min", "CRVAL3") if axis.order else ("axis_max",)
    for said in name:
        if said in metadata:
            return metadata.number(said) / unit_end, f"axis_corr is missing: it follows from {said}"
    if stored is not None:
        end = float(stored[0 if axis.order else -1])
        return end / unit_end, "axis_corr is missing: it follows from the dataset axis"
    if calib_corr is not None and not axis.calibrated:
        return calib_corr, "axis_corr is missing: the median of calib_map stands for it"
    metadata.number("axis_corr")
    raise AssertionError("a missing axis_corr raises")


def _check_axis(metadata: Metadata, axis: FtsAxis, stored: NDArray | None) -> None:
    """Compare the computed axis with what the file says, to half a channel."""
    first, last = axis_ends(axis, axis.axis_corr)
    half = 0.5 * (last - first) / max(1, axis.channels - 1)
    told: list[tuple[str, float, float]] = []
    if stored is not None:
        if stored.shape != (axis.channels,):
            raise InputError(
                f"{metadata.file}: data have {axis.channels} channels but axis has "
                f"{' x '.join(map(str, stored.shape))}; export the cube again"
            )
        told += [("axis begins", float(stored[0]), first), ("axis ends", float(stored[-1]), last)]
    if "axis_min" in metadata and "axis_max" in metadata:
        told.append(("axis_min is", metadata.number("axis_min"), first))
        told.append(("axis_max is", metadata.number("axis_max"), last))
    if metadata.text("CUNIT3") == "cm-1" and metadata.number("CRPIX3", 0.0) == 1.0:
        told.append(("CRVAL3 is", metadata.number("CRVAL3"), first))
    for what, found, expected in told:
        if not abs(found - expected) <= half:
            raise InputError(
                f"{metadata.file}: {what} {found:.3f} cm-1 but step {axis.step_nm:g}, order "
                f"{axis.order}, axis_corr {axis.axis_corr:.6f} and {axis.channels} channels give "
                f"{expected:.3f}; correct the attribute that is wrong"
            )


def check_band(file: str, axis: FtsAxis, band: tuple[float, float] | None) -> None:
    """Refuse an axis on which the filter passes nothing."""
    first, last = axis_ends(axis, axis.axis_corr)
    if band is not None and not (band[0] < last and band[1] > first):
        raise InputError(
            f"{file}: the filter passes {band[0]:.0f} to {band[1]:.0f} cm-1 but the axis runs "
            f"from {first:.0f} to {last:.0f}; correct step, order or the filter"
        )


def common_corr(metadata: Metadata, axis: FtsAxis, has_map: bool) -> tuple[float, list[str]]:
    """Correction for files without a laser map: the spectrum's own, or the common axis's."""
    if has_map:
        return axis.axis_corr, []
    for name in ("calib_coeff_orig", "calib_coeff"):
        if name in metadata:
            return metadata.number(name), []
    return axis.axis_corr, ["no calib_map: the angle of axis_corr stands for all spaxels"]
