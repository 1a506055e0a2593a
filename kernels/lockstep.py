"""Many proposals of a sampler side by side, so that their likelihoods are worked out together.

A sampler such as dynesty asks for one likelihood at a time, while `Folding` takes a quarter of the
time for each of 64. A `Lockstep` is the pool it hands a queue of proposals to. Each proposal runs
the sampler's own code in a greenlet, a stack of its own on the same thread, until that asks for a
likelihood; once all have asked, their points are evaluated in one call and each goes on with its
number. Nothing of the method changes, and the order is always the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Lockstep:
    """A pool whose workers take turns, and the likelihood that they ask for.

    Parameters
    ----------
    log_likelihood : callable
        Of points, shape (point, parameter), each finite or -inf; gives shape (point,).
    size : int
        Proposals at once.

    Raises
    ------
    ImportError
        Without greenlet.
    """

    def __init__(self, log_likelihood: Callable[[Array], Array], size: int) -> None:
        import greenlet

        self._all, self._greenlet, self.size = log_likelihood, greenlet, size
        self._home: Any = None

    def __call__(self, point: Array) -> float:
        """Give the logarithm of the likelihood of a point, shape (parameter,)."""
        home = self._greenlet.getcurrent().parent
        if home is None or home is not self._home:
            return float(self._all(point[None])[0])
        return float(home.switch(point))

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        """Give what a function that asks for likelihoods makes of each argument."""
        given = list(arguments)
        found: list[Any] = [None] * len(given)
        self._home = self._greenlet.getcurrent()
        for first in range(0, len(given), self.size):
            here = range(first, min(first + self.size, len(given)))
            running = [(place, self._greenlet.greenlet(function)) for place in here]
            told: list[Any] = given[here.start : here.stop]
            while running:
                asked = []
                for (place, one), value in zip(running, told, strict=True):
                    answer = one.switch(value)
                    if one.dead:
                        found[place] = answer
                    else:
                        asked.append((place, one, answer))
                running = [(place, one) for place, one, _ in asked]
                told = list(self._all(np.array([point for *_, point in asked]))) if asked else []
        return found
