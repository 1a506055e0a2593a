"""Runs: a directory that says what is done, started once and resumed as often as need be.

RUN/run.toml         what was asked for
RUN/manifest.json    what it was done on, with which versions, when
RUN/log.jsonl        what happened
RUN/progress.json    where it stands
RUN/fit/part-*       the table, and the only record of what is done

A run has one stage, or two: X-ray spectra are deconvolved into RUN/deconvolve, then fitted into
RUN/fit. All stages are opened before the first begins, so that what the user can mend is told at
once; a later one begins when the one before has been through all of its batches.
"""

import dataclasses
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from ..io.disk import publish
from ..io.errors import ChangedInputError, StorageError
from ..io.manifest import Later, Plan, RunManifest, Session, versions
from ..io.parts import PartSink
from ..io.table import ledger
from .config import RunConfig
from .directory import RunDirectory, check_same_input, check_same_table, check_unchanged
from .engine import Outcome, run_stage
from .eventlog import EventLog, utc_now
from .job import Job, Manners, prepare
from .layers import read_run_toml
from .progress import Progress
from .signals import stopping
from .snapshot import Setting
from .stage import Stage
from .workers import ThreadWorkers


def start_run(
    config: RunConfig, folder: Path, *, overwrite: bool = False, manners: Manners | None = None
) -> Outcome:
    """Begin a run and see it through.

    Parameters
    ----------
    config : RunConfig
    folder : Path
        Made; it may be there if it is empty.
    overwrite : bool
        Replace the run that is there.
    manners : Manners

    Raises
    ------
    RunError
        If something is there that may not be replaced, or another process works on it.
    InputError, DeviceError, StorageError
        As the stage and the disk have it; the run can be resumed once it has begun.
    """
    manners = manners or Manners()
    directory = RunDirectory(folder)
    directory.check_free(overwrite=overwrite)
    with ExitStack() as held:
        jobs = _open(config, directory, manners, held)
        first, *later = jobs
        manifest = RunManifest(
            stage=config.stage,
            input=config.input,
            fingerprint=_fingerprint(jobs),
            choices=config.choices(),
            digest=config.digest(),
            header=first.stage.header,
            table=_metadata(first.stage),
            plan=first.plan,
            later=tuple(Later(job.stage.table, _metadata(job.stage), job.plan) for job in later),
        )
        with closing(directory.claim(manners.log_copy, overwrite=overwrite)) as log:
            publish(directory.config, config.to_toml().encode())
            log.event("run_started", input=config.input, version=config.version)
            return _work(jobs, directory, manifest, log)


def resume_run(
    folder: Path, *, engine: dict[str, object] | None = None, manners: Manners | None = None
) -> Outcome:
    """Go on with a run where it stopped.

    Parameters
    ----------
    folder : Path
    engine : dict, optional
        Fields of `EngineConfig` to use this time: device, threads, memory.
    manners : Manners

    Returns
    -------
    Outcome
        Of no spaxels if the run was complete.

    Raises
    ------
    ChangedInputError
        If the input or the configuration is not what the run began with.
    RunError
        If a part is damaged, or another process works on the run.
    InputError, DeviceError, StorageError
        As the stage and the disk have it.
    """
    manners = manners or Manners()
    directory = RunDirectory(folder)
    directory.require()
    config = read_run_toml(directory.config)
    with closing(directory.claim(manners.log_copy)) as log:
        manifest = RunManifest.read(directory.manifest)
        check_unchanged(config, manifest, directory.config)
        if _is_complete(manifest, directory):
            return Outcome("done", 0)
        machine = dataclasses.replace(config.engine, **(engine or {}))
        with ExitStack() as held:
            now = dataclasses.replace(config, engine=machine)
            jobs = _open(now, directory, manners, held, plans=_plans(manifest))
            check_same_input(_fingerprint(jobs), manifest)
            began = [manifest.table, *(one.table for one in manifest.later)]
            for job, table, plan in zip(jobs, began, _plans(manifest), strict=True):
                check_same_table(_metadata(job.stage), table, manifest)
                if job.plan != plan:
                    raise ChangedInputError(
                        f"{config.input}: is cut into {job.plan.batches} batches, the run began "
                        f"with {plan.batches}; start again with --overwrite"
                    )
            log.event("run_resumed", input=config.input, version=config.version)
            return _work(jobs, directory, manifest, log)


def _open(
    config: RunConfig,
    directory: RunDirectory,
    manners: Manners,
    held: ExitStack,
    *,
    plans: Sequence[Plan] = (),
) -> list[Job]:
    """Open and prepare all stages; `held` lets go of their inputs."""
    jobs: list[Job] = []
    stage = held.enter_context(closing(manners.opener(config)))
    while True:
        batch = plans[len(jobs)].batch if len(jobs) < len(plans) else 0
        jobs.append(prepare(stage, config.engine, manners, batch=batch))
        if stage.then is None:
            return jobs
        stage = held.enter_context(closing(stage.then(directory.path)))


