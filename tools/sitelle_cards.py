"""What SITELLE cubes say of themselves: root attributes, and the FITS header of ORB.

Levels 2, 2.5 and 3 carry attributes, level 1 and the exports a FITS header. Names, values and units
follow the real files of M31, NGC 6946 and M57 as ORB wrote them (Martin, Drissen & Joncas 2015),
not what any reader expects of them.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..io.records import FtsAxis
from ..kernels.axis import SINC_FWHM, fts_grid, ils_width

LASER_NM = 543.5  # wavelength of the calibration laser
EXPOSURE_TIME = 13.7  # of one step of the interferogram [s]: M31, SN3
FLAMBDA = 3.42238544e-16  # [erg/cm2/A per count], the same cube

Level = Literal["level1", "level2", "level2.5", "level3"]
SITELLE_DTYPES = {"level1": "f4", "level2": "f4", "level2.5": "c8", "level3": "c8"}  # usual ones


@dataclass(frozen=True, slots=True)
class SitelleFile:
    """What a SITELLE cube says of itself.

    Parameters
    ----------
    shape : (nx, ny)
        Spaxels of the field.
    axis : FtsAxis
        Spectral axis.
    filter_name : str
        As SN3.
    band_nm : (low, high)
        Of the filter.
    target : str
        Name of the object.
    level : {"level1", "level2", "level2.5", "level3"}
        Which layout.
    storage : str
        One of `STORAGE`.
    dtype : str
        Of the data, "f4", "f8", "c8" or "c16".
    """

    shape: tuple[int, int]
    axis: FtsAxis
    filter_name: str
    band_nm: tuple[float, float]
    target: str
    level: Level
    storage: str
    dtype: str

    @property
    def per_count(self) -> float:
        """Flux of one count [erg/cm2/s/A]."""
        return FLAMBDA / self.axis.channels / EXPOSURE_TIME

    def grid(self) -> NDArray[np.float64]:
        """Wavenumbers of the common axis [cm-1]."""
        axis = self.axis
        return fts_grid(
            channels=axis.channels, step_nm=axis.step_nm, order=axis.order, corr=axis.axis_corr
        ).coordinates()

    def line_fwhm(self) -> float:
        """Full width at half maximum of an unbroadened line on the common axis [cm-1]."""
        axis = self.axis
        width = ils_width(
            step_nm=axis.step_nm,
            step_nb=axis.step_nb,
            zpd_index=axis.zpd_index,
            corr=axis.axis_corr,
        )
        return SINC_FWHM * float(width)


def celestial_cards(shape: tuple[int, int]) -> dict[str, str | float | int]:
    """FITS cards of a TAN-SIP projection, 0.32 arcsec per spaxel, a degree east of north."""
    scale, angle = 0.32 / 3600, np.deg2rad(1.2)
    return {
        "WCSAXES": 2,
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "CRVAL1": 23.462,
        "CRVAL2": 30.6602,
        "CRPIX1": 0.5 * shape[0] + 0.5,
        "CRPIX2": 0.5 * shape[1] + 0.5,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CDELT1": 1.0,
        "CDELT2": 1.0,
        "PC1_1": -scale * float(np.cos(angle)),
        "PC1_2": -scale * float(np.sin(angle)),
        "PC2_1": -scale * float(np.sin(angle)),
        "PC2_2": scale * float(np.cos(angle)),
        "A_ORDER": 2,
        "A_0_2": 1e-6,
        "A_1_1": -1e-7,
        "A_2_0": 9e-7,
        "B_ORDER": 2,
        "B_0_2": 5e-7,
        "B_1_1": 8e-7,
        "B_2_0": -6e-8,
        "RADESYS": "FK5",
        "EQUINOX": 2000.0,
        "LONPOLE": 180.0,
        "LATPOLE": 30.6602,
    }


def attributes(file: SitelleFile) -> dict[str, Any]:
    """Root attributes of levels 2, 2.5 and 3."""
    axis, grid = file.axis, file.grid()
    found: dict[str, Any] = {
        "level2" if file.level == "level2" else "level3": True,
        "instrument": "sitelle",
        "program": "stream-fit simulate",
        "object_name": file.target,
        "obs_date": "2016-08-25",
        "filter_name": file.filter_name,
        "filter_nm_min": file.band_nm[0],
        "filter_nm_max": file.band_nm[1],
        "filter_cm1_min": 1e7 / file.band_nm[1],
        "filter_cm1_max": 1e7 / file.band_nm[0],
        "step": axis.step_nm,
        "order": float(axis.order),
        "step_nb": axis.step_nb,
        "zpd_index": axis.zpd_index,
        "exposure_time": EXPOSURE_TIME,
        "nm_laser": LASER_NM,
        "apodization": axis.apodization,
        "wavenumber_calibration": axis.calibrated,
        "flux_calibration": True,
        "axis_corr": axis.axis_corr,
        "axis_min": grid[0],
        "axis_max": grid[-1],
        "axis_step": grid[1] - grid[0],
        "line_fwhm": file.line_fwhm(),
        "resolution": grid.mean() / file.line_fwhm(),
        "target_ra": 23.462,
        "target_dec": 30.6602,
        **celestial_cards(file.shape),
    }
    if file.level != "level2":
        found["flambda"] = np.full(axis.channels, FLAMBDA)
    if file.level == "level2.5":
        found["flambda2"] = FLAMBDA
    return found


def header_cards(file: SitelleFile) -> dict[str, tuple[Any, str]]:
    """Keywords of the FITS header of an ORB cube, with their comments."""
    axis, grid = file.axis, file.grid()
    cards: dict[str, tuple[Any, str]] = {
        "FILETYPE": ("Calibrated Spectrum Cube", "Type of file"),
        "OBJECT": (file.target, "Object"),
        "INSTRUME": ("SITELLE", "Instrument"),
        "FILTER": (file.filter_name, "Filter"),
        "DATE-OBS": ("2016-08-25", "Date of the observation"),
        "EXPTIME": (EXPOSURE_TIME, "Exposure time of a step [s]"),
        "ORDER": (axis.order, "Folding order"),
        "STEP": (axis.step_nm, "Step of the optical path difference [nm]"),
        "STEPNB": (axis.step_nb, "Number of steps"),
        "ZPDINDEX": (axis.zpd_index, "Step of zero path difference"),
        "CALIBNM": (LASER_NM, "Wavelength of the calibration laser [nm]"),
        "AXISCORR": (axis.axis_corr, "Calibration coefficient of the axis"),
        "APODIZ": (axis.apodization, "Apodization"),
        "WAVCALIB": (axis.calibrated, "Spectra lie on the common axis"),
        "WAVTYPE": ("WAVENUMBER", "Kind of spectral axis"),
        "FLAMBDA": (FLAMBDA, "Flux of a count [erg/cm2/A]"),
        "BUNIT": ("FLUX", "erg/cm2/s/A"),
        "CTYPE3": ("WAVE-SIP", ""),
        "CUNIT3": ("cm-1", ""),
        "CRPIX3": (1.0, ""),
        "CRVAL3": (grid[0], "First wavenumber"),
        "CDELT3": (grid[1] - grid[0], "Wavenumber per channel"),
    }
    return cards | {name: (card, "") for name, card in celestial_cards(file.shape).items()}


def header_rows(file: SitelleFile) -> NDArray[np.bytes_]:
    """Rows of keyword, value, comment and type name, as level 1 stores its header."""
    rows = [
        (name, str(value), comment, type(value).__name__)
        for name, (value, comment) in header_cards(file).items()
    ]
    rows.append(("COMMENT", "simulated by stream-fit", "", "comment"))
    return np.array(rows, dtype="S300")
