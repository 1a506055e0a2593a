"""X-ray spectra of known parameters, to try fits and posteriors on.

Parameters are drawn evenly from a model's prior over stated ranges, except that norms follow from
the counts wanted, which are even in their logarithm. The telescope is the typical one of
`acis_like`; a tenth of the counts is background, measured beside the source over eight times its
area. Trial `number` of a seed is the same whatever else is tried.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from ..kernels.plasma import rebin
from ..kernels.xray_fit import Member, Task
from ..kernels.xray_model import MODELS, SourceModel, to_coordinates, to_values
from ..kernels.xray_prior import Prior
from ..models.plasma_table import load_plasma
from .acis_like import Character, background_shape, response

Array = NDArray[np.float64]

EXPOSURE = 50_000.0  # s
BACKGROUND = 0.1  # of the counts
BESIDE = 8.0  # area beside the source over its own
BAND = 0.5, 7.0  # keV
REDSHIFT = 0.0, 0.3
CLUSTERS = {
    "kT": (0.5, 10.0),
    "abundance": (0.1, 1.0),
    "nH": (0.01, 1.0),
    "kT2": (0.5, 10.0),
    "second": (0.1, 2.0),
    "index": (1.0, 3.0),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A spectrum and what it was made of.

    Parameters
    ----------
    task : Task
        With the model's broad prior.
    values : ndarray, shape (parameter,)
        The truth.
    counts : float
        Expected, background included.
    """

    task: Task
    values: Array
    counts: float

    def within(self, ranges: dict[str, tuple[float, float]]) -> Task:
        """Give the task with another prior."""
        return replace(self.task, model=narrowed(self.task.model, ranges))


def narrowed(model: SourceModel, ranges: dict[str, tuple[float, float]]) -> SourceModel:
    """Give a model whose prior has other ranges."""
    given = (
        replace(one, low=ranges[one.name][0], high=ranges[one.name][1])
        if one.name in ranges
        else one
        for one in model.parameters
    )
    return replace(model, parameters=tuple(given))


def trial(
    model: str,
    number: int,
    *,
    counts: tuple[float, float],
    seed: int = 0,
    ratio: tuple[float, float] | None = None,
) -> Trial:
    """Draw a spectrum.

    Parameters
    ----------
    model : str
        Key of `MODELS`.
    number : int
    counts : (low, high)
        Expected, background included.
    seed : int
    ratio : (low, high) or None
        Of the two temperatures; from the prior where None.

    Returns
    -------
    Trial
    """
    generator = np.random.default_rng([seed, number, *model.encode()])
    source, table = MODELS[model], load_plasma()
    prior = Prior(narrowed(source, CLUSTERS))
    values = drawn(prior, generator)
    if ratio is not None:
        values[4] = values[0] / np.exp(generator.uniform(*np.log(ratio)))
    redshift = float(generator.uniform(*REDSHIFT))
    total = float(np.exp(generator.uniform(*np.log(counts))))
    edges, matrix, beside = _telescope()
    photons = rebin(table.edges, source.photons(table, values, redshift), edges)
    expected = matrix @ photons
    factor = (1.0 - BACKGROUND) * total / expected.sum()
    norms = [i for i, name in enumerate(source.names) if name in ("norm", "index_norm")]
    values[norms] *= factor
    member = Member(
        counts=generator.poisson(factor * expected + total * beside).astype(np.float64),
        matrix=matrix,
        energy_edges=edges,
        background=generator.poisson(BESIDE * total * beside).astype(np.float64),
        scale=np.full(beside.size, 1.0 / BESIDE),
    )
    return Trial(Task((member,), source, table, redshift), values, total)


def asimov(one: Trial) -> Task:
    """Give the task of a trial with the counts that it expects in place of those drawn.

    The statistic of a model at such counts is twice the ln of the likelihood ratio that the truth
    has over it in the mean (Cowan et al. 2011, Eur. Phys. J. C 71, 1554).
    """
    (member,) = one.task.members
    beside = one.counts * _telescope()[2]
    point = to_coordinates(one.task.model, one.values)[None]
    expected = one.task.folding().source(point)[0] + beside
    told = replace(member, counts=expected, background=BESIDE * beside)
    return replace(one.task, members=(told,))


def drawn(prior: Prior, generator: np.random.Generator) -> Array:
    """Draw values from a prior, shape (parameter,)."""
    return to_values(prior.model, prior.from_unit(generator.uniform(size=(1, prior.size))))[0]


@lru_cache(maxsize=1)
def _telescope() -> tuple[Array, csr_array, Array]:
    """Give energies, counts for photons, and the background's part of the counts by channel."""
    made = response("acis", Character())
    centre = 0.5 * (made.channel_low + made.channel_high)
    band = np.flatnonzero((centre >= BAND[0]) & (centre < BAND[1]))
    area = diags_array(EXPOSURE * made.area)
    matrix = csr_array((area @ made.matrix[:, band].astype(np.float64)).T)
    edges = np.append(made.energy_low, made.energy_high[-1])
    return edges, matrix, BACKGROUND * background_shape(centre)[band]
