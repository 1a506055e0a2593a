"""Groups read from the first table and their files, whatever the batch and the parts."""

import numpy as np
import pytest
from ogip_files import counts, observation, pha

from streamfit.io.errors import InputError, RunError
from streamfit.io.group_source import Group, GroupSource
from streamfit.io.observation_source import ObservationSource
from streamfit.io.observations import Observation, RefusedObservation
from streamfit.io.table import row_groups
from streamfit.stream.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five observations and the first table of a run."""
    folder = tmp_path_factory.mktemp("groups")
    files = [observation(folder)]
    files += [pha(folder / f"n{seed}.pha", counts(seed)) for seed in range(3)]
    files.append(pha(folder / "bad.pha", HDUCLAS2="NET"))
    words = ["--method", "isis", "--no-fit", "--no-tui", "--batch", "2"]
    assert main(["xray", *map(str, files), "-o", str(folder / "run"), *words]) == 0
    return files, folder / "run" / "deconvolve"


def source(made, batch=1, groups=None):
    files, table = made
    groups = groups or [Group("x", (0, 3), (0.1, 0.3)), Group("y", (4, 1, 2), (0.0,) * 3)]
    return GroupSource(ObservationSource(files), groups, table, batch=batch)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_members_come_with_their_own_rows(made, batch):
    found = source(made, batch)
    read = [found.read(key) for key in found.keys()]  # noqa: SIM118
    members = [one for part in read for one in part.members]
    names = [[one.found.name for one in group] for group in members]
    assert names == [["a.pha", "n2.pha"], ["bad.pha", "n0.pha", "n1.pha"]]
    assert [one.redshift for one in members[0]] == [0.1, 0.3]
    assert isinstance(members[1][0].found, RefusedObservation)
    assert np.isnan(members[1][0].log_flux).all()
    for one in members[1][1:]:
        assert isinstance(one.found, Observation)
        assert np.isfinite(one.log_flux).any()
    assert sum(len(part) for part in read) == len(found) == 2
    assert read[0].nbytes > 0


def test_a_group_is_at_the_median_of_its_redshifts():
    assert Group("x", (0, 1, 2), (0.1, 0.4, 0.2)).redshift == 0.2


def test_memory_is_that_of_the_largest_group(made):
    found = source(made)
    assert found.largest == 3
    assert found.spaxel_nbytes == 3 * found.observations.spaxel_nbytes


def test_rows_are_found_in_the_parts(made):
    assert sorted(row_groups(made[1])) == [(0, 2), (2, 4), (4, 5)]


def test_a_row_that_is_missing_is_told(made, tmp_path):
    files, _ = made
    found = GroupSource(ObservationSource(files), [Group("x", (1,), (0.0,))], tmp_path)
    with pytest.raises(RunError, match=r"no row of n0\.pha; resume the run"):
        found.read(found.keys()[0])


def test_a_row_of_another_observation_is_refused(made):
    files, table = made
    other = [files[1], files[0], *files[2:]]
    found = GroupSource(ObservationSource(other), [Group("x", (0,), (0.0,))], table)
    with pytest.raises(InputError, match=r"row 0 of .* is of a\.pha, not of n0\.pha; start again"):
        found.read(found.keys()[0])
