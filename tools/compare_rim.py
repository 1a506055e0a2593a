"""Compares the X-ray network with the classical methods on simulations it has never seen.

    python -m streamfit.tools.compare_rim RESPONSES --json FILE --picture PNG

RESPONSES is the folder of real responses; the one named by ``--unseen``, left out of the training,
is what most of the tables are made with. Printed are, for each range of counts, errors, coverage
and the refolded statistic of every method; the same for all kinds of sources with backgrounds and
made-up responses; seen against unseen responses; how few counts suffice; and what happens where the
prior that was learned is wrong. ``--earlier FILE`` takes the other methods from an earlier run.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..models.card import load_card, save_card
from ..models.rim import RIM
from .rim_comparison import compare, read_named
from .rim_picture import draw
from .xray_responses import exact

_TITLES = {
    "clusters": "Clusters, a response never seen",
    "all": "All kinds of sources, half with background; half of the responses made up",
    "bands": "Bands and refolded spectra of five times as many of both",
    "responses": "The same sources behind responses seen and not seen",
    "faint": "How few counts suffice (clusters)",
    "strange": "Sources unlike any of the training",
}
_FOR_BANDS = ("within_68", "within_95", "refold_z", "not_rejected", "within_two")
_KEPT = ("l1", "smoothed", "within_68", "within_95", "not_rejected", "within_two")


def record(found: dict[str, Any], path: Path = RIM) -> None:
    """Write what was measured of the network, and of the best of the others, on its card.

    Parameters
    ----------
    found : dict
        Of `rim_comparison.compare`.
    path : Path
        The graph.
    """
    card, measured = load_card(path), {}
    for key in ("clusters", "all"):
        rows = []
        for part in found[key]:
            best = {
                name: min(one["smoothed"] for one in part["scores"] if one["method"] == name)
                for name in ("MAP", "Richardson-Lucy")
            }
            ours = {name: part["scores"][0][name] for name in _KEPT}
            row = {"counts": list(part["counts"]), **ours}
            rows.append({**row, "best_map": best["MAP"], "best_rl": best["Richardson-Lucy"]})
        measured[key] = rows
    measured["bands"] = [
        {"source": part["source"], "counts": list(part["counts"])}
        | {name: part["scores"][0][name] for name in _FOR_BANDS}
        for part in found["bands"]
    ]
    save_card(path, replace(card, measured={"observations": found["observations"], **measured}))


def tables(found: dict[str, Any]) -> list[Table]:
    """Give the comparisons for a terminal, a table each.

    Parameters
    ----------
    found : dict
        Of `rim_comparison.compare`.

    Returns
    -------
    list of rich.table.Table
    """
    made = []
    for key, title in _TITLES.items():
        rows = [(_label(part), score) for part in found[key] for score in part["scores"]]
        made.append(_table(title, rows))
    return made


def _table(title: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> Table:
    """Give one table."""
    columns = ("method", "L1", "smoothed", "+-", "68 %", "95 %", "mean z", "z < 2", "|z| < 2")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("counts")
    for name in columns:
        table.add_column(name, justify="left" if name == "method" else "right")
    for label, score in rows:
        z = score["refold_z"]
        table.add_row(
            label,
            f"{score['method']} {score['setting']}".strip(),
            f"{score['l1']:.3g}",
            f"{score['smoothed']:.3g}" if score["smoothed"] > 1 else f"{score['smoothed']:.4f}",
            f"{score['scatter']:.1g}",
            *(_percent(score[key]) for key in ("within_68", "within_95")),
            "" if z is None else (f"{z:+.2f}" if abs(z) < 100 else "> 100"),
            *(_percent(score[key]) for key in ("not_rejected", "within_two")),
        )
    return table


def _label(part: dict[str, Any]) -> str:
    """Name a part by what tells it from the others."""
    counts = part["counts"]
    many = f"{counts:g}" if isinstance(counts, float) else f"{counts[0]:g}-{counts[1]:g}"
    names = [part[key] for key in ("responses", "source") if key in part]
    return ", ".join([*names, many])


def _percent(part: float | None) -> str:
    """Write a part, or nothing."""
    return "" if part is None else f"{part:.1%}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and write what was found."""
    parser = argparse.ArgumentParser(description="Compare the X-ray network with other methods.")
    parser.add_argument("responses", type=Path)
    parser.add_argument("--unseen", default="12845", help="the response left out of the training")
    parser.add_argument("--size", type=int, default=200, help="observations in each row")
    parser.add_argument("--earlier", type=Path, help="JSON to take the other methods from")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--picture", type=Path, help="draw the comparison here")
    parser.add_argument("--card", action="store_true", help="write the figures on the card")
    given = parser.parse_args(arguments)
    earlier = None if given.earlier is None else json.loads(given.earlier.read_text("utf-8"))
    found = compare(given.responses, given.unseen, given.size, earlier)
    console = Console(width=120)
    for table in tables(found):
        console.print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if given.card:
        record(found)
    if given.picture is not None:
        draw(found, exact(read_named(given.responses, given.unseen)), given.picture)


if __name__ == "__main__":
    main()