def _work(
    jobs: Sequence[Job], directory: RunDirectory, manifest: RunManifest, log: EventLog
) -> Outcome:
    """See every stage through, and leave the directory saying how it ended whatever happens."""
    stop = threading.Event()
    budget, stage = jobs[0].budget, jobs[0].stage
    session = Session(
        utc_now(), budget.threads, jobs[0].engine.memory, stage.provider, versions=versions()
    )
    manifest = manifest.begin(session)
    manifest.write(directory.manifest)
    outcome = Outcome("done", 0)
    with stopping(stop):
        try:
            for place, job in enumerate(jobs):
                if place:
                    # What the stages before have left in memory counts.
                    job = prepare(job.stage, job.engine, job.manners, batch=job.plan.batch)
                names = tuple(one.stage.table for one in jobs)
                outcome = _joined(outcome, _see_through(job, names, directory, log, stop))
                if stop.is_set() and place + 1 < len(jobs):
                    outcome = dataclasses.replace(outcome, state="interrupted")
                if outcome.state == "interrupted":
                    break
        except BaseException:
            with suppress(StorageError):
                end = manifest.end(finished=utc_now(), state="failed", spaxels=outcome.spaxels)
                end.write(directory.manifest)
            raise
    log.event("run_ended", state=outcome.state, spaxels=outcome.spaxels, failed=outcome.failed)
    end = manifest.end(finished=utc_now(), state=outcome.state, spaxels=outcome.spaxels)
    end.write(directory.manifest)
    return outcome


def _see_through(
    job: Job,
    names: tuple[str, ...],
    directory: RunDirectory,
    log: EventLog,
    stop: threading.Event,
) -> Outcome:
    """Run the engine on one stage."""
    stage, budget = job.stage, job.budget
    workers = ThreadWorkers(
        job.source, stage.recipe, threads=budget.threads, depth=budget.depth, stop=stop
    )
    setting = Setting(
        name=stage.name,
        spaxels_total=job.plan.spaxels,
        batches_total=job.plan.batches,
        queue_size=budget.depth,
        memory=job.engine.memory,
        threads=budget.threads,
        provider=stage.provider,
        rows=stage.rows,
        stage=stage.table,
        stages=names,
    )
    progress = Progress(
        setting,
        live_map=stage.live_picture(),
        waiting=lambda: workers.waiting,
    )
    for note in stage.notes:
        log.event("input_note", note=note)
        job.manners.tell(f"note: {note}")
    log.event(
        "plan", stage=stage.table, **dataclasses.asdict(job.plan), **dataclasses.asdict(budget)
    )
    with progress.publishing(directory.progress):
        try:
            sink = PartSink(
                directory.path / stage.table,
                stage.recipe.schema,
                seconds_per_part=job.manners.seconds_per_part,
            )
            with job.manners.view(progress, stage), progress.ending():
                outcome = run_stage(
                    job.source, workers, sink, progress=progress, log=log, stop=stop
                )
                progress.end(outcome.state)
        except BaseException:
            log.event("run_failed", level="error", error=progress.snapshot().message)
            raise
    return outcome


def _joined(before: Outcome, now: Outcome) -> Outcome:
    """Give the outcome of stages that followed each other."""
    failed = (*before.failed, *now.failed)
    interrupted = "interrupted" in (before.state, now.state)
    return Outcome(
        "interrupted" if interrupted else "failed" if failed else "done",
        before.spaxels + now.spaxels,
        failed,
    )


def _fingerprint(jobs: Sequence[Job]) -> dict[str, Any]:
    """Identify the input of all stages."""
    return {name: found for job in jobs for name, found in job.source.fingerprint().items()}


def _plans(manifest: RunManifest) -> list[Plan]:
    """Give how each stage was cut."""
    return [manifest.plan, *(one.plan for one in manifest.later)]


def _is_complete(manifest: RunManifest, directory: RunDirectory) -> bool:
    """Tell whether the run ended well and its tables still have every batch."""
    if not manifest.sessions or manifest.sessions[-1].state != "done":
        return False
    folders = [directory.table(manifest.stage)]
    folders += [directory.path / one.name for one in manifest.later]
    plans = _plans(manifest)
    return all(
        len(ledger(folder)) == plan.batches for folder, plan in zip(folders, plans, strict=True)
    )


def _metadata(stage: Stage) -> dict[str, str]:
    """Give the metadata of the table as text."""
    metadata = stage.recipe.schema.metadata or {}
    return {name.decode(): text.decode() for name, text in metadata.items()}
