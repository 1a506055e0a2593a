"""How defaults, TOML files, ``--set`` and flags become one `RunConfig`.

Later ones win: defaults < files in their order < ``--set`` < flags. In a file an option stands by
its name, alone or in the table ``[engine]``, ``[optical]`` or ``[xray]``; ``[lines]`` defines lines
(NAME = air wavelength in nm), ``[ratios]`` fixes or frees flux ratios. ``run.toml`` is such a file,
so it can be given to ``-c``. A file may hold tables of both stages; a run takes its own.
"""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from .config import EngineConfig, OpticalConfig, RunConfig, XrayConfig
from .options import OPTIONS, Option

_SECTIONS = ("engine", "optical", "xray")
_BY_NAME: Mapping[tuple[str, str], Option] = {
    (option.section, option.name): option for option in OPTIONS
}
_NAMES = frozenset(option.name for option in OPTIONS)

Key = tuple[str, str]
"""Section and name of an option; `redshift` is one of both sciences."""


def build_config(
    stage: str,
    path: str,
    *,
    files: Sequence[Path] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    tie: Path | None = None,
    more: Sequence[str] = (),
) -> RunConfig:
    """Put a configuration together.

    Parameters
    ----------
    stage : {"optical", "xray"}
    path : str
        The input.
    files : sequence of Path
        TOML files, later ones win.
    sets : sequence of str
        ``name=value``, ``section.name=value``, ``lines.NAME=nm`` or ``ratios.A/B=value``.
    flags : mapping of option name to text
        From the command line.
    tie : Path, optional
        TOML file of ``groups`` and ``[ratios]``.
    more : sequence of str
        Further inputs, of an X-ray run.

    Raises
    ------
    InputError
        If a key is unknown or a value is not what its option takes.
    """
    values: dict[Key, Any] = {}
    lines: dict[str, float] = {}
    ratios: dict[str, Any] = {}
    laid = _Laid(stage, values, lines, ratios)
    for file in files:
        _take(_read_toml(file), str(file), laid)
    for text in sets:
        _take(_set_table(text), f"--set {text}", laid)
    if tie is not None:
        table = _read_toml(tie)
        for key in table.keys() - {"groups", "ratios"}:
            raise InputError(f"{tie}: --tie takes groups and [ratios], not {key}; move it to -c")
        _take(table, str(tie), laid)
    for name, text in (flags or {}).items():
        option = _option(name, stage)
        values[option.section, name] = parse_flag(name, text, stage)
    if ratios:
        values["optical", "ratios"] = _parse(_BY_NAME["optical", "ratios"], ratios, "[ratios]")
    by_section: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for (section, name), value in values.items():
        by_section[section][name] = value
    return RunConfig(
        stage=stage,
        input=_absolute(path),
        engine=EngineConfig(**by_section["engine"]),
        optical=_with_prior(
            OpticalConfig(**by_section["optical"], custom_lines=tuple(lines.items()))
        ),
        xray=_with_evidence(XrayConfig(**by_section["xray"])),
        more=tuple(_absolute(one) for one in more),
    )


def _with_prior(chosen: OpticalConfig) -> OpticalConfig:
    """Say which prior a run with posteriors has, where the user does not."""
    networks = chosen.prior in ("mdn", "neighbours")
    if networks and chosen.no_mdn:
        raise InputError(
            f"--prior {chosen.prior} needs the network that --no-mdn leaves out; drop one of them"
        )
    several = chosen.components != 1 or len(chosen.groups) > 1
    if networks and several:
        raise InputError(
            f"--prior {chosen.prior} is a density of one velocity and broadening, and "
            f"{_what_is_several(chosen)}; drop it for the flat prior"
        )
    sampled = several and (chosen.bayes or chosen.components == "auto")
    if chosen.refine and not sampled:
        raise InputError(
            "--refine is for posteriors that are sampled; give --components auto, or --bayes with "
            "--components 2 or more or with several groups, or drop it"
        )
    if not (chosen.bayes or sampled) or chosen.prior is not None:
        return chosen
    flat = chosen.no_mdn or several
    return dataclasses.replace(chosen, prior="flat" if flat else "mdn")


def _what_is_several(chosen: OpticalConfig) -> str:
    """Name what makes several velocities."""
    if chosen.components != 1:
        return f"--components {chosen.components} has several"
    return f"--tie makes {len(chosen.groups)} groups"


