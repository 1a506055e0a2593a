"""A group of observations put together: members for the exact fit, the stack, the joint spectrum.

A member that cannot be read, or that no photon of the working energies reaches, is left out and
named; a group without members has a reason and no fit.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.group_source import Group, GroupMember
from ..io.observations import Observation
from ..io.results import FitStatus
from ..kernels.response import DETECTOR_EDGES, detector_bins
from ..kernels.stack import Stack, stack
from ..kernels.unfold import Problem
from ..kernels.xray_fit import Member
from .xray_member import aligned, bins_between, joint_problem, member_of
from .xray_methods import Estimate, Method
from .xray_problem import WorkingObservation, exceeds

Array = NDArray[np.float64]

_CARRIED = FitStatus.NONFINITE  # bits of the first table that hold for the fit too


@dataclass(frozen=True, slots=True)
class Gathered:
    """A group as it is fitted.

    Parameters
    ----------
    group : Group
    observations : tuple of Observation
        Those used, aligned.
    members : tuple of Member
        The same, for the fit.
    rows : tuple of GroupMember
        Their rows of the first table.
    left_out : tuple of str
        Why others are not used.
    counts, background : float
        Of 0.5 to 7 keV, and expected of the background.
    signal : bool
        Whether the counts are more than the background gives by chance.
    """

    group: Group
    observations: tuple[Observation, ...]
    members: tuple[Member, ...]
    rows: tuple[GroupMember, ...]
    left_out: tuple[str, ...]
    counts: float
    background: float
    signal: bool

    @property
    def carried(self) -> FitStatus:
        """Bits of the members' rows that hold for the fit."""
        found = FitStatus(0)
        for row in self.rows:
            found |= FitStatus(row.status) & _CARRIED
        return found

    @property
    def target(self) -> str:
        """What all headers call the target; "" where they disagree."""
        named = {one.target for one in self.observations}
        return named.pop() if len(named) == 1 else ""

    @property
    def reason(self) -> str:
        """Why nothing can be fitted; "" where it can."""
        if not self.members:
            return "; ".join(self.left_out) or f"{self.group.name}: no member"
        if not self.counts:
            low, high = DETECTOR_EDGES[0], DETECTOR_EDGES[-1]
            return f"{self.group.name}: no counts in {low:g} to {high:.1f} keV: nothing to fit"
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be left out or assumed."""
        found = [f"left out: {reason}" for reason in self.left_out if self.members]
        redshifts = {one.redshift for one in self.rows}
        if len(redshifts) > 1:
            found.append(
                f"redshifts {min(redshifts):g} to {max(redshifts):g}: members are aligned at "
                f"{self.group.redshift:g}, and the Galactic column with them"
            )
        return tuple(found)

    def stack(self, factors: Array | None = None) -> Stack:
        """Average the members' deconvolved spectra; with factors, each over its own."""
        logs = np.zeros(len(self.rows)) if factors is None else np.log(factors)
        pairs = list(zip(self.rows, logs, strict=True))
        pairs = [one for one in pairs if np.isfinite(one[0].log_flux).any()] or pairs
        known = [one for one, _ in pairs]
        redshift = self.group.redshift
        moves = [bins_between(one.redshift, redshift) for one in known]
        flux, sigma = (
            np.stack([getattr(one, name) for one in known]) for name in ("log_flux", "sigma")
        )
        flux -= np.array([log for _, log in pairs])[:, None]
        return stack(flux, sigma, shift=np.array(moves))

    def problem(self, factors: Array | None = None) -> Problem:
        """Give the counts of all members as those of one observation, on the working grid.

        With factors, the response of each is taken as many times; the first one's is 1.
        """
        found = [WorkingObservation.of(one).problem for one in self.observations]
        if factors is not None:
            found = [
                dataclasses.replace(one, matrix=(factor * one.matrix).astype(one.matrix.dtype))
                for one, factor in zip(found, factors, strict=True)
            ]
        return joint_problem(found)

    def estimate(self, method: Method, factors: Array | None = None) -> Estimate:
        """Deconvolve all counts at once; of one member, give its row."""
        if len(self.rows) == 1 and self.rows[0].redshift == self.group.redshift:
            row = self.rows[0]
            return Estimate(np.exp(row.log_flux), row.sigma)
        return method.estimates([self.problem(factors)])[0]


class _Totals(NamedTuple):
    """Counts, background expected among them, and whether they are more than that gives."""

    counts: float
    background: float
    signal: bool


def gather(group: Group, members: Sequence[GroupMember]) -> Gathered:
    """Put a group together.

    Parameters
    ----------
    group : Group
    members : sequence of GroupMember
        As `GroupSource.read` gives them.
    """
    used, observations, fitted, left = [], [], [], []
    for one in members:
        if not isinstance(one.found, Observation):
            left.append(one.found.reason)
            continue
        found = aligned(one.found, one.redshift, group.redshift)
        member = member_of(found)
        if not member.matrix.nnz:
            left.append(
                f"{found.name}: no good channel of {DETECTOR_EDGES[0]:g} to "
                f"{DETECTOR_EDGES[-1]:.1f} keV is reached by photons"
            )
            continue
        used.append(one)
        observations.append(found)
        fitted.append(member)
    return Gathered(
        group, tuple(observations), tuple(fitted), tuple(used), tuple(left), *_totals(observations)
    )


def _totals(observations: Sequence[Observation]) -> _Totals:
    """Add up what the good channels of the band hold."""
    counts = expected = beside = 0.0
    scales = []
    for one in observations:
        response, background = one.response, one.background
        inside = detector_bins(response.channel_low, response.channel_high, good=one.good) >= 0
        counts += one.counts[inside].sum()
        if background is None:
            continue
        expected += background.expected[inside].sum()
        if background.poisson:
            beside += background.counts[inside].sum()
            scales.append(np.median(background.scale[inside]))
    scale = float(np.median(scales)) if scales else 1.0
    return _Totals(
        float(counts),
        float(expected),
        exceeds(counts, expected, beside if scales else None, scale),
    )
