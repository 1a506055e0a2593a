"""What each command does, once its words are parsed; each gives an exit code."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from ..io.manifest import RunManifest
from ..io.ogip_links import Links
from ..io.records import Area
from ..io.results import line_names
from ..io.table import read_table
from ..io.xray_columns import ENERGY_EDGES
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
    return _start(config, arguments)


def xray(arguments: argparse.Namespace) -> int:
    """Deconvolve X-ray spectra, or say how they would be."""
    first, *more = arguments.spectra
    config = build_config(
        "xray",
        first,
        files=arguments.config,
        sets=arguments.sets,
        flags=_flags(arguments),
        more=more,
    )
    return _start(config, arguments)


def _start(config: RunConfig, arguments: argparse.Namespace) -> int:
    """Begin a run, or show its plan."""
    if arguments.dry_run:
        return _show_plan(config)
    if arguments.output is None:
        raise InputError(f"{config.stage}: where to? give the directory of the run with -o RUN")
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
    """Write maps of a run, or a spectrum for each observation of an X-ray run."""
    if RunDirectory(arguments.run).stage() == "xray":
        from .xray_products import write_spectra

        if arguments.derive:
            raise InputError("--derive: an X-ray run has no maps to add to; leave it out")
        written = write_spectra(arguments.run, arguments.output, where=arguments.where)
        return _say(f"{arguments.output}: {written}", DONE)
    from .maps import make_maps

    written = make_maps(
        arguments.run, arguments.output, where=arguments.where, derive=arguments.derive
    )
    return _say(f"{arguments.output}: {written}", DONE)


def inspect(arguments: argparse.Namespace) -> int:
    """Draw one spaxel or one observation of a run."""
    if RunDirectory(arguments.run).stage() == "xray":
        from .xray_inspect import inspect_observation

        print(inspect_observation(arguments.run, _one_name(arguments.place), arguments.output))
        return DONE
    from .inspect import inspect_spaxel

    x, y = _two_numbers(arguments.place)
    print(inspect_spaxel(arguments.run, x, y, arguments.output))
    return DONE


def explore(arguments: argparse.Namespace) -> int:
    """Sample the whole posterior of some spaxels of a run."""
    from .explore import Asked, explore

    if RunDirectory(arguments.run).stage() == "xray":
        raise InputError(f"{arguments.run}: explore samples spaxels of a cube, not X-ray spectra")
    if (arguments.region is None) == (not arguments.place):
        raise InputError("explore: give either X Y or --region X0:X1,Y0:Y1")
    if arguments.region is not None:
        region = parse_flag("region", arguments.region)
    else:
        x, y = _two_numbers(arguments.place, "explore")
        region = Area(x, x + 1, y, y + 1)
    priors = tuple(parse_flag("prior", word) for word in arguments.prior.split(",") if word)
    explore(
        Asked(
            arguments.run,
            arguments.output,
            region,
            arguments.sampler,
            priors,
            arguments.seed,
        ),
        print,
    )
    return _say(f"{arguments.output}: chain.parquet and {len(region)} pictures", DONE)


def _two_numbers(words: list[str], command: str = "inspect") -> tuple[int, int]:
    """Read X Y."""
    try:
        x, y = (int(word) for word in words)
    except ValueError:
        found = " ".join(words)
        text = f"{command}: {found} is not X Y; give two whole numbers, 0-based"
        raise InputError(text) from None
    return x, y


def _one_name(words: list[str]) -> str:
    """Read OBS."""
    if len(words) != 1:
        raise InputError(f"inspect: {' '.join(words)} names {len(words)} observations; give one")
    return words[0]


def validate(arguments: argparse.Namespace) -> int:
    """Say what the reader finds in a cube or an X-ray spectrum."""
    from .validate import describe

    print(
        describe(
            arguments.cube,
            links=Links(rmf=arguments.rmf, arf=arguments.arf, background=arguments.background),
        )
    )
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
    if RunDirectory(folder).stage() == "xray":
        said = refusals(folder)
        for reason in said:
            _say(f"no spectrum: {reason}", DONE)
        if RunManifest.read(RunDirectory(folder).manifest).later:
            for reason in refusals(folder, "fit", said):
                _say(f"not fitted: {reason}", DONE)
        return _say(f"done; spectra as FITS with: stream-fit maps {folder} -o DIR", DONE)
    return _say(f"done; maps with: stream-fit maps {folder} -o DIR", DONE)


def refusals(folder: Path, stage: str = "deconvolve", known: Sequence[str] = ()) -> list[str]:
    """Say of some rows of a stage without a result why, and of how many more.

    Parameters
    ----------
    folder : Path
        The run directory.
    stage : str
        Of the table.
    known : sequence of str
        Reasons that were said before.
    """
    table = read_table(folder / stage, ["reason"])
    reasons = [reason for reason in table["reason"].to_pylist() if reason and reason not in known]
    more = len(reasons) - _NAMED
    return reasons[:_NAMED] + ([f"{more} more, see the column reason"] if more > 0 else [])


def describe_status(found: dict[str, Any], folder: Path) -> str:
    """Put a run's ``progress.json`` into a few lines."""
    stopped = found["state"] in ("killed", "interrupted", "failed")
    done = found["spaxels_safe" if stopped else "spaxels_done"]
    total = found["spaxels_total"]
    share = f"{100 * done / total:.1f} %" if total else ""
    rows = found.get("rows", "spaxels")
    stages = found.get("stages", [])
    which = (
        f"stage {found['stage']} ({stages.index(found['stage']) + 1} of {len(stages)}), "
        if len(stages) > 1
        else ""
    )
    first = f"{folder}: {found['state']}, {which}{done} of {total} {rows} ({share})"
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

        heading = Heading(str(folder), fitted(stage))
        return LiveView(progress, heading, plain=True if arguments.no_tui else None)

    return view


def fitted(stage: Stage) -> tuple[str, ...]:
    """Say what is fitted: the lines, or the method of an X-ray run."""
    about = (stage.recipe.schema.metadata or {}).get(b"about")
    return (about.decode(),) if about else tuple(line_names(stage.recipe.schema))


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
    print(config.to_toml(), end="")
    with ExitStack() as held:
        stage: Stage | None = held.enter_context(closing(open_stage(config)))
        while stage is not None:
            _print_plan(stage, config)
            then = stage.then
            stage = None if then is None else held.enter_context(closing(then(Path())))
    return DONE


def _print_plan(stage: Stage, config: RunConfig) -> None:
    """Print the plan of one stage."""
    job = prepare(stage, config.engine, Manners())
    print(f"\n# {job.plan.spaxels} {stage.rows} in {job.plan.batches} batches of {job.plan.batch}")
    print(
        f"# {job.budget.threads} threads on {stage.provider}, {job.budget.depth} batches waiting, "
        f"about {format_bytes(job.budget.peak)} of {format_bytes(config.engine.memory)}"
    )
    for name, text in (stage.recipe.schema.metadata or {}).items():
        if name.decode() != ENERGY_EDGES:
            print(f"# {name.decode()}: {text.decode()}")


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Give the declared options among the flags."""
    given = vars(arguments)
    return {option.name: given[option.name] for option in OPTIONS if option.name in given}


def _say(text: str, code: int) -> int:
    """Print a line on standard error and give the exit code."""
    print(text, file=sys.stderr)
    return code
