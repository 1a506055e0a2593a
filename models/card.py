"""A model's card: what a graph takes and gives, on what it was trained, and where it holds.

A card lies beside its ``.onnx`` or ``.npz`` file under the same name with the suffix ``.json``. It
names the SHA-256 of that file, so that weights and what is said about them cannot come apart:
`load_card` refuses a file that is not the one described.

    {"name": "rim", "version": 1, "sha256": "...", "licence": "BSD-3-Clause",
     "purpose": "...",
     "inputs": [{"name": "counts", "shape": ["observation", 222], "dtype": "float32",
                 "unit": "counts", "description": "..."}],
     "outputs": [...],
     "training": {...}, "calibration": {...}, "holds": {...}, "measured": {...}}

`training` carries a `digest` of the configuration and code it was trained with; `calibration` the
numbers applied to what the graph puts out; `holds` the ranges outside which results are flagged;
`measured` the figures found on simulations never seen in training.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_REQUIRED = ("name", "version", "sha256", "licence", "purpose", "inputs", "outputs", "training")


class CardError(ValueError):
    """A card is missing, cannot be read, or describes another file."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Parameters
    ----------
    name : str
        As the graph calls it.
    shape : tuple of int or str
        Sizes; names where they vary.
    dtype, unit, description : str
        The unit is "" for a number without one.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a model or a table.

    Parameters
    ----------
    name : str
        Of the file, without its suffix.
    version : int
        One more each time the file is made anew.
    licence : str
        SPDX name, and what else has to be said.
    purpose : str
        What it does, in one line.
    inputs, outputs : tuple of Tensor
        In the order of the graph.
    training : mapping
        On what it was trained or from what it was computed, with a `digest`.
    calibration : mapping
        Numbers applied to what comes out.
    holds : mapping
        Ranges in which it is known to hold.
    measured : mapping
        Figures, and on what they were measured.
    sha256 : str
        Of the file described; filled in by `save_card`.
    """

    name: str
    version: int
    licence: str
    purpose: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    training: Mapping[str, Any]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    holds: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""


def card_path(path: Path) -> Path:
    """Give where the card of a file lies."""
    return path.with_suffix(".json")


def digest(settings: Mapping[str, Any], *code: Path) -> str:
    """Give a digest of settings and of the code that used them.

    Parameters
    ----------
    settings : mapping
        What JSON can hold.
    *code : Path
        Files whose text counts.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in code:
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def save_card(path: Path, card: Card) -> Path:
    """Write the card of a file beside it, with the file's SHA-256.

    Parameters
    ----------
    path : Path
        The file described.
    card : Card
        Its `sha256` is replaced.

    Returns
    -------
    Path
        The card.
    """
    found = {**asdict(card), "sha256": _sha256(path)}
    where = card_path(path)
    where.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return where


def load_card(path: Path) -> Card:
    """Read the card of a file, and hold the file to it.

    Parameters
    ----------
    path : Path
        The file described.

    Returns
    -------
    Card

    Raises
    ------
    CardError
        If there is no card, it lacks something, or it is the card of another file.
    """
    where = card_path(path)
    try:
        found = json.loads(where.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(f"{path.name}: no card {where.name} beside it; install it again") from None
    except json.JSONDecodeError as error:
        raise CardError(f"{where.name}: not JSON: {error}; install it again") from None
    held = found if isinstance(found, dict) else {}
    if missing := [key for key in _REQUIRED if key not in held]:
        raise CardError(f"{where.name}: lacks {', '.join(missing)}; install it again")
    try:
        inputs, outputs = (
            tuple(Tensor(**{**one, "shape": tuple(one["shape"])}) for one in held[key])
            for key in ("inputs", "outputs")
        )
        card = Card(**{**held, "inputs": inputs, "outputs": outputs})
    except (TypeError, KeyError) as error:
        raise CardError(f"{where.name}: {error}; install it again") from None
    if (sha256 := _sha256(path)) != card.sha256:
        raise CardError(
            f"{path.name}: SHA-256 is {sha256[:12]}..., its card says {card.sha256[:12]}...; "
            "install it again"
        )
    return card


def _sha256(path: Path) -> str:
    """Digest a file."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise CardError(f"{path.name}: no such file in {path.parent}; install it again") from None
