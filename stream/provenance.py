"""What the header of a map says of the run it comes from: FITS cards and their comments."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..kernels.lines import REST_AIR_NM
from .columns import RunTable
from .expressions import Expression


def common_cards(table: RunTable) -> dict[str, Any]:
    """Give the cards that all maps of a run share."""
    manifest, header = table.manifest, table.manifest.header
    stated = {
        "OBJECT": header["target"],
        "INSTRUME": header["instrument"],
        "FILTER": header["filter_name"],
    }
    cards: dict[str, Any] = {name: text for name, text in stated.items() if text}
    cards["CREATOR"] = f"stream-fit {manifest.choices['version']}"
    cards["DATE"] = (datetime.now(UTC).isoformat(timespec="seconds")[:19], "this file, UTC")
    cards["SFINPUT"] = (Path(manifest.input).name, "cube")
    cards["SFCONFIG"] = (manifest.digest[:16], "digest of the configuration")
    cards["SFREGION"] = (str(header["area"]), "of the cube, 0-based, ends excluded")
    if header["bin"] != 1:
        cards["SFBIN"] = (header["bin"], "side of a bin [spaxels]; SFREGION counts bins")
    for name, text in sorted(manifest.table.items()):
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and text and len(text) <= 200:
            cards[f"SF {name.upper()}"] = text
    return cards


def quantity_cards(table: RunTable, name: str, derived: Expression | None) -> dict[str, Any]:
    """Give the cards of one quantity: unit, meaning, and the line it belongs to."""
    if derived is not None:
        about = "1 where true" if derived.logical else "unit as the expression has it"
        return {"QUANTITY": (name, about), "SFEXPR": (derived.text, "of columns of the table")}
    cards: dict[str, Any] = {}
    unit = table.told(name, "unit")
    if unit:
        cards["BUNIT"] = unit
    cards["QUANTITY"] = (name, "column of the table")
    cards["CONTENT"] = table.told(name, "description")
    if ucd := table.told(name, "ucd"):
        cards["UCD"] = ucd
    if name.startswith(("velocity", "post_velocity", "mdn_velocity")):
        cards["VELCONV"] = ("optical", "c dlambda / lambda0")
    line = re.sub(r"^(post_|mdn_)|_(flux|amplitude)(_c\d+)?$", "", name)
    if line != name:
        cards["LINE"] = line
        if wavelength := rest_wavelength(table, line):
            cards["LINEWAV"] = (wavelength, "[nm] rest wavelength in air")
    return cards


def rest_wavelength(table: RunTable, line: str) -> float | None:
    """Give the rest wavelength of a line [nm, air], as the run was told or as we know it."""
    return table.manifest.choices.get(f"lines.{line}", REST_AIR_NM.get(line))
