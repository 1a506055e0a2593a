import numpy as np
import pytest
from ogip_files import AREA, arf, counts, observation, pha, pha2, rmf

from streamfit.io.errors import InputError
from streamfit.io.observation_source import ObservationSource
from streamfit.io.observations import Observation, RefusedObservation
from streamfit.io.ogip import Links


@pytest.fixture
def files(tmp_path):
    first = observation(tmp_path, BACKFILE="b.pha")
    bad = pha(tmp_path / "bad.pha", HDUCLAS2="NET")
    many = pha2(tmp_path / "many.pha2", np.stack([counts(seed) for seed in range(5)]))
    broken = tmp_path / "broken.pha"
    broken.write_bytes(b"")
    return [first, bad, many, broken]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_observation_has_its_row_whatever_the_batch(files, batch):
    source = ObservationSource(files, batch=batch)
    assert len(source) == 8
    assert source.name == "a.pha and 3 more"
    rows = [one for key in source.keys() for one in source.read(key).observations]  # noqa: SIM118
    names = ["a.pha", "bad.pha", *(f"many.pha2[{row}]" for row in range(1, 6)), "broken.pha"]
    assert [one.name for one in rows] == names
    assert [isinstance(one, RefusedObservation) for one in rows] == [0, 1, 0, 0, 0, 0, 0, 1]
    assert rows[1].reason.startswith("bad.pha: HDUCLAS2 is NET")
    np.testing.assert_array_equal(rows[4].counts, counts(2))
    assert source.spaxel_nbytes == rows[0].nbytes


def test_memory_is_judged_by_the_largest_response(files, tmp_path):
    rmf(tmp_path / "large.rmf", name="SPECRESP MATRIX", layout="scalar")
    large = pha(tmp_path / "large.pha", RESPFILE="large.rmf")
    own, other = ((tmp_path / name).stat().st_size for name in ("a.rmf", "large.rmf"))
    assert other != own
    source = ObservationSource([files[0], large])
    alone = ObservationSource(files[:1]).spaxel_nbytes
    assert source.spaxel_nbytes == int(alone * max(1.0, other / own))
    assert ObservationSource([large, files[0]], batch=1).spaxel_nbytes > alone / 2


def test_the_same_observations_can_be_cut_otherwise(files):
    source = ObservationSource(files, batch=3)
    other = source.cut(5)
    assert [len(key) for key in other.keys()] == [5, 3]  # noqa: SIM118
    assert [len(key) for key in source.keys()] == [3, 3, 2]  # noqa: SIM118
    assert other.fingerprint() == source.fingerprint()


def test_batches_know_their_length(files):
    source = ObservationSource(files, batch=3)
    assert [len(key) for key in source.keys()] == [3, 3, 2]  # noqa: SIM118
    assert [len(source.read(key)) for key in source.keys()] == [3, 3, 2]  # noqa: SIM118


def test_links_of_the_user_hold_for_all(files, tmp_path):
    arf(tmp_path / "other.arf", area=2 * AREA)
    source = ObservationSource(files[:1], links=Links(arf=str(tmp_path / "other.arf")))
    (found,) = source.read(source.keys()[0]).observations
    assert isinstance(found, Observation)
    assert found.response.name == "a.rmf with other.arf"


def test_the_fingerprint_sees_every_file_an_observation_needs(files, tmp_path):
    source = ObservationSource(files)
    before = source.fingerprint()
    assert list(before) == [str(path) for path in files]
    assert source.fingerprint() == before
    pha(tmp_path / "b.pha", counts(9))
    after = source.fingerprint()
    assert [name for name in before if before[name] != after[name]] == [str(files[0])]
    arf(tmp_path / "a.arf", area=2 * AREA)
    changed = source.fingerprint()
    assert [before[name] == changed[name] for name in before] == [False, False, False, True]


def test_nothing_readable_still_has_rows(files):
    source = ObservationSource(files[3:])
    assert source.spaxel_nbytes > 0
    assert source.read(source.keys()[0]).observations[0].reason.startswith("broken.pha: not FITS")


def test_what_is_not_there_is_refused(files, tmp_path):
    with pytest.raises(InputError, match="no observations: give"):
        ObservationSource([])
    with pytest.raises(InputError, match=r"gone\.pha: no such file; give"):
        ObservationSource([tmp_path / "gone.pha"])
    with pytest.raises(InputError, match="a folder; give"):
        ObservationSource([tmp_path])
    key = ObservationSource(files, batch=2).keys()[0]
    with pytest.raises(InputError, match="not a batch of this plan"):
        ObservationSource(files, batch=3).read(key)


def test_single_observations_are_found_by_their_place(files):
    source = ObservationSource(files, batch=3)
    names = [name for name, _ in source.names]
    assert names == [source.one(place).name for place in range(len(source))]
    assert source.names[3] == ("many.pha2[2]", files[2])
    assert source.targets() == ["A test", "A test", *[""] * 6]
    many = source.one(4)
    assert isinstance(many, Observation)
    np.testing.assert_array_equal(many.counts, counts(2))


def test_a_file_that_has_lost_a_spectrum_is_named(files):
    source = ObservationSource(files)
    pha2(files[2], np.stack([counts(seed) for seed in range(2)]))
    found = source.one(5)
    assert isinstance(found, RefusedObservation)
    assert (found.name, found.reason) == (
        "many.pha2[4]",
        "many.pha2: no row 4, it has 2; give one of them",
    )
