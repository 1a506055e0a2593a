"""Draw the README's still of the live view: a simulated galaxy, caught while it is fitted.

python -m streamfit.tools.live_view SVG
"""

import argparse
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..io.results import line_names
from ..stream.config import EngineConfig, RunConfig
from ..stream.dashboard import Heading
from ..stream.job import Manners
from ..stream.progress import Progress
from ..stream.run import start_run
from ..stream.stage import Stage
from ..stream.still import still_svg
from ..stream.tui import Trace
from .simulate_cube import main as simulate

CAUGHT_AT = 0.68
"""Part of the spaxels done when the still is taken."""

BATCH = 256


@contextmanager
def catching(progress: Progress, stage: Stage, svg: Path) -> Iterator[None]:
    """Watch a run as the live view does and draw one of its pictures."""
    over, trace = threading.Event(), Trace()
    heading = Heading("galaxy-run", tuple(line_names(stage.recipe.schema)))

    def watch() -> None:
        while not over.wait(0.1):
            snapshot = progress.snapshot()
            trace.add(snapshot)
            if snapshot.spaxels_done >= CAUGHT_AT * snapshot.spaxels_total:
                maps = progress.live_map.pictures() if progress.live_map else ()
                still_svg(snapshot, svg, heading=heading, maps=maps, curve=trace.curve)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, fit, draw; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("svg", type=Path)
    parser.add_argument("--shape", default="400,320", metavar="NX,NY")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        cube = Path(folder) / "galaxy.hdf5"
        simulate(["-o", str(cube), "--shape", arguments.shape, "--snr", "3,100"])
        start_run(
            RunConfig("optical", str(cube), EngineConfig(batch=BATCH)),
            Path(folder) / "run",
            manners=Manners(view=lambda progress, stage: catching(progress, stage, arguments.svg)),
        )
    print(arguments.svg)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
