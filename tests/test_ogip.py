import gzip

import numpy as np
import pytest
from astropy.io import fits
from ogip_files import (
    CHANNEL,
    CHANNELS,
    EXPOSURE,
    counts,
    observation,
    pha,
    pha2,
    redistribution,
    rmf,
)

from streamfit.io import ogip
from streamfit.io.errors import InputError
from streamfit.io.observations import Observation, ObservationBatch, RefusedObservation
from streamfit.io.ogip import Links, observations, read_observation
from streamfit.io.ogip_file import OgipFile
from streamfit.io.records import BatchKey

# Counts and scaled background in 0.5-7 keV, as the observations are documented.
REAL = {
    "q1127_src1.pi": (64635, 79),
    "9774.pi": (4037, 41),
    "qso.pi": (3593, 15),
    "12845.pi": (1678, None),
    "obs1.pi": (49, 16),
    "obs2.pi": (30, 14.5),
    "obs3.pi": (63, 30.5),
    "obs4.pi": (38, 23.5),
    "sis0.pha": (49169, None),
}


def why(path, links=None):
    """The reason an observation is refused, which is one line."""
    with pytest.raises(InputError) as caught:
        read_observation(path, links=links)
    (row,) = observations(path, links)
    assert isinstance(row, RefusedObservation)
    assert row.reason == str(caught.value)
    assert "\n" not in row.reason
    return row.reason


def test_a_plain_observation(tmp_path):
    found = read_observation(observation(tmp_path, BACKFILE="b.pha"))
    np.testing.assert_array_equal(found.counts, counts())
    assert found.good.all()
    assert found.exposure == EXPOSURE
    assert found.response.name == "a.rmf with a.arf"
    assert (found.target, found.instrument, found.observation) == ("A test", "CHANDRA ACIS", "123")
    assert found.background is not None
    np.testing.assert_array_equal(found.background.counts, counts(2, 5.0))
    np.testing.assert_allclose(found.background.scale, 1000.0 * 0.5 / (2000.0 * 2.0))
    assert found.background.poisson
    assert found.notes == ()
    band = found.band(0.5, 7.0)
    centre = 0.5 * (CHANNEL[1:] + CHANNEL[:-1])
    np.testing.assert_array_equal(band, (centre >= 0.5) & (centre < 7.0))
    assert found.nbytes > found.response.nbytes


