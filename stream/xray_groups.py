"""Which observations are fitted together: each alone, by target, or as a table of the user says."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..io.errors import InputError
from ..io.group_source import Group
from ..io.observation_source import ObservationSource
from ..io.stack_table import StackRow, read_stack_table
from .config import XrayConfig

ALONE, BY_TARGET = "obs", "group"
"""Words of `--stack-by`; anything else is a file."""


def groups_of(source: ObservationSource, chosen: XrayConfig) -> tuple[Group, ...]:
    """Group the observations of a run.

    Parameters
    ----------
    source : ObservationSource
    chosen : XrayConfig
        ``stack_by``, ``redshift`` and ``nh``.

    Returns
    -------
    tuple of Group
        In the order of their first observations; one that no group names is its own.

    Raises
    ------
    InputError
        If the table of groups cannot be used.
    """
    names = _unique(source.names)
    redshift = chosen.redshift or 0.0
    if chosen.stack_by == ALONE:
        return tuple(
            Group(name, (place,), (redshift,), chosen.nh) for place, name in enumerate(names)
        )
    if chosen.stack_by == BY_TARGET:
        members: dict[str, list[int]] = defaultdict(list)
        for place, target in enumerate(source.targets()):
            members[target or names[place]].append(place)
        return tuple(
            Group(name, tuple(places), (redshift,) * len(places), chosen.nh)
            for name, places in members.items()
        )
    path = Path(chosen.stack_by)
    placed = _placed(read_stack_table(path), source, path)
    return _by_table(placed, names, chosen, path)


def stack_file(chosen: XrayConfig) -> Path | None:
    """Give the table of groups, where there is one."""
    return None if chosen.stack_by in (ALONE, BY_TARGET) else Path(chosen.stack_by)


def are_stacked(groups: Sequence[Group]) -> bool:
    """Tell whether any group has more than one member."""
    return any(len(group.members) > 1 for group in groups)


def _unique(names: Sequence[tuple[str, Path]]) -> list[str]:
    """Name observations by their files, by their paths where two files have one name."""
    often = Counter(name for name, _ in names)
    return [
        name if often[name] == 1 else f"{path.parent / path.name}{name[len(path.name) :]}"
        for name, path in names
    ]


def _placed(rows: Sequence[StackRow], source: ObservationSource, path: Path) -> dict[int, StackRow]:
    """Find the observation of each row."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, (name, file) in enumerate(source.names):
        behind = name[len(file.name) :]
        stem = file.name.partition(".")[0]
        for known in {f"{one}{behind}" for one in (file.name, file.stem, stem, str(file))}:
            places[known].append(place)
    found: dict[int, StackRow] = {}
    for row in rows:
        known = places.get(row.obs) or places.get(str((path.parent / row.obs).absolute()), [])
        if len(known) != 1:
            what = "is none" if not known else f"is {len(known)}"
            cure = "give its name" if not known else "give its path"
            raise InputError(
                f"{path}: obs {row.obs} {what} of the {len(source)} observations of the run, for "
                f"example {source.names[0][0]}; {cure} or leave it out"
            )
        if known[0] in found:
            raise InputError(f"{path}: obs {row.obs} has two rows; leave one out")
        found[known[0]] = row
    return found


def _by_table(
    placed: Mapping[int, StackRow], names: Sequence[str], chosen: XrayConfig, path: Path
) -> tuple[Group, ...]:
    """Make the groups of a table."""
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[placed[place].group if place in placed else name].append(place)
    groups = []
    for name, places in members.items():
        rows = [placed.get(place, StackRow(names[place], name)) for place in places]
        columns = {row.nh for row in rows if row.nh is not None}
        if len(columns) > 1:
            found = " and ".join(f"{one:g}" for one in sorted(columns)[:2])
            raise InputError(f"{path}: group {name} has nh {found}; give a group one column")
        given = [chosen.redshift if row.redshift is None else row.redshift for row in rows]
        groups.append(
            Group(
                name,
                tuple(places),
                tuple(one or 0.0 for one in given),
                columns.pop() if columns else chosen.nh,
            )
        )
    return tuple(groups)
