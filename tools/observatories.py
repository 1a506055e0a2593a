"""From a plan to an instrument, the noise it sees and the file it writes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..io.records import Area, FtsAxis
from ..kernels.lines import default_lines, rest_wavelengths
from .cube_plan import CubePlan
from .filters import FILTERS
from .ifu_layouts import GRATINGS
from .observing import Slab
from .sitelle_cards import SITELLE_DTYPES, SitelleFile
from .spectrographs import Fourier, Grating, Instrument
from .write_ifu import IfuWriter, OrbFitsWriter
from .write_sitelle import SitelleWriter

_AXIS_CORR = 1.0374712062298759  # of the common axis: M31, SN3
_SITELLE_NOISE = 2e-17  # [erg/cm2/s/A]


class Writer(AbstractContextManager["Writer", None], Protocol):
    """A cube being written."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rectangle of spaxels the storage is written best in."""
        ...

    def write(self, area: Area, slab: Slab) -> None:
        """Write the spectra of an area, x slow and y fast."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """An instrument, how it is used, and the file it writes.

    Parameters
    ----------
    instrument : Instrument
        Axis, line shape and lines.
    noise : float
        Typical standard deviation of a channel, in `unit`.
    open_writer : callable
        Creates the file and gives its writer, a context manager.
    unit : str
        Of the calibrated data.
    axis : {"wavenumber", "air", "vacuum"}
        Kind of the spectral axis.
    with_imaginary, one_angle, loudness
        As `observing.Conditions` has them.
    """

    instrument: Instrument
    noise: float
    open_writer: Callable[[], Writer]
    unit: str
    axis: str
    with_imaginary: bool = False
    one_angle: float = 0.0
    loudness: NDArray[np.float64] | None = None


def set_up(plan: CubePlan) -> Setup:
    """Choose the instrument and the writer of a plan."""
    return _grating(plan) if plan.layout in GRATINGS else _fourier(plan)


def _fourier(plan: CubePlan) -> Setup:
    """Set up an FTS with the layout of SITELLE, ORB or LUCI."""
    filter_ = FILTERS[plan.filter_name]
    channels = plan.channels or 842
    axis = FtsAxis(
        channels=channels,
        step_nm=filter_.step_nm,
        order=filter_.order,
        step_nb=channels,
        zpd_index=channels // 5,
        axis_corr=_AXIS_CORR,
        calibrated=plan.calibrated,
    )
    low, high = filter_.low_nm, filter_.high_nm
    lines = plan.lines or default_lines(low, high, redshift=plan.redshift)
    exported = plan.layout not in SITELLE_DTYPES
    file = SitelleFile(
        shape=plan.shape,
        axis=axis,
        filter_name=plan.filter_name,
        band_nm=(low, high),
        target=_target(plan),
        level="level2" if exported else plan.layout,  # pyright: ignore[reportArgumentType]
        storage=plan.storage,
        dtype=plan.dtype or SITELLE_DTYPES.get(plan.layout, "f4"),
    )

    def open_writer() -> Writer:
        if exported:
            return OrbFitsWriter(plan.path, file, luci=plan.layout == "luci")
        return SitelleWriter(plan.path, file)

    return Setup(
        instrument=Fourier(axis, filter_, tuple(rest_wavelengths(lines)), plan.redshift),
        noise=_SITELLE_NOISE,
        open_writer=open_writer,
        unit="erg/s/cm**2/Angstrom",
        axis="wavenumber",
        with_imaginary=file.dtype in ("c8", "c16"),
        # No map of the angle travels with an export: one angle holds for its whole field.
        one_angle=_AXIS_CORR if exported else 0.0,
    )


def _grating(plan: CubePlan) -> Setup:
    """Set up a slicer or fibre spectrograph with its layout."""
    layout = GRATINGS[plan.layout]
    coordinate = layout.coordinate(plan.channels, plan.redshift)
    ends = coordinate[[0, -1]] / 10
    lines = plan.lines or default_lines(ends[0] + 1, ends[1] - 1, redshift=plan.redshift)
    instrument = Grating(
        coordinate, layout.vacuum, layout.resolution, tuple(rest_wavelengths(lines)), plan.redshift
    )
    return Setup(
        instrument=instrument,
        noise=layout.noise,
        open_writer=lambda: IfuWriter(
            plan.path, layout, instrument, shape=plan.shape, target=_target(plan)
        ),
        unit=layout.unit,
        axis="vacuum" if layout.vacuum else "air",
        loudness=layout.loudness(coordinate),
    )


def _target(plan: CubePlan) -> str:
    return f"simulated {plan.scene} {plan.seed}"
