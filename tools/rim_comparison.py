"""What the X-ray network is compared on, part by part.

Each part is a set of simulations and the classical methods that are tried on it beside the network.
Simulations have fixed seeds, so that the scores of the other methods, which take most of the time,
can be taken over from an earlier comparison when only the network has changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..io.observations import Response
from ..io.ogip import read_response
from ..kernels.unfold import condition_number
from ..models.rim import Rim
from .rim_methods import (
    Score,
    problems,
    score_map,
    score_richardson_lucy,
    score_rim,
    score_simple,
)
from .rim_trials import (
    DECADES,
    STRANGE,
    Trials,
    draw_strange,
    draw_trials,
    invented_instruments,
)
from .xray_responses import Instrument, exact

FAINT = (50.0, 100.0, 200.0, 400.0, 800.0, 1500.0, 3000.0, 5000.0)
# Seen in training, and of the same chip, ACIS-S3, as the unseen one.
ALIKE = ("9774", "obs1", "obs3", "obs4", "q1127_src1")
_SEED = 2026
_FOR_BANDS = 5  # times as many observations
_FOR_INVERSE = 40  # observations that slow or hopeless methods are tried on


@dataclass(frozen=True, slots=True)
class Bench:
    """What the simulations are made with.

    Parameters
    ----------
    unseen : Instrument
        The response left out of the training.
    alike : list of Instrument
        Responses of the training.
    size : int
        Observations of each part.
    """

    unseen: Instrument
    alike: list[Instrument]
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Simulations, and the methods tried on them beside the network.

    Parameters
    ----------
    labels : dict
        What tells it from the other parts.
    trials : Trials
    others : callable
        Gives the scores of the other methods.
    """

    labels: dict[str, Any]
    trials: Trials
    others: Callable[[], list[Score]]


def compare(
    folder: Path, unseen: str, size: int, earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Make every comparison.

    Parameters
    ----------
    folder : Path
        Of responses.
    unseen : str
        Name of the one left out of the training.
    size : int
        Observations in each part.
    earlier : dict, optional
        An earlier comparison, whose scores of the other methods are taken over.

    Returns
    -------
    dict
        For JSON: parts by table, each with its labels and scores, the network's first.

    Raises
    ------
    ValueError
        If the earlier comparison has another size.
    """
    if earlier is not None and earlier["observations"] != size:
        raise ValueError(f"the earlier comparison has size {earlier['observations']}, not {size}")
    rim = Rim()
    alike = [exact(read_named(folder, name)) for name in ALIKE]
    bench = Bench(exact(read_named(folder, unseen)), alike, size)
    found: dict[str, Any] = {"card": rim.card.sha256, "observations": size}
    for key, parts in PARTS.items():
        rows = []
        for place, part in enumerate(parts(bench)):
            ours = asdict(score_rim(rim, part.trials))
            if earlier is None:
                others = [asdict(one) for one in part.others()]
            else:
                others = earlier[key][place]["scores"][1:]
            rows.append({**part.labels, "scores": [ours, *others]})
        found[key] = rows
    return found


def read_named(folder: Path, name: str) -> Response:
    """Read the response of a name, its RMF and ARF."""
    rmf = next(path for path in folder.glob("*rmf") if path.stem == name)
    return read_response(rmf, rmf.with_suffix(rmf.suffix.replace("rmf", "arf")))


def _clusters(bench: Bench) -> Iterator[Part]:
    """Compare all methods on clusters without background, as the literature does."""
    used = [bench.unseen]
    for decade in DECADES:
        trials, few = (
            draw_trials(used, decade, size, seed=_SEED, kind="cluster", background=False)
            for size in (bench.size, _FOR_INVERSE)
        )
        conditions = [condition_number(one) for one in problems(few)[:10]]
        labels = {"counts": decade, "condition_number": float(np.median(conditions))}
        yield Part(labels, trials, _every_method(trials, few))


def _all_kinds(bench: Bench) -> Iterator[Part]:
    """Compare on all kinds of sources, half with background, half with made-up responses."""
    made_up = invented_instruments(20, seed=_SEED)
    used = [one for made in made_up for one in (bench.unseen, made)]
    for decade in DECADES:
        trials = draw_trials(used, decade, bench.size, seed=_SEED + 1)
        yield Part({"counts": decade}, trials, _every_method(trials, None))


def _bands(bench: Bench) -> Iterator[Part]:
    """Count truths within the bands of more clusters, and of more sources of all kinds.

    The errors of one spectrum go together, so that 200 of them leave 0.012 of scatter in the part
    within 68 % bands.
    """
    size = _FOR_BANDS * bench.size
    made_up = invented_instruments(20, seed=_SEED)
    kinds: dict[str, tuple[list[Instrument], dict[str, Any]]] = {
        "clusters": ([bench.unseen], {"kind": "cluster", "background": False}),
        "all kinds": ([one for made in made_up for one in (bench.unseen, made)], {}),
    }
    for name, (used, options) in kinds.items():
        for decade in DECADES:
            trials = draw_trials(used, decade, size, seed=_SEED + 6, **options)
            yield Part({"source": name, "counts": decade}, trials, list)


def _responses(bench: Bench) -> Iterator[Part]:
    """Compare the same sources behind responses seen and not seen in training.

    Responses differ in what they tell of a source, which the penalised fit shows.
    """
    for name, instruments in {"seen": bench.alike, "unseen": [bench.unseen]}.items():
        for decade in DECADES[:5]:
            trials = draw_trials(instruments, decade, bench.size, seed=_SEED + 3, background=False)
            yield Part({"responses": name, "counts": decade}, trials, _evidence(trials))


def _faint(bench: Bench) -> Iterator[Part]:
    """Find how few counts suffice."""
    for counts in FAINT:
        near = (0.95 * counts, 1.05 * counts)
        trials = draw_trials(
            [bench.unseen], near, bench.size, seed=_SEED + 4, kind="cluster", background=False
        )
        yield Part({"counts": counts}, trials, _evidence(trials))


def _strange(bench: Bench) -> Iterator[Part]:
    """See what happens where the prior is wrong."""
    for name in STRANGE:
        for counts in (3e3, 3e4):
            trials = draw_strange(bench.unseen, name, counts, bench.size, seed=_SEED + 5)
            yield Part({"source": name, "counts": counts}, trials, _evidence(trials))


def _every_method(trials: Trials, few: Trials | None) -> Callable[[], list[Score]]:
    """Give all methods, the hopeless ones on fewer trials."""
    return lambda: [
        *score_map(trials),
        *score_richardson_lucy(trials),
        *([] if few is None else score_simple(few)),
    ]


def _evidence(trials: Trials) -> Callable[[], list[Score]]:
    """Give the penalised fit as its own rule chooses it."""
    return lambda: score_map(trials, tuned=False)


PARTS: dict[str, Callable[[Bench], Iterator[Part]]] = {
    "clusters": _clusters,
    "all": _all_kinds,
    "bands": _bands,
    "responses": _responses,
    "faint": _faint,
    "strange": _strange,
}
