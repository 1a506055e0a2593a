"""What X-ray observations to simulate: one frozen plan, checked when it is made."""

from dataclasses import dataclass
from pathlib import Path

from ..io.errors import InputError
from .xray_models import MODELS


@dataclass(frozen=True, slots=True)
class XrayPlan:
    """What to simulate.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    number : int
        Observations.
    counts : (low, high)
        Expected between 0.5 and 7 keV, background included; even in the logarithm.
    background : float
        Part of the counts that are background, in the mean; 0 for no background files.
    models : tuple of str
        Keys of `xray_models.MODELS`, taken in turn.
    responses : int
        Different telescopes, taken in turn; 0 for one for each observation.
    exposure : float
        [s].
    sources : int
        Different sources, observed in turn with the same flux, so that their counts follow the
        telescopes' areas; `counts` are then those of the typical telescope. 0: each its own.
    image : int
        Side of the image in each spectrum's first HDU [pixels]; 1024 takes 2 MB.
    seed : int
        Not negative.
    """

    folder: Path
    number: int = 20
    counts: tuple[float, float] = (300.0, 1e5)
    background: float = 0.1
    models: tuple[str, ...] = tuple(MODELS)
    responses: int = 4
    exposure: float = 50_000.0
    sources: int = 0
    image: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated, saying what can."""
        for name in self.models:
            if name not in MODELS:
                known = ", ".join(MODELS)
                raise InputError(f"simulate xray: model {name!r} is unknown; choose {known}")
        for name, good, cure in (
            ("number", self.number >= 1, "give at least 1"),
            ("counts", 0 < self.counts[0] <= self.counts[1], "give LO,HI with 0 < LO <= HI"),
            ("background", 0 <= self.background < 1, "give a part from 0 to below 1"),
            ("responses", self.responses >= 0, "give 0 or more"),
            ("sources", self.sources >= 0, "give 0 or more"),
            ("exposure", self.exposure > 0, "give seconds above 0"),
            ("image", 0 <= self.image <= 8192, "give a side of 0 to 8192 pixels"),
            ("seed", self.seed >= 0, "give 0 or more"),
        ):
            if not good:
                raise InputError(f"simulate xray: {name} is {getattr(self, name)}; {cure}")

    @property
    def truth_path(self) -> Path:
        """The table of the truth."""
        return self.folder / "truth.parquet"
