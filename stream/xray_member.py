"""An observation as the exact fit takes it: its good channels of the band and its native response.

Nothing is rebinned: counts, redistribution and area are those of the files. A member at another
redshift than its group's is aligned by the energies of its response, with r = (1 + z_i) / (1 + z),

    flux_i(E) = flux(r E),    photons_i = int flux(E') dE' / r  over the energies times r,

which is exact for what the source emits; the Galactic column is then taken r times too high in
energy.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from ..io.observations import Observation
from ..kernels.response import ENERGY_EDGES, detector_bins
from ..kernels.unfold import Problem
from ..kernels.xray_fit import Member

Array = NDArray[np.float64]


def aligned(found: Observation, redshift: float, of_group: float) -> Observation:
    """Give an observation as its source would be seen at the redshift of its group.

    Parameters
    ----------
    found : Observation
    redshift, of_group : float
        Its own, and that of the group.
    """
    if redshift == of_group:
        return found
    stretch, response = (1.0 + redshift) / (1.0 + of_group), found.response
    moved = dataclasses.replace(
        response,
        energy_low=response.energy_low * stretch,
        energy_high=response.energy_high * stretch,
        area=response.area / stretch,
    )
    return dataclasses.replace(found, response=moved)


def bins_between(redshift: float, of_group: float) -> float:
    """Give how far alignment moves a spectrum on the working grid, in bins to higher energies."""
    return float(np.log((1.0 + redshift) / (1.0 + of_group)) / np.diff(np.log(ENERGY_EDGES[:2]))[0])


def member_of(found: Observation) -> Member:
    """Give an observation to the fit.

    Returns
    -------
    Member
        The good channels whose centre lies between 0.5 and 7 keV.
    """
    response, background = found.response, found.background
    bins = detector_bins(response.channel_low, response.channel_high, good=found.good)
    inside = np.flatnonzero(bins >= 0)
    seen = csr_array(response.matrix[:, inside])
    reached = np.flatnonzero((np.diff(seen.indptr) > 0) & (response.area > 0))
    energies = slice(reached[0], reached[-1] + 1) if reached.size else slice(0, response.energies)
    weight = diags_array(found.exposure * found.area_scale[inside])
    area = diags_array(response.area[energies])
    matrix = csr_array(weight @ (area @ seen[energies].astype(np.float64)).T)
    matrix.eliminate_zeros()
    measured = background is not None and background.poisson
    known = background.expected[inside] if background is not None and not measured else None
    return Member(
        counts=found.counts[inside],
        matrix=matrix,
        energy_edges=np.append(response.energy_low[energies], response.energy_high[energies][-1]),
        background=background.counts[inside] if background is not None and measured else None,
        scale=background.scale[inside] if background is not None and measured else None,
        known=known,
    )


def joint_problem(problems: Sequence[Problem]) -> Problem:
    """Give all counts of a group as those of one observation.

    Counts of one source that does not vary expect the sum of all responses; nothing but the
    differences between the members is lost.
    """
    counts, matrix, background = (
        np.sum([getattr(one, name) for one in problems], axis=0)
        for name in ("counts", "matrix", "background")
    )
    return Problem(counts, matrix, background)
