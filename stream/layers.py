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
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from .config import EngineConfig, OpticalConfig, RunConfig, XrayConfig
from .options import OPTIONS, Option

_BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}
_SECTIONS = ("engine", "optical", "xray")


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
    values: dict[str, Any] = {}
    lines: dict[str, float] = {}
    ratios: dict[str, Any] = {}
    for file in files:
        _take(_read_toml(file), str(file), values, lines, ratios)
    for text in sets:
        _take(_set_table(text), f"--set {text}", values, lines, ratios)
    if tie is not None:
        table = _read_toml(tie)
        for key in table.keys() - {"groups", "ratios"}:
            raise InputError(f"{tie}: --tie takes groups and [ratios], not {key}; move it to -c")
        _take(table, str(tie), values, lines, ratios)
    for name, text in (flags or {}).items():
        values[name] = parse_flag(name, text)
    if ratios:
        values["ratios"] = _parse(_BY_NAME["ratios"], ratios, "[ratios]")
    by_section = {
        section: {
            name: value for name, value in values.items() if _BY_NAME[name].section == section
        }
        for section in _SECTIONS
    }
    return RunConfig(
        stage=stage,
        input=_absolute(path),
        engine=EngineConfig(**by_section["engine"]),
        optical=_with_prior(
            OpticalConfig(**by_section["optical"], custom_lines=tuple(lines.items()))
        ),
        xray=XrayConfig(**by_section["xray"]),
        more=tuple(_absolute(one) for one in more),
    )


def _with_prior(chosen: OpticalConfig) -> OpticalConfig:
    """Say which prior a run with posteriors has, where the user does not."""
    if chosen.prior in ("mdn", "neighbours") and chosen.no_mdn:
        raise InputError(
            f"--prior {chosen.prior} needs the network that --no-mdn leaves out; drop one of them"
        )
    if not chosen.bayes or chosen.prior is not None:
        return chosen
    return dataclasses.replace(chosen, prior="flat" if chosen.no_mdn else "mdn")


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


def parse_flag(name: str, text: str) -> Any:
    """Read the value of one flag.

    Raises
    ------
    InputError
        If it is not what the option takes.
    """
    return _parse(_BY_NAME[name], text, f"--{name.replace('_', '-')}")


def _take(
    table: Mapping[str, Any],
    where: str,
    values: dict[str, Any],
    lines: dict[str, float],
    ratios: dict[str, Any],
) -> None:
    """Lay one table over what is there."""
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == "run":
            continue
        if name in _SECTIONS and isinstance(value, Mapping):
            for inner in value:
                found = _BY_NAME.get(inner.replace("-", "_"))
                if found is None or found.section != name:
                    raise _unknown(where, f"{name}.{inner}")
            _take(value, where, values, lines, ratios)
        elif name == "lines" and isinstance(value, Mapping):
            lines.update(_line_table(value, where))
        elif name == "ratios" and isinstance(value, Mapping):
            values.pop("ratios", None)
            ratios.update(value)
        elif name in _BY_NAME:
            values[name] = _parse(_BY_NAME[name], value, f"{where}: {key}")
            if name == "ratios":
                ratios.clear()
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
    full |= {option.name: f"{option.section}.{option.name}" for option in OPTIONS}
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
