"""The manifest of a run: what was run, on what, with which versions, and when.

It is the provenance of the table, and what `resume` holds the input and the configuration against.
"""

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from .disk import publish
from .errors import RunError

FORMAT = 1
_RECORDED = ("stream-fit", "numpy", "scipy", "numba", "astropy", "h5py", "pyarrow", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the input was cut: batches of about `batch` spaxels; a resume cuts it the same way."""

    batch: int
    batches: int
    spaxels: int


@dataclass(frozen=True, slots=True)
class Later:
    """A stage after the first: the name and metadata of its table, and how its input was cut."""

    name: str
    table: dict[str, str]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Session:
    """One process that worked on the run.

    Parameters
    ----------
    started, finished : str
        UTC, ISO 8601; `finished` is "" while it works, and for ever if it was killed.
    state : str
        "running", "done", "interrupted" or "failed".
    spaxels : int
        Rows it added, of all stages.
    threads, memory : int
        Threads that fit, and the bound [bytes].
    provider : str
        What ran the fits.
    versions : dict
        Of Python and the packages that matter.
    """

    started: str
    threads: int
    memory: int
    provider: str
    finished: str = ""
    state: str = "running"
    spaxels: int = 0
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What a run is.

    Parameters
    ----------
    stage : str
        "optical" or "xray".
    input : str
        Absolute path.
    fingerprint : dict
        Identity of the input.
    choices : dict
        Every part of the configuration that changes the table, by name.
    digest : str
        Of `choices`.
    header : dict
        Of the map grid: name, shape, unit, celestial WCS and what else products need.
    table : dict
        The metadata of the table: line set, noise, line shape.
    plan : Plan
    sessions : tuple of Session
        In the order of their start.
    format : int
        Of this file.
    later : tuple of Later
        Stages after the first, which `header`, `table` and `plan` are of.
    """

    stage: str
    input: str
    fingerprint: dict[str, Any]
    choices: dict[str, Any]
    digest: str
    header: dict[str, Any]
    table: dict[str, str]
    plan: Plan
    sessions: tuple[Session, ...] = ()
    format: int = FORMAT
    later: tuple[Later, ...] = ()

    def begin(self, session: Session) -> "RunManifest":
        """Add a session."""
        return dataclasses.replace(self, sessions=(*self.sessions, session))

    def end(self, *, finished: str, state: str, spaxels: int) -> "RunManifest":
        """Close the last session."""
        last = dataclasses.replace(
            self.sessions[-1], finished=finished, state=state, spaxels=spaxels
        )
        return dataclasses.replace(self, sessions=(*self.sessions[:-1], last))

    def write(self, path: Path) -> None:
        """Put the manifest on disk, whole or not at all.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        publish(path, (json.dumps(dataclasses.asdict(self), indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "RunManifest":
        """Read a manifest.

        Raises
        ------
        RunError
            If it is not there, damaged, or of a format this version does not know.
        """
        try:
            values = json.loads(path.read_text())
            if values["format"] != FORMAT:
                raise RunError(
                    f"{path}: format {values['format']}, this version reads {FORMAT}; "
                    "use the version of stream-fit that began the run"
                )
            plan = Plan(**values.pop("plan"))
            sessions = tuple(Session(**session) for session in values.pop("sessions"))
            later = tuple(
                Later(one["name"], one["table"], Plan(**one["plan"]))
                for one in values.pop("later", ())
            )
            return cls(**values, plan=plan, sessions=sessions, later=later)
        except FileNotFoundError:
            raise RunError(
                f"{path}: not there: the run never began; start it again with --overwrite"
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{path}: cannot be read as a manifest ({error}); start again with --overwrite"
            ) from None


def versions() -> dict[str, str]:
    """Give the versions of Python, the platform and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _RECORDED:
        for distribution in (name, f"{name}-gpu"):
            try:
                found[name] = distribution_version(distribution)
            except PackageNotFoundError:
                continue
            break
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two flat mappings.

    Returns
    -------
    list of str
        "size 123 -> 124"; digests are only named: "last_block".
    """
    found = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        digests = all(isinstance(value, str) and len(value) >= 32 for value in (old, new))
        plain = name if "/" in name else name.replace("_", " ")
        shown = plain if digests else f"{name} {_show(old)} -> {_show(new)}"
        found.append(shown)
    return found


def _show(value: Any) -> str:
    """Write one value of a change, digests cut short."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 32 else f"{text[:12]}..."