def test_scales_may_differ_by_channel(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha", AREASCAL=0.25)
    scales = np.linspace(1.0, 3.0, CHANNELS)
    columns = (fits.Column("BACKSCAL", "E", array=scales),)
    pha(tmp_path / "b.pha", counts(2), columns=columns, BACKSCAL=None, AREASCAL=0.5)
    found = read_observation(path).background
    np.testing.assert_allclose(found.scale, 0.5 * 0.25 / (scales * 0.5), rtol=1e-6)


def test_rates_become_counts(tmp_path):
    observation(tmp_path)
    path = pha(tmp_path / "r.pha", (counts() / EXPOSURE).astype("f4"), column="RATE")
    np.testing.assert_array_equal(read_observation(path).counts, counts())


def test_grouping_is_told_but_not_applied_and_quality_is_honoured(tmp_path):
    grouping = np.where(np.arange(CHANNELS) % 4 == 0, 1, -1)
    quality = np.zeros(CHANNELS, int)
    quality[[0, 5, 9]] = 1, 2, 5
    columns = (
        fits.Column("GROUPING", "I", array=grouping),
        fits.Column("QUALITY", "I", array=quality),
    )
    found = read_observation(observation(tmp_path, columns=columns))
    np.testing.assert_array_equal(found.grouping, grouping)
    np.testing.assert_array_equal(found.good, quality == 0)
    np.testing.assert_array_equal(found.counts, np.where(quality == 0, counts(), 0))
    assert "3 channels are of bad quality: left out" in found.notes


def test_bad_channels_of_the_background_are_left_out(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha")
    quality = np.arange(CHANNELS) == 4
    columns = (fits.Column("QUALITY", "I", array=quality.astype(int)),)
    pha(tmp_path / "b.pha", counts(2), columns=columns)
    found = read_observation(path)
    np.testing.assert_array_equal(found.good, ~quality)
    assert found.background.expected[4] == 0.0
    assert "1 channels are left out: they are not good in the background" in found.notes


def test_quality_as_a_keyword(tmp_path):
    found = read_observation(observation(tmp_path, QUALITY=5))
    assert not found.good.any()
    assert not found.counts.any()


def test_channels_from_zero_against_a_response_from_one(tmp_path):
    found = read_observation(observation(tmp_path, first=0))
    np.testing.assert_array_equal(found.counts, counts())
    assert "channels are counted from 0, those of the response from 1" in found.notes[0]


def test_channels_that_are_not_there_are_not_good(tmp_path):
    found = read_observation(observation(tmp_path, values=counts()[:20], first=3))
    assert not found.good[[0, 1, 22, 23]].any()
    np.testing.assert_array_equal(found.counts[2:22], counts()[:20])
    assert "4 of 24 channels are not in the file: left out" in found.notes


def test_garbage_in_channel_is_counted(tmp_path):
    path = observation(tmp_path)
    with fits.open(path, mode="update") as file:
        file["SPECTRUM"].data["CHANNEL"][:] = -32768
    found = read_observation(path)
    np.testing.assert_array_equal(found.counts, counts())
    assert "CHANNEL does not count the channels: counted from 1" in found.notes


@pytest.mark.parametrize(
    "link",
    ["b.pha", "./b.pha", "/data/of/somebody/b.pha", "b.pha.gz", "b.pha[SPECTRUM]", "b.pha{1}"],
)
def test_links_as_they_are_written(tmp_path, link):
    path = observation(tmp_path, BACKFILE="b.pha")
    pha(tmp_path / "a.pha", BACKFILE=link)
    assert read_observation(path).background.name == "b.pha"


def test_a_gzipped_neighbour_is_found(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha")
    for name in ("b.pha", "a.rmf"):
        plain = tmp_path / name
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    found = read_observation(path)
    assert found.background.name == "b.pha.gz"
    assert found.response.name == "a.rmf.gz with a.arf"


@pytest.mark.parametrize("link", ["none", "NONE", "", "  ", None])
def test_words_for_no_background(tmp_path, link):
    found = read_observation(observation(tmp_path, BACKFILE=link))
    assert found.background is None
    assert "no background is named" in found.notes[0]


def test_a_missing_background_is_told(tmp_path):
    found = read_observation(observation(tmp_path, BACKFILE="gone.pha"))
    assert found.background is None
    assert found.notes[0].startswith("BACKFILE gone.pha is not there: all counts are taken as")


def test_a_background_that_is_the_spectrum_itself(tmp_path):
    found = read_observation(observation(tmp_path, BACKFILE="a.pha"))
    assert found.background is None
    assert "BACKFILE names the spectrum itself: no background is taken" in found.notes


def test_a_background_with_its_own_response(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha")
    rmf(tmp_path / "b.rmf")
    pha(tmp_path / "b.pha", counts(2), RESPFILE="b.rmf", ANCRFILE="none")
    background = read_observation(path).background
    assert background.rmf == str(tmp_path / "b.rmf")
    assert background.arf == ""


def test_a_background_that_is_a_mean(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha")
    pha(tmp_path / "b.pha", counts(2) * 1.37)
    found = read_observation(path)
    assert not found.background.poisson
    assert "b.pha: counts are not whole: taken as expected, without scatter" in found.notes


def test_files_given_by_the_user_come_first(tmp_path):
    path = observation(tmp_path, RESPFILE="none", ANCRFILE="none", BACKFILE="gone.pha")
    other = pha(tmp_path / "other.pha", counts(3))
    links = Links(str(tmp_path / "a.rmf"), str(tmp_path / "a.arf"), str(other))
    found = read_observation(path, links=links)
    assert found.background.name == "other.pha"
    assert read_observation(path, links=Links(links.rmf, links.arf, "none")).background is None
    assert why(path, Links("gone.rmf", links.arf)).startswith("--rmf gone.rmf: no such file")


def test_the_image_in_the_first_hdu_is_not_read(tmp_path, monkeypatch):
    path = observation(tmp_path, image=True)
    read = []
    monkeypatch.setattr(
        fits.PrimaryHDU, "data", property(lambda self: read.append(self)), raising=True
    )
    read_observation(path)
    assert not read


def test_type_two_is_an_observation_a_row(tmp_path):
    observation(tmp_path)
    rows = np.stack([counts(seed) for seed in (1, 2, 3)])
    path = pha2(tmp_path / "two.pha2", rows, BACKFILE="none")
    found = list(observations(path))
    assert [one.name for one in found] == ["two.pha2[1]", "two.pha2[2]", "two.pha2[3]"]
    for row, one in enumerate(found):
        assert isinstance(one, Observation)
        np.testing.assert_array_equal(one.counts, rows[row])
        assert one.exposure == EXPOSURE * (row + 1)
        assert one.response is found[0].response
    assert read_observation(path, 2).name == "two.pha2[3]"
    with pytest.raises(InputError, match="no row 4, it has 3"):
        read_observation(path, 3)


def test_one_bad_row_does_not_stop_the_others(tmp_path):
    observation(tmp_path)
    rows = np.stack([counts(seed) for seed in (1, 2)])
    rows[0, 5] = -3
    links = fits.Column("BACKFILE", "10A", array=["none", "gone.pha"])
    first, second = observations(pha2(tmp_path / "two.pha2", rows, columns=(links,)))
    assert isinstance(first, RefusedObservation)
    assert first.reason.startswith("two.pha2[1]: channel 6 has -3 counts")
    assert isinstance(second, Observation)
    assert second.notes[0].startswith("BACKFILE gone.pha is not there")


def test_strips_beside_a_grating_spectrum(tmp_path):
    observation(tmp_path)
    rows = np.stack([counts(1), counts(2)])
    strips = tuple(
        fits.Column(name, f"{CHANNELS}J", array=rows + shift)
        for shift, name in enumerate(("BACKGROUND_UP", "BACKGROUND_DOWN"))
    )
    path = pha2(tmp_path / "two.pha2", rows, columns=strips, BACKSCUP=4.0, BACKSCDN=6.0)
    first, second = observations(path)
    np.testing.assert_array_equal(second.background.counts, 2 * rows[1] + 1)
    np.testing.assert_allclose(first.background.scale, 0.1)
    (one, _) = observations(path, Links(background="none"))
    assert one.background is None


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"EXPOSURE": None}, "no EXPOSURE; write the exposure in s"),
        ({"EXPOSURE": 0.0}, "EXPOSURE is 0 s; write"),
        ({"EXPOSURE": "long"}, "EXPOSURE is 'long', not a number"),
        ({"HDUCLAS2": "NET"}, "HDUCLAS2 is NET, its background is subtracted"),
        ({"values": counts() * 1.3}, "not a whole number, so they are not Poisson"),
        ({"values": counts() - 30}, "channels are negative; give the spectrum before"),
        ({"RESPFILE": "none"}, "(beside it lie a.arf, a.rmf); give --rmf and --arf"),
        ({"RESPFILE": "/far/gone.rmf"}, "RESPFILE /far/gone.rmf is neither there nor beside"),
        ({"ANCRFILE": "gone.arf"}, "put it there or give --arf"),
        ({"ANCRFILE": "none"}, "there is no area in it, and no ARF is given"),
        ({"values": counts()[:20], "first": 40}, "channels 40 to 59 but a.rmf with a.arf has 1 to"),
        ({"AREASCAL": 0.0}, "AREASCAL is 0 somewhere"),
        ({"BACKFILE": "b.pha", "BACKSCAL": 0.0}, "BACKSCAL is 0, that of b.pha 2; both must be"),
        ({"extension": "EVENTS", "HDUCLAS1": "EVENTS"}, "no SPECTRUM extension, only EVENTS"),
    ],
)
def test_malformed_sets_are_refused_in_one_line(tmp_path, cards, said):
    reason = why(observation(tmp_path, **cards))
    assert said in reason
    assert reason.startswith("a.")


def test_rates_without_exposure_are_refused(tmp_path):
    observation(tmp_path)
    path = pha(tmp_path / "r.pha", counts() / 7.0, column="RATE", EXPOSURE=None)
    assert "no EXPOSURE" in why(path)


def test_a_net_background_is_refused(tmp_path):
    path = observation(tmp_path, BACKFILE="b.pha")
    pha(tmp_path / "b.pha", HDUCLAS2="NET")
    assert "b.pha: HDUCLAS2 is NET, no background" in why(path)


def test_grids_that_disagree_are_refused(tmp_path):
    path = observation(tmp_path)
    rmf(tmp_path / "a.rmf", redistribution()[:-1], low=np.arange(29.0), high=np.arange(1.0, 30.0))
    assert "a.arf has 30 energies but a.rmf has 29" in why(path)


def test_truncated_files_are_refused(tmp_path):
    path = observation(tmp_path)
    whole = path.read_bytes()
    for length in (len(whole) - 2880, 2880 + 1000, 1000, 100, 0):
        path.write_bytes(whole[:length])
        reason = why(path)
        assert "cut short" in reason or "not FITS" in reason, length
    path.write_bytes(gzip.compress(whole)[:-300])
    assert "the gzip stream ends or breaks" in why(path)


def test_a_truncated_response_is_refused(tmp_path):
    path = observation(tmp_path)
    response = tmp_path / "a.rmf"
    response.write_bytes(response.read_bytes()[:7000])
    assert "a.rmf: HDU 1 (MATRIX) needs" in why(path)


def test_what_is_no_spectrum_is_refused(tmp_path):
    observation(tmp_path)
    assert "a.rmf: a response, not a spectrum" in why(tmp_path / "a.rmf")
    assert "gone.pha: cannot be read (No such file" in why(tmp_path / "gone.pha")
    (tmp_path / "x.pha").write_bytes(b"no FITS at all")
    assert "x.pha: not FITS, it has 14 bytes and begins with b'no FITS a'" in why(
        tmp_path / "x.pha"
    )


def test_claims(tmp_path):
    path = observation(tmp_path)
    for name in ("s.fits", "s.weird"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert ogip.claims(tmp_path / name)
    fits.PrimaryHDU(np.zeros((2, 2, 2))).writeto(tmp_path / "cube.fits")
    assert not ogip.claims(tmp_path / "cube.fits")
    assert ogip.claims(tmp_path / "gone.pi.gz")
    assert not ogip.claims(tmp_path / "gone.fits")


def test_files_are_closed(tmp_path):
    path = observation(tmp_path)
    with OgipFile(path) as file:
        table = file.tables(("SPECTRUM",), ())[0]
    np.testing.assert_array_equal(table.rows, CHANNELS)
    with pytest.raises(InputError, match="no column MATRIX, only CHANNEL, COUNTS"):
        table.column("MATRIX")


@pytest.mark.parametrize("name", REAL)
def test_real_observations(shared_data, name):
    folder = shared_data / "xray"
    links = None
    if name == "sis0.pha":
        reason = why(folder / name)
        assert "RESPFILE names no response (beside it lie sis0.arf, sis0.rmf)" in reason
        links = Links(rmf=str(folder / "sis0.rmf"), arf=str(folder / "sis0.arf"))
    found = read_observation(folder / name, links=links)
    total, background = REAL[name]
    band = found.band(0.5, 7.0)
    assert found.counts[band].sum() == total
    if background is None:
        assert found.background is None
    else:
        assert found.background.expected[band].sum() == pytest.approx(background, abs=0.5)
    missing = [note for note in found.notes if "is not there" in note]
    assert bool(missing) == (name == "12845.pi")
    own = found.background is not None and found.background.rmf
    assert bool(own) == (name in ("q1127_src1.pi", "qso.pi"))


def test_batches_count_a_shared_response_once(tmp_path):
    found = read_observation(observation(tmp_path))
    refused = RefusedObservation("x.pha", "x.pha", "x.pha: not FITS; give FITS")
    batch = ObservationBatch(BatchKey("a", 0, 3), (found, found, refused))
    assert len(batch) == 3
    own = found.nbytes - found.response.nbytes
    assert batch.nbytes == found.response.nbytes + 2 * own + refused.nbytes
    with pytest.raises(InputError, match="2 observations, not 3"):
        ObservationBatch(BatchKey("a", 0, 3), (found, found))
