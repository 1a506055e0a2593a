"""Print how a run agrees with the truth of a simulation.

``python -m streamfit.tools.compare RUN TRUTH`` prints the tables of `agreement`, ``--json`` writes
them to standard output, ``--picture PNG`` draws the pulls. ``compare mdn`` holds the mixture
density network to simulations of its own instead: see `compare_mdn`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table

from ..io.errors import StreamFitError
from ..io.results import line_names
from ..io.table import read_table
from .agreement import GOOD_SNR, WRONG_KMS, Comparison, compare
from .pull_plot import draw_pulls
from .truth_plot import draw_against_truth


def tables(comparison: Comparison, *, every_range: bool = True) -> RenderableType:
    """Two tables for a terminal: quantities above `GOOD_SNR` (or in each range), and detection."""
    ranges = dict.fromkeys(q.snr for q in comparison.quantities)
    parts: list[RenderableType] = []
    for snr in ranges if every_range else [(GOOD_SNR, np.inf)]:
        rows = [q for q in comparison.quantities if q.snr == snr and not _is_amplitude(q.name)]
        table = _table(
            f"Fitted against true, {_range(snr)}",
            ("quantity", "n", "bias", "scatter", "pull", "width", "< 1 err", "< 1.96"),
        )
        for q in rows:
            table.add_row(
                q.name,
                f"{q.n}",
                f"{q.bias:.2g}",
                f"{q.scatter:.3g}",
                f"{q.pull_median:+.3f}",
                f"{q.pull_width:.3f}",
                f"{q.within_1:.1%}",
                f"{q.within_2:.1%}",
            )
        parts.append(table)
    table = _table(
        f"What became of the spaxels; wrong: a velocity off by more than {WRONG_KMS:.0f} km/s",
        ("spaxels", "n", "undetected", "flagged", "wrong", "unflagged", "chi2/dof"),
    )
    for d in comparison.detections:
        table.add_row(
            _range(d.snr),
            f"{d.n}",
            f"{d.undetected:.1%}",
            f"{d.flagged:.1%}",
            f"{d.wrong:.2%}",
            f"{d.wrong_unflagged:.2%}",
            f"{d.chi2_dof:.4f}",
        )
    return Group(*parts, table)


def _table(title: str, headings: Sequence[str]) -> Table:
    """Give an empty table: a name on the left, numbers on the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _is_amplitude(name: str) -> bool:
    """Tell the peaks, which go with their fluxes and are left out of what is printed."""
    return name.endswith("_amplitude")


def _range(snr: tuple[float, float]) -> str:
    return f"SNR > {snr[0]:g}" if np.isinf(snr[1]) else f"SNR {snr[0]:g} to {snr[1]:g}"


def report(run: Path, truth: Path, picture: Path) -> RenderableType:
    """Hold a run against its truth, and draw both side by side.

    Parameters
    ----------
    run : Path
        Run directory.
    truth : Path
        Truth table of its cube.
    picture : Path
        PNG to write.

    Returns
    -------
    rich renderable
        The tables, for rows of good signal only.
    """
    fitted, true = read_table(run / "fit"), pq.read_table(truth)
    lines = line_names(fitted.schema)
    total = {line: float(np.nansum(true[f"{line}_flux"].to_numpy())) for line in lines}
    draw_against_truth(fitted, true, max(total, key=lambda line: total[line]), picture)
    return tables(compare(fitted, true), every_range=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.compare RUN TRUTH``."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["mdn"]:
        from .compare_mdn import main as compare_network

        return compare_network(words[1:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="run directory, or the word mdn")
    parser.add_argument("truth", type=Path, help="truth table of the simulated cube")
    parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the pulls")
    arguments = parser.parse_args(words)
    try:
        found = compare(read_table(arguments.run / "fit"), pq.read_table(arguments.truth))
    except (StreamFitError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.picture:
        draw_pulls(found.pulls, arguments.picture)
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        Console().print(tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
