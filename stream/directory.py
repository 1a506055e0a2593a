"""The directory of a run: what lies where, who may write it, and whether it may be gone on with."""

import json
import tomllib
from pathlib import Path
from typing import Any

from ..io.disk import refused
from ..io.errors import ChangedInputError, InputError, RunError
from ..io.manifest import RunManifest, changes
from .config import RunConfig
from .eventlog import EventLog, is_held

TABLES = {"optical": ("fit",), "xray": ("deconvolve", "fit")}
"""Folders of the tables that a run of each kind fills, in their order."""

_NAMED = 4  # changed files that a message names


class RunDirectory:
    """Paths of a run.

    Parameters
    ----------
    path : Path
        It need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "run.toml"
        self.manifest = path / "manifest.json"
        self.log = path / "log.jsonl"
        self.progress = path / "progress.json"

    def table(self, stage: str) -> Path:
        """Give the folder of the parts that a run of a kind fills first."""
        return self.path / TABLES[stage][0]

    def require(self) -> None:
        """Refuse what is not a run.

        Raises
        ------
        InputError
            If there is no ``run.toml``.
        """
        if not self.config.is_file():
            found = "not a run of stream-fit (no run.toml)" if self.path.is_dir() else "not there"
            raise InputError(f"{self.path}: {found}; give the directory that -o named")

    def stage(self) -> str:
        """Tell which stage a run is of.

        Raises
        ------
        InputError
            If it is no run, or its ``run.toml`` does not say.
        """
        self.require()
        try:
            stage = tomllib.loads(self.config.read_text())["run"]["stage"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.config}: names no stage ({error}); not a run") from None
        if stage not in TABLES:
            known = " and ".join(TABLES)
            raise InputError(f"{self.config}: stage {stage} is unknown; this version knows {known}")
        return stage

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse to begin where something is that may not be replaced.

        Raises
        ------
        RunError
            If there is a run, or anything else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunError(f"{self.path}: is a file; give a directory to -o")
        if self.config.is_file():
            if not overwrite:
                raise RunError(
                    f"{self.path}: already holds a run; go on with it (stream-fit resume "
                    f"{self.path}), replace it (--overwrite) or name another directory"
                )
        elif {path.name for path in self.path.iterdir()} - {self.log.name}:
            raise RunError(
                f"{self.path}: holds files but no run of stream-fit; name another directory"
            )

    def claim(self, copy: Path | None, *, overwrite: bool = False) -> EventLog:
        """Make the directory this process's own, emptied of the run that was there.

        Only files of a run are removed; what a user put beside them stays.

        Raises
        ------
        RunError
            If another process works on it.
        StorageError
            If the disk refuses.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            log = EventLog(self.log, copy=copy)
        except OSError as error:
            raise refused(self.path, error) from error
        if overwrite:
            log.clear()
            folders = {name for names in TABLES.values() for name in names}
            parts = [part for name in folders for part in self._parts_of(name)]
            for path in (self.manifest, self.progress, self.config, *parts):
                path.unlink(missing_ok=True)
        return log

    def _parts_of(self, name: str) -> list[Path]:
        """Give the parts of one table, sealed or not."""
        return list((self.path / name).glob("part-*.parquet*"))

    def status(self) -> dict[str, Any]:
        """Read ``progress.json``, corrected for a writer that is no more.

        Returns
        -------
        dict
            As the file, its state "killed" where it says "running" and nobody works on the run.

        Raises
        ------
        InputError, RunError
            If there is no run, or nothing that can be read.
        """
        self.require()
        try:
            found = json.loads(self.progress.read_text())
        except FileNotFoundError:
            raise RunError(f"{self.progress}: not there yet; the run has only begun") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.progress}: cannot be read ({error}); resume the run") from None
        if found["state"] in ("starting", "running") and is_held(self.log) is False:
            found["state"] = "killed"
            found["eta_s"] = found["rate_now"] = None
        return found


def check_unchanged(config: RunConfig, manifest: RunManifest, path: Path) -> None:
    """Refuse to go on with another version or another configuration.

    Raises
    ------
    ChangedInputError
        Naming what changed.
    """
    changed = changes(manifest.choices, config.choices())
    if changed:
        raise ChangedInputError(
            f"{path}: changed since the run began: {'; '.join(changed)}; put it back, or start "
            "again with --overwrite"
        )


def check_same_input(fingerprint: dict[str, Any], manifest: RunManifest) -> None:
    """Refuse to go on with another input.

    Raises
    ------
    ChangedInputError
        Naming what changed.
    """
    now = json.loads(json.dumps(fingerprint))
    changed = changes(manifest.fingerprint, now)
    if changed and manifest.stage == "optical":
        raise ChangedInputError(
            f"{manifest.input}: changed since the run began: {'; '.join(changed)}; put the old "
            "file back, or start again with --overwrite"
        )
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise ChangedInputError(
            f"changed since the run began, they or files they link to: "
            f"{'; '.join(changed[:_NAMED])}{more}; put the old ones back, or start again with "
            "--overwrite"
        )


def check_same_table(
    metadata: dict[str, str], began: dict[str, str], manifest: RunManifest
) -> None:
    """Refuse to go on with rows that would mean something else: other weights of a network, say.

    Raises
    ------
    ChangedInputError
        Naming what changed.
    """
    changed = changes(began, metadata)
    if changed:
        raise ChangedInputError(
            f"{manifest.input}: the table would change: {'; '.join(changed)}; use the installation "
            "that began the run, or start again with --overwrite"
        )