def _with_evidence(chosen: XrayConfig) -> XrayConfig:
    """Refuse what needs posteriors where there are none, and say which prior a run has."""
    for name in ("against", "refine", "prior"):
        if getattr(chosen, name) and not chosen.bayes:
            raise InputError(f"--{name} needs posteriors; add --bayes, or drop it")
    if chosen.against == chosen.model:
        raise InputError(
            f"--against {chosen.against}: is the model that is fitted; give another, for example "
            f"{'apec2' if chosen.model != 'apec2' else 'apec1'}"
        )
    if not chosen.bayes or chosen.prior is not None:
        return chosen
    return dataclasses.replace(chosen, prior="flat")


@dataclass(frozen=True, slots=True)
class _Laid:
    """What was laid down so far: values by section and name, lines, and ratios, for a stage."""

    stage: str
    values: dict[Key, Any]
    lines: dict[str, float]
    ratios: dict[str, Any]


def _option(name: str, stage: str) -> Option:
    """Find an option by its name alone: the engine's, the stage's own, or the other's."""
    for section in ("engine", stage, *_SECTIONS):
        if (section, name) in _BY_NAME:
            return _BY_NAME[section, name]
    raise KeyError(name)


def _absolute(path: str) -> str:
    """Make a path independent of the working folder."""
    return str(Path(path).expanduser().absolute())


def read_run_toml(path: Path) -> RunConfig:
    """Read ``run.toml``.

    Raises
    ------
    InputError
        If it is not there, not TOML or says what no run can do.
    """
    run = _read_toml(path).get("run")
    if not isinstance(run, dict) or not {"stage", "input", "version"} <= run.keys():
        raise InputError(f"{path}: no [run] table with stage, input and version; not a run")
    config = build_config(run["stage"], run["input"], files=[path], more=run.get("more", ()))
    return dataclasses.replace(config, version=run["version"])


def parse_flag(name: str, text: str, stage: str = "optical") -> Any:
    """Read the value of one flag of a stage.

    Raises
    ------
    InputError
        If it is not what the option takes.
    """
    return _parse(_option(name, stage), text, f"--{name.replace('_', '-')}")


def _take(table: Mapping[str, Any], where: str, laid: _Laid, *, of: str = "") -> None:
    """Lay one table over what is there; `of` is the section it stands in, "" for none."""
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == "run":
            continue
        if name in _SECTIONS and isinstance(value, Mapping):
            for inner in value:
                if (name, inner.replace("-", "_")) not in _BY_NAME:
                    raise _unknown(where, f"{name}.{inner}")
            _take(value, where, laid, of=name)
        elif name == "lines" and isinstance(value, Mapping):
            laid.lines.update(_line_table(value, where))
        elif name == "ratios" and isinstance(value, Mapping):
            laid.values.pop(("optical", "ratios"), None)
            laid.ratios.update(value)
        elif name in _NAMES:
            option = _BY_NAME[of, name] if of else _option(name, laid.stage)
            laid.values[option.section, name] = _parse(option, value, f"{where}: {key}")
            if name == "ratios":
                laid.ratios.clear()
        else:
            raise _unknown(where, key)


def _line_table(table: Mapping[str, Any], where: str) -> Iterable[tuple[str, float]]:
    """Check the wavelengths of ``[lines]``."""
    for name, value in table.items():
        try:
            wavelength = float(value)
        except (TypeError, ValueError):
            wavelength = 0.0
        if not 10 < wavelength < 1e5:
            raise InputError(
                f"{where}: [lines] {name} = {value!r} is not an air wavelength in nm; "
                "give for example 656.2819"
            )
        yield name, wavelength


def _parse(option: Option, value: Any, where: str) -> Any:
    """Read one value, or say where it is wrong."""
    try:
        return option.parse(value)
    except ValueError as error:
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        raise InputError(f"{where}: {shown} {error}") from None


def _set_table(text: str) -> dict[str, Any]:
    """Turn ``a.b=value`` into the table a file would give."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise InputError(f"--set {text}: no value; write --set name=value")
    outer, dot, inner = name.partition(".")
    if not dot:
        return {outer: value}
    if outer == "optical" and inner.startswith("ratios."):
        return {"ratios": {inner.removeprefix("ratios."): value}}
    return {outer: {inner: value}}


def _unknown(where: str, key: str) -> InputError:
    """Name an unknown key and the nearest known one."""
    full = {name: f"[{name}]" for name in (*_SECTIONS, "lines", "ratios")}
    for option in OPTIONS:
        full.setdefault(option.name, f"{option.section}.{option.name}")
    bare = key.rpartition(".")[2].replace("-", "_")
    nearest = difflib.get_close_matches(bare, full, n=1)
    cure = f"did you mean {full[nearest[0]]}?" if nearest else f"known are {', '.join(full)}"
    return InputError(f"{where}: option {key} is unknown; {cure}")


def _read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, or say why not."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a TOML file that can be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
