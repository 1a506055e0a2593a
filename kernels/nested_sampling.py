"""Nested sampling by dynesty (Speagle 2020, MNRAS 493, 3132), the same way for every posterior.

dynesty is no dependency: it comes with the extra ``bayes`` and is imported where it is asked for.
Live points are replaced inside multiple ellipsoids, drawn evenly or by random walks. Bounds are not
bootstrapped, which would widen them by chance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lockstep import Lockstep

Array = NDArray[np.float64]


class Nested(NamedTuple):
    """What nested sampling gives: draws with weights, and the evidence.

    Parameters
    ----------
    points : ndarray, shape (draw, parameter)
        As the transform gives them.
    weight : ndarray, shape (draw,)
        Sums to one.
    log_likelihood : ndarray, shape (draw,)
    log_evidence, log_evidence_error : float
    evaluations : int
        Of the likelihood.
    results : object
        dynesty's own, for its tools.
    """

    points: Array
    weight: Array
    log_likelihood: Array
    log_evidence: float
    log_evidence_error: float
    evaluations: int
    results: Any

    @property
    def effective(self) -> float:
        """Independent draws that these are worth (Kish)."""
        return float(1.0 / np.square(self.weight).sum())


def run(
    log_likelihood: Callable[[Array], float],
    transform: Callable[[Array], Array],
    dimensions: int,
    generator: np.random.Generator,
    **how: Any,
) -> Nested:
    """Sample a posterior.

    Parameters
    ----------
    log_likelihood : callable
        Of a point, as `transform` gives it; with a `Lockstep` many are proposed side by side.
    transform : callable
        From the unit cube to a point, which makes the prior even.
    dimensions : int
    generator : Generator
    **how
        `live` points, `remain` of ln evidence that may be left, and of dynesty itself ``sample``
        and ``walks``.

    Returns
    -------
    Nested

    Raises
    ------
    ImportError
        Without dynesty.
    """
    import dynesty

    remain = how.pop("remain")
    if isinstance(log_likelihood, Lockstep):
        # The rest takes less time than handing it over.
        alone = {"prior_transform": False, "update_bound": False}
        how |= {"pool": log_likelihood, "queue_size": log_likelihood.size, "use_pool": alone}
    sampler_of: Any = dynesty.NestedSampler  # whose arguments depend on the kind
    sampler = sampler_of(
        log_likelihood,
        transform,
        dimensions,
        nlive=how.pop("live"),
        bootstrap=0,
        rstate=generator,
        **how,
    )
    sampler.run_nested(print_progress=False, dlogz=remain)
    found: Any = sampler.results
    weight = np.exp(found.logwt - found.logz[-1])
    return Nested(
        np.asarray(found.samples),
        weight / weight.sum(),
        np.asarray(found.logl),
        float(found.logz[-1]),
        float(found.logzerr[-1]),
        int(np.sum(found.ncall)),
        found,
    )
