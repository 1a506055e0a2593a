"""Whether the members of a joint fit have one norm, and what each has where it has its own.

Observations of other dates, chips and areas, or of a source that varies, differ in norm. A joint
fit with one norm is held against one in which every member but the first has a factor (XSPEC's
`constant`, 1 for the first): if members do not differ, the statistic falls by chi2 with as many
degrees of freedom as there are factors (Wilks 1938, Ann. Math. Stat. 9, 60).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from ..kernels.xray_fit import XrayFit

Array = NDArray[np.float64]

TIED, FREE = "tied", "free"
"""Words of `--norms`."""

_BY_CHANCE = 1e-3  # probability of the fall below which members are said to disagree
_FAR, _MUCH = 3.0, 0.2  # standard deviations and part of one from which a factor is told


@dataclass(frozen=True, slots=True)
class Norms:
    """Norms of members over that of the first.

    Parameters
    ----------
    factors, errors : ndarray, shape (member,)
        1 and 0 for the first.
    fall : float
        Of the statistic, when the factors are free.
    """

    factors: Array
    errors: Array
    fall: float

    @classmethod
    def of(cls, tied: XrayFit, free: XrayFit, own: int) -> "Norms":
        """Hold a fit with one norm against one with factors after `own` parameters."""
        return cls(
            np.append(1.0, free.values[own:]),
            np.append(0.0, free.errors[own:]),
            max(tied.statistic - free.statistic, 0.0),
        )

    @property
    def probability(self) -> float:
        """Probability of such a fall where members have one norm."""
        return float(gammaincc(0.5 * (self.factors.size - 1), 0.5 * self.fall))

    @property
    def chance(self) -> str:
        """The probability in words."""
        return "below 1e-30" if self.probability < 1e-30 else f"{self.probability:.1g}"

    def notes(self, names: Sequence[str], norms: str) -> tuple[str, ...]:
        """Say which members differ, and what to do about it.

        Parameters
        ----------
        names : sequence of str
            Of the members.
        norms : {"tied", "free"}
            How they were fitted.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.abs(np.log(self.factors)) * self.factors / self.errors
        far = (away > _FAR) & (np.abs(self.factors - 1.0) > _MUCH)
        odd = ", ".join(
            f"{name}: {factor:.2g} ± {error:.1g} of the first"
            for name, factor, error, told in zip(names, self.factors, self.errors, far, strict=True)
            if told
        )
        if norms == FREE:
            return (f"norms differ: {odd}",) if odd else ()
        if not self.probability < _BY_CHANCE:
            return ()
        said = (
            f"members disagree: with norms of their own cstat falls by {self.fall:.1f} for "
            f"{self.factors.size - 1} factors (probability {self.chance})"
        )
        return (f"{said}; {odd}; give --norms free" if odd else f"{said}; give --norms free",)
