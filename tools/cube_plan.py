"""What cube to simulate: one frozen plan, checked when it is made."""

from dataclasses import dataclass
from pathlib import Path

from ..io.errors import InputError
from .filters import FILTERS
from .ifu_layouts import GRATINGS
from .scenes import SCENES
from .sitelle_cards import SITELLE_DTYPES
from .write_sitelle import STORAGE

LAYOUTS = (*SITELLE_DTYPES, "orb", "luci", *GRATINGS)
_SLAB_BYTES = 16 << 20  # of one array of a slab; about eight live at once


@dataclass(frozen=True, slots=True)
class CubePlan:
    """What to simulate.

    Parameters
    ----------
    path : Path
        The cube; the truth goes beside it.
    layout : str
        One of `LAYOUTS`.
    shape : (nx, ny)
        Spaxels of the field.
    channels : int
        0 for what is usual with the layout.
    filter_name : str
        Of an FTS, a key of `spectrographs.FILTERS`.
    lines : tuple of str
        Empty for the strong lines of the band.
    redshift : float
        Of the target.
    snr : (low, high)
        Peak of the brightest line over the noise of a channel.
    continuum : (low, high)
        Over the peak of the brightest line.
    scene : str
        A key of `scenes.SCENES`.
    storage : str
        How HDF5 stores the data, one of `write_sitelle.STORAGE`.
    dtype : str
        "f4", "f8", "c8" or "c16"; "" for what is usual with the layout.
    calibrated : bool
        Of an FTS: whether all spectra share one axis.
    bad : float
        Share of spaxels with a defect.
    seed : int
        Not negative.
    tile : int
        Number of different spectra to repeat over the field; 0 to simulate every spaxel.
    slab_bytes : int
        Memory for the data of one slab.
    """

    path: Path
    layout: str = "level2"
    shape: tuple[int, int] = (64, 64)
    channels: int = 0
    filter_name: str = "SN3"
    lines: tuple[str, ...] = ()
    redshift: float = 0.0
    snr: tuple[float, float] = (3.0, 100.0)
    continuum: tuple[float, float] = (0.0, 1.0)
    scene: str = "random"
    storage: str = "contiguous"
    dtype: str = ""
    calibrated: bool = True
    bad: float = 0.02
    seed: int = 0
    tile: int = 0
    slab_bytes: int = _SLAB_BYTES

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated, saying what can."""
        for name, known in (
            ("layout", LAYOUTS),
            ("filter_name", tuple(FILTERS)),
            ("scene", tuple(SCENES)),
            ("storage", STORAGE),
            ("dtype", ("", "f4", "f8", "c8", "c16")),
        ):
            if getattr(self, name) not in known:
                names = ", ".join(filter(None, known))
                raise InputError(f"simulate cube: {name} {getattr(self, name)!r}; choose {names}")
        for name, good, cure in (
            ("shape", min(self.shape) >= 3, "give NX,NY of at least 3,3"),
            ("channels", self.channels == 0 or self.channels >= 32, "give at least 32"),
            ("snr", 0 < self.snr[0] <= self.snr[1], "give LO,HI with 0 < LO <= HI"),
            ("continuum", 0 <= self.continuum[0] <= self.continuum[1], "give 0 <= LO <= HI"),
            ("bad", 0 <= self.bad <= 1, "give a share from 0 to 1"),
            ("seed", self.seed >= 0, "give 0 or more"),
            ("tile", self.tile >= 0, "give 0 or more"),
            ("redshift", self.redshift > -1, "give more than -1"),
        ):
            if not good:
                raise InputError(f"simulate cube: {name} is {getattr(self, name)}; {cure}")
        if self.layout == "level1" and not self.calibrated:
            raise InputError("simulate cube: level1 has one axis for all; leave out --uncalibrated")

    @property
    def truth_path(self) -> Path:
        """The table of the truth."""
        return self.path.with_suffix(".truth.parquet")
