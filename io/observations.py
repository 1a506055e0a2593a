"""X-ray observations as records: counts, response and background on the native channels.

Axes are named in this order: ``(energy, channel)``. Energies are in keV, areas in cm2, exposures
in s. A response folds as

    counts(channel) = exposure * area_scale(channel) * sum_energy photons(energy) * area(energy)
                      * matrix(energy, channel),    photons = int flux dE  [photons/cm2/s].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .errors import InputError
from .records import BatchKey

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Response:
    """An ARF and an RMF that belong together.

    Parameters
    ----------
    name : str
        The files it was read from.
    energy_low, energy_high : ndarray, shape (energy,)
        Edges of the photon energies [keV], increasing; the lowest may be 0.
    area : ndarray, shape (energy,)
        Effective area of the ARF [cm2]; one where the matrix holds it.
    matrix : csr_array, shape (energy, channel)
        Redistribution; its rows sum to about one, to less where it holds an efficiency, to the
        area where it holds that.
    channel_low, channel_high : ndarray, shape (channel,)
        Nominal energies of the channels [keV].
    first_channel : int
        Number of the first channel, 0 or 1 as a rule.
    notes : tuple of str
        What the reader had to assume or mend.
    """

    name: str
    energy_low: Array
    energy_high: Array
    area: Array
    matrix: csr_array
    channel_low: Array
    channel_high: Array
    first_channel: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse grids that disagree."""
        energies, channels = self.energies, self.channels
        for name, shape in (
            ("energy_high", (energies,)),
            ("area", (energies,)),
            ("channel_high", (channels,)),
            ("matrix", (energies, channels)),
        ):
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(f"{self.name}: {name} has shape {found}, not {shape}")

    @property
    def channels(self) -> int:
        """Count the channels."""
        return self.channel_low.size

    @property
    def energies(self) -> int:
        """Count the energy bins."""
        return self.energy_low.size

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        matrix = self.matrix
        sparse = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        return sparse + 8 * (3 * self.energies + 2 * self.channels)


@dataclass(frozen=True, slots=True)
class Background:
    """Counts taken beside the source, on the channels of its response.

    Parameters
    ----------
    name : str
        The file.
    counts : ndarray, shape (channel,)
        As observed.
    scale : ndarray, shape (channel,)
        Counts expected in the source's spectrum for one count here: exposure x BACKSCAL x
        AREASCAL of the source over that of the background.
    exposure : float
        [s].
    poisson : bool
        False where the counts are not whole: a model or a mean, whose own scatter is not known.
    rmf, arf : str
        Paths of its own response, "" where it has none; read with `ogip.read_response`.
    """

    name: str
    counts: Array
    scale: Array
    exposure: float
    poisson: bool = True
    rmf: str = ""
    arf: str = ""

    @property
    def expected(self) -> Array:
        """Background counts expected in the source's spectrum, shape (channel,)."""
        return self.counts * self.scale

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        return self.counts.nbytes + self.scale.nbytes


@dataclass(frozen=True, slots=True)
class Observation:
    """One spectrum with its response.

    Parameters
    ----------
    name : str
        File name, with the row [n] where the file holds more than one spectrum.
    path : str
        The file.
    counts : ndarray, shape (channel,)
        Whole counts per native channel of the response; 0 where `good` is False.
    good : ndarray of bool, shape (channel,)
        False for channels of bad quality, and for those the file does not have.
    exposure : float
        [s].
    area_scale : ndarray, shape (channel,)
        AREASCAL: what the area of the response has to be multiplied with.
    response : Response
    background : Background or None
    grouping : ndarray of int16, shape (channel,), or None
        1 where the file begins a group, -1 where it goes on, 0 where there is none; not applied.
    observation, target, instrument : str
        As the file says; "" if it does not.
    notes : tuple of str
        What the reader had to assume or mend, those of the response behind.
    """

    name: str
    path: str
    counts: Array
    good: NDArray[np.bool_]
    exposure: float
    area_scale: Array
    response: Response
    background: Background | None = None
    grouping: NDArray[np.int16] | None = None
    observation: str = ""
    target: str = ""
    instrument: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays whose channels disagree."""
        shape = (self.response.channels,)
        background = self.background
        for name, array in (
            ("counts", self.counts),
            ("good", self.good),
            ("area_scale", self.area_scale),
            ("grouping", self.grouping),
            ("the background", None if background is None else background.counts),
            ("the background's scale", None if background is None else background.scale),
        ):
            if array is not None and array.shape != shape:
                raise InputError(
                    f"{self.name}: {name} has shape {array.shape}, the response {shape} channels"
                )

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, the response included."""
        own = self.counts.nbytes + self.good.nbytes + self.area_scale.nbytes
        other = 0 if self.background is None else self.background.nbytes
        grouping = 0 if self.grouping is None else self.grouping.nbytes
        return own + other + grouping + self.response.nbytes

    def band(self, low: float, high: float) -> NDArray[np.bool_]:
        """Tell which good channels have their centre between two energies [keV], low included."""
        response = self.response
        centre = 0.5 * (response.channel_low + response.channel_high)
        return self.good & (centre >= low) & (centre < high)


@dataclass(frozen=True, slots=True)
class RefusedObservation:
    """An observation that cannot be read: it keeps its row, which says why.

    Parameters
    ----------
    name, path : str
        As of an `Observation`.
    reason : str
        One line with the cure.
    """

    name: str
    path: str
    reason: str

    @property
    def nbytes(self) -> int:
        """Memory held by the text."""
        return len(self.reason)


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """Observations of one batch.

    Parameters
    ----------
    key : BatchKey
        Which observations of the plan these are.
    observations : tuple of Observation or RefusedObservation
        In the order of the plan.
    """

    key: BatchKey
    observations: tuple[Observation | RefusedObservation, ...]

    def __post_init__(self) -> None:
        """Refuse a batch that is longer or shorter than its key."""
        if len(self.observations) != len(self.key):
            raise InputError(
                f"{self.key}: {len(self.observations)} observations, not {len(self.key)}"
            )

    def __len__(self) -> int:
        """Count the observations."""
        return len(self.key)

    @property
    def nbytes(self) -> int:
        """Memory held; a response that several observations share is counted once."""
        shared = {
            id(found.response): found.response.nbytes
            for found in self.observations
            if isinstance(found, Observation)
        }
        own = sum(
            found.nbytes - (found.response.nbytes if isinstance(found, Observation) else 0)
            for found in self.observations
        )
        return own + sum(shared.values())
