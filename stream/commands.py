"""What each command does, once its words are parsed; each gives an exit code."""

import argparse
import json
import sys
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from ..io.results import line_names
from .config import RunConfig
from .directory import RunDirectory
from .engine import Outcome
from .job import Manners, View, prepare
from .labels import duration
from .layers import build_config, parse_flag
from .options import OPTIONS
from .progress import Progress
from .run import resume_run, start_run
from .signals import INTERRUPTED
from .stage import Stage, open_stage
from .values import format_bytes

DONE, MENDABLE, DEVICE, BATCHES_FAILED = 0, 2, 3, 4
_NAMED = 8
"""Failed batches that are named at the end; the log names all."""


def optical(arguments: argparse.Namespace) -> int:
    """Fit a cube, or say how it would be fitted."""
    config = build_config(
        "optical",
        arguments.cube,
        files=arguments.config,
        sets=arguments.sets,
        flags=_flags(arguments),
        tie=arguments.tie,
    )
    if arguments.dry_run:
        return _show_plan(config)
    if arguments.output is None:
        raise InputError("optical: where to? give the directory of the run with -o RUN")
    outcome = start_run(
        config,
        arguments.output,
        overwrite=arguments.overwrite,
        manners=_manners(arguments, arguments.output),
    )
    return report(outcome, arguments.output)


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    engine = {name: parse_flag(name, text) for name, text in _flags(arguments).items()}
    outcome = resume_run(arguments.run, engine=engine, manners=_manners(arguments, arguments.run))
    if outcome.state == "done" and outcome.spaxels == 0:
        return _say(f"{arguments.run}: was complete; nothing to do", DONE)
    return report(outcome, arguments.run)


def status(arguments: argparse.Namespace) -> int:
    """Say where a run stands."""
    found = RunDirectory(arguments.run).status()
    print(json.dumps(found, indent=2) if arguments.json else describe_status(found, arguments.run))
    return DONE


def maps(arguments: argparse.Namespace) -> int:
    """Write maps of a run."""
    from .maps import make_maps

    RunDirectory(arguments.run).require()
    written = make_maps(
        arguments.run, arguments.output, where=arguments.where, derive=arguments.derive
    )
    return _say(f"{arguments.output}: {written}", DONE)


def inspect(arguments: argparse.Namespace) -> int:
    """Draw one spaxel of a run."""
    from .inspect import inspect_spaxel

    RunDirectory(arguments.run).require()
    print(inspect_spaxel(arguments.run, arguments.x, arguments.y, arguments.output))
    return DONE


def validate(arguments: argparse.Namespace) -> int:
    """Say what the reader finds in a cube."""
    from .validate import describe

    print(describe(arguments.cube))
    return DONE


def report(outcome: Outcome, folder: Path) -> int:
    """Say how a run ended and what can be done next; give the exit code."""
    if outcome.state == "interrupted":
        return _say(f"interrupted; go on with: stream-fit resume {folder}", INTERRUPTED)
    if outcome.state == "failed":
        for reason in outcome.failed[:_NAMED]:
            _say(f"failed: {reason}", BATCHES_FAILED)
        count = len(outcome.failed)
        return _say(
            f"{count} batch{'es' if count > 1 else ''} failed, all others are done; "
            f"{folder / 'log.jsonl'} has the details; try again with: stream-fit resume {folder}",
            BATCHES_FAILED,
        )
    return _say(f"done; maps with: stream-fit maps {folder} -o DIR", DONE)


def describe_status(found: dict[str, Any], folder: Path) -> str:
    """Put a run's ``progress.json`` into a few lines."""
    stopped = found["state"] in ("killed", "interrupted", "failed")
    done = found["spaxels_safe" if stopped else "spaxels_done"]
    total = found["spaxels_total"]
    share = f"{100 * done / total:.1f} %" if total else ""
    first = f"{folder}: {found['state']}, {done} of {total} spaxels ({share})"
    if found["rate_now"]:
        first += f", {found['rate_now']:.0f} spectra/s"
    if found["eta_s"] is not None:
        first += f", {duration(found['eta_s'])} left"
    lines = [
        first,
        f"converged {found['converged']}, flagged {found['flagged']}, "
        f"no signal {found['no_signal']}, no data {found['no_data']}, "
        f"failed batches {found['failed']}",
        f"{found['provider']}, {found['threads']} threads, {format_bytes(found['rss_bytes'])} of "
        f"{format_bytes(found['memory'])}, as of {found['updated']}",
    ]
    if found["message"]:
        lines.append(found["message"])
    if stopped:
        lines.append(f"go on with: stream-fit resume {folder}")
    return "\n".join(lines)


def run_view(arguments: argparse.Namespace, folder: Path) -> View:
    """Give what draws a run: the live view, or plain lines where that is asked for."""

    def view(progress: Progress, stage: Stage) -> AbstractContextManager[object]:
        from .dashboard import Heading
        from .tui import LiveView

        heading = Heading(str(folder), tuple(line_names(stage.recipe.schema)))
        return LiveView(progress, heading, plain=True if arguments.no_tui else None)

    return view


def _manners(arguments: argparse.Namespace, folder: Path) -> Manners:
    """Watch and log as the flags say."""
    return Manners(
        view=run_view(arguments, folder),
        log_copy=arguments.log_file,
        opener=open_stage,
        tell=lambda line: print(line, file=sys.stderr),
    )


def _show_plan(config: RunConfig) -> int:
    """Print the configuration and, as comments, the plan; nothing is written."""
    with closing(open_stage(config)) as stage:
        job = prepare(stage, config.engine, Manners())
        metadata = stage.recipe.schema.metadata or {}
    print(config.to_toml(), end="")
    print(f"\n# {job.plan.spaxels} spaxels in {job.plan.batches} batches of {job.plan.batch}")
    print(
        f"# {job.budget.threads} threads on {stage.provider}, {job.budget.depth} batches waiting, "
        f"about {format_bytes(job.budget.peak)} of {format_bytes(config.engine.memory)}"
    )
    for name, text in metadata.items():
        print(f"# {name.decode()}: {text.decode()}")
    return DONE


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Give the declared options among the flags."""
    given = vars(arguments)
    return {option.name: given[option.name] for option in OPTIONS if option.name in given}


def _say(text: str, code: int) -> int:
    """Print a line on standard error and give the exit code."""
    print(text, file=sys.stderr)
    return code
