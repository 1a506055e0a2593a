"""What passes between readers, recipes and the sink: frozen records, checked on construction.

Axes are named in this order: ``(spaxel, channel)``. House units are cm-1 for wavenumbers,
angstrom for wavelengths, nm for the mirror step of an interferometer and centimetres for its path
difference; the data keep the unit of their file, which the header names.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

AxisKind = Literal["wavenumber", "air", "vacuum"]


@dataclass(frozen=True, slots=True)
class BatchKey:
    """The unit of work, of retry and of resume: spaxels `start` to `stop` of a source's plan."""

    source: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        """Refuse an empty or negative range."""
        if not 0 <= self.start < self.stop:
            raise ValueError(f"{self.source}: batch {self.start}..{self.stop} is empty")

    def __len__(self) -> int:
        """Count the spaxels."""
        return self.stop - self.start

    def __str__(self) -> str:
        """Name the batch as messages and the ledger do."""
        return f"{self.source}[{self.start}:{self.stop}]"


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of spaxels, 0-based, ends excluded."""

    x0: int
    x1: int
    y0: int
    y1: int

    def __post_init__(self) -> None:
        """Refuse an empty rectangle."""
        if not (0 <= self.x0 < self.x1 and 0 <= self.y0 < self.y1):
            raise ValueError(f"area {self} is empty")

    @property
    def shape(self) -> tuple[int, int]:
        """Spaxels along x and y."""
        return self.x1 - self.x0, self.y1 - self.y0

    def __len__(self) -> int:
        """Count the spaxels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def __str__(self) -> str:
        """Write the area as the option --region does."""
        return f"{self.x0}:{self.x1},{self.y0}:{self.y1}"

    def positions(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """X and y of every spaxel, x slow and y fast, as all readers order them."""
        x, y = np.mgrid[self.x0 : self.x1, self.y0 : self.y1]
        return x.ravel().astype(np.int32), y.ravel().astype(np.int32)


@dataclass(frozen=True, slots=True)
class FtsAxis:
    """The numbers from which the wavenumber axis of an interferometer follows.

    Parameters
    ----------
    channels : int
        Channels of a spectrum.
    step_nm : float
        Step of the moving mirror [nm of optical path difference].
    order : int
        Folding order.
    step_nb, zpd_index : int
        Steps recorded and the index of zero path difference among them.
    axis_corr : float
        Calibration laser over its nominal wavelength on the common axis.
    calibrated : bool
        True where all spectra already lie on the common axis; the width of the line shape
        follows the spaxel's own angle in either case.
    apodization : float
        1 for none.
    """

    channels: int
    step_nm: float
    order: int
    step_nb: int
    zpd_index: int
    axis_corr: float
    calibrated: bool
    apodization: float = 1.0


@dataclass(frozen=True, slots=True)
class SampledAxis:
    """An axis given channel by channel, the same for all spaxels.

    Parameters
    ----------
    coordinate : ndarray, shape (channel,)
        Increasing; [cm-1] for wavenumber, [angstrom] for air and vacuum wavelengths.
    kind : {"wavenumber", "air", "vacuum"}
        What `coordinate` is.
    lsf_sigma : ndarray, shape (channel,), or None
        Gaussian line spread of the instrument, in the unit of `coordinate`, where the file says.
    """

    coordinate: NDArray[np.float64]
    kind: AxisKind
    lsf_sigma: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse an axis that does not increase."""
        if self.coordinate.ndim != 1 or not np.all(np.diff(self.coordinate) > 0):
            raise ValueError("an axis must increase from channel to channel")
        if self.lsf_sigma is not None and self.lsf_sigma.shape != self.coordinate.shape:
            raise ValueError(
                f"lsf_sigma has {self.lsf_sigma.shape[0]} channels, "
                f"the axis {self.coordinate.shape[0]}"
            )

    @property
    def channels(self) -> int:
        """Channels of a spectrum."""
        return self.coordinate.shape[0]


@dataclass(frozen=True, slots=True)
class CubeHeader:
    """What is known of a cube before any spectrum is read.

    Parameters
    ----------
    name : str
        File name, as errors name it.
    layout : str
        The format in words, "SITELLE level 2, chunked 32 x 65 x 27, memory-mapped".
    shape : (nx, ny)
        Spaxels along FITS axis 1 and 2.
    axis : FtsAxis or SampledAxis
        The spectral axis.
    unit : str
        Unit of the data as FITS writes it, the power of ten included; "" if unknown.
    instrument, filter_name, target : str
        As the file says; "" if it does not.
    band : (low, high) or None
        Light passes between these [cm-1], of an FTS with a filter.
    redshift : float or None
        Of the target, where the file says.
    has_variance, has_imaginary : bool
        What the batches will carry.
    celestial : dict
        FITS cards of the celestial WCS (axes 1 and 2), empty if there is none.
    notes : tuple of str
        What the reader had to assume or mend, a line each, for `validate` and the log.
    """

    name: str
    layout: str
    shape: tuple[int, int]
    axis: FtsAxis | SampledAxis
    unit: str = ""
    instrument: str = ""
    filter_name: str = ""
    target: str = ""
    band: tuple[float, float] | None = None
    redshift: float | None = None
    has_variance: bool = False
    has_imaginary: bool = False
    celestial: dict[str, str | float | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpectralBatch:
    """Spectra of one batch.

    Parameters
    ----------
    key : BatchKey
        Which spaxels of the plan these are.
    x, y : ndarray of int32, shape (spaxel,)
        0-based position: FITS pixel minus one (in bins where the source bins).
    data : ndarray of float32 or float64, shape (spaxel, channel)
        Real part; NaN where a channel is masked or bad.
    corr : ndarray of float64, shape (spaxel,), or None
        Of an FTS: measured over nominal laser wavelength, 1 / cos(theta); NaN where unknown.
    variance : ndarray, shape (spaxel, channel), or None
        In the square of the data's unit; NaN or not positive where a channel is bad.
    imaginary : ndarray, shape (spaxel, channel), or None
        Imaginary part of a complex cube.
    around : SpectralBatch or None
        The spaxels that border on these, where the source was asked for them; they give no rows.
    """

    key: BatchKey
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    data: NDArray[np.floating]
    corr: NDArray[np.float64] | None = None
    variance: NDArray[np.floating] | None = None
    imaginary: NDArray[np.floating] | None = None
    around: "SpectralBatch | None" = None

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes disagree."""
        spaxels = len(self.key)
        if self.data.ndim != 2 or self.data.shape[0] != spaxels:
            raise InputError(f"{self.key}: data have shape {self.data.shape}, not ({spaxels}, ...)")
        for name in ("x", "y", "corr"):
            array = getattr(self, name)
            if array is not None and array.shape != (spaxels,):
                raise InputError(f"{self.key}: {name} has shape {array.shape}, not ({spaxels},)")
        for name in ("variance", "imaginary"):
            array = getattr(self, name)
            if array is not None and array.shape != self.data.shape:
                raise InputError(
                    f"{self.key}: {name} has shape {array.shape}, data {self.data.shape}"
                )

    def __len__(self) -> int:
        """Count the spaxels."""
        return len(self.key)

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        arrays = (self.x, self.y, self.data, self.corr, self.variance, self.imaginary)
        own = sum(array.nbytes for array in arrays if array is not None)
        return own + (0 if self.around is None else self.around.nbytes)

    def part(self, rows: NDArray[np.bool_], key: BatchKey) -> "SpectralBatch":
        """Give some of the spaxels under another key, without what is around them."""
        optional = {
            name: None if (array := getattr(self, name)) is None else array[rows]
            for name in ("corr", "variance", "imaginary")
        }
        return SpectralBatch(
            key=key, x=self.x[rows], y=self.y[rows], data=self.data[rows], **optional
        )
