"""Runs: a directory that says what is done, started once and resumed as often as need be.

RUN/run.toml         what was asked for
RUN/manifest.json    what it was done on, with which versions, when
RUN/log.jsonl        what happened
RUN/progress.json    where it stands
RUN/fit/part-*       the table, and the only record of what is done (RUN/deconvolve of X-ray runs)
"""

import dataclasses
import threading
from contextlib import closing, suppress
from pathlib import Path

from ..io.disk import publish
from ..io.errors import ChangedInputError, StorageError
from ..io.manifest import RunManifest, Session, versions
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
    with closing(manners.opener(config)) as stage:
        job = prepare(stage, config.engine, manners)
        manifest = RunManifest(
            stage=config.stage,
            input=config.input,
            fingerprint=job.source.fingerprint(),
            choices=config.choices(),
            digest=config.digest(),
            header=stage.header,
            table=_metadata(stage),
            plan=job.plan,
        )
        with closing(directory.claim(manners.log_copy, overwrite=overwrite)) as log:
            publish(directory.config, config.to_toml().encode())
            log.event("run_started", input=config.input, version=config.version)
            return _work(job, directory, manifest, log)


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
        with closing(manners.opener(dataclasses.replace(config, engine=machine))) as stage:
            job = prepare(stage, machine, manners, batch=manifest.plan.batch)
            check_same_input(job.source.fingerprint(), manifest)
            check_same_table(_metadata(stage), manifest)
            if job.plan != manifest.plan:
                raise ChangedInputError(
                    f"{config.input}: is cut into {job.plan.batches} batches, the run began with "
                    f"{manifest.plan.batches}; start again with --overwrite"
                )
            log.event("run_resumed", input=config.input, version=config.version)
            return _work(job, directory, manifest, log)


def _work(job: Job, directory: RunDirectory, manifest: RunManifest, log: EventLog) -> Outcome:
    """Run the engine, and leave the directory saying how it ended whatever happens."""
    stage, budget, stop = job.stage, job.budget, threading.Event()
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
    )
    progress = Progress(
        setting,
        live_map=stage.live_picture(),
        waiting=lambda: workers.waiting,
    )
    session = Session(
        utc_now(), budget.threads, job.engine.memory, stage.provider, versions=versions()
    )
    manifest = manifest.begin(session)
    manifest.write(directory.manifest)
    for note in stage.notes:
        log.event("input_note", note=note)
        job.manners.tell(f"note: {note}")
    log.event("plan", **dataclasses.asdict(job.plan), **dataclasses.asdict(budget))
    sink = PartSink(
        directory.table(manifest.stage),
        stage.recipe.schema,
        seconds_per_part=job.manners.seconds_per_part,
    )
    with stopping(stop), progress.publishing(directory.progress):
        try:
            with job.manners.view(progress, stage), progress.ending():
                outcome = run_stage(
                    job.source, workers, sink, progress=progress, log=log, stop=stop
                )
                progress.end(outcome.state)
        except BaseException:
            log.event("run_failed", level="error", error=progress.snapshot().message)
            with suppress(StorageError):
                end = manifest.end(finished=utc_now(), state="failed", spaxels=0)
                end.write(directory.manifest)
            raise
    log.event("run_ended", state=outcome.state, spaxels=outcome.spaxels, failed=outcome.failed)
    end = manifest.end(finished=utc_now(), state=outcome.state, spaxels=outcome.spaxels)
    end.write(directory.manifest)
    return outcome


def _is_complete(manifest: RunManifest, directory: RunDirectory) -> bool:
    """Tell whether the run ended well and its table still has every batch."""
    ended_well = bool(manifest.sessions) and manifest.sessions[-1].state == "done"
    return ended_well and len(ledger(directory.table(manifest.stage))) == manifest.plan.batches


def _metadata(stage: Stage) -> dict[str, str]:
    """Give the metadata of the table as text."""
    metadata = stage.recipe.schema.metadata or {}
    return {name.decode(): text.decode() for name, text in metadata.items()}
