import numpy as np
import pytest
from astropy.io import fits
from ogip_files import CHANNELS, counts, observation, pha, pha2

from streamfit.io.errors import InputError
from streamfit.stream.validate import describe


def found(path):
    report = {}
    for line in describe(path).splitlines():
        label, text = line.split(maxsplit=1)
        report.setdefault(label, []).append(text)
    return report


def test_the_report_of_an_observation(tmp_path):
    grouping = np.where(np.arange(CHANNELS) % 4 == 0, 1, -1)
    columns = (fits.Column("GROUPING", "I", array=grouping),)
    report = found(observation(tmp_path, BACKFILE="b.pha", columns=columns))
    inside = counts()[1:18].sum()
    beside = counts(2, 5.0)[1:18].sum()
    assert report == {
        "file": ["a.pha"],
        "format": ["OGIP spectrum"],
        "target": ["A test"],
        "instrument": ["CHANDRA ACIS"],
        "observation": ["123"],
        "exposure": ["1000.0 s"],
        "channels": ["24 from 1, 24 good"],
        "grouping": ["6 groups in the file, undone: native channels are used"],
        "counts": [f"{counts().sum()}, {inside} of them in 0.5 to 7 keV"],
        "background": [
            f"b.pha, {beside} counts x 0.125 = {beside / 8:.1f} in 0.5 to 7 keV, own response "
            "a.rmf with a.arf"
        ],
        "response": ["a.rmf with a.arf, 30 energies x 24 channels"],
        "area": ["400.0 cm2 at most, at 1.89 keV"],
        "energies": ["photons 0.3 to 9 keV, channels 0.2 to 9.2 keV"],
    }


def test_what_is_missing_is_noted(tmp_path):
    report = found(observation(tmp_path, BACKFILE="gone.pha", QUALITY=0, POISSERR=False))
    assert report["background"] == ["none"]
    assert report["note"] == [
        "POISSERR is F, but the counts are whole: taken as Poisson",
        "BACKFILE gone.pha is not there: all counts are taken as the source's",
    ]


def test_every_row_of_type_two_is_described(tmp_path):
    observation(tmp_path)
    rows = np.stack([counts(1), -counts(2)])
    report = found(pha2(tmp_path / "two.pha2", rows))
    assert report["spectra"] == ["2, 1 of them refused"]
    assert report["spectrum"] == ["two.pha2[1]", "two.pha2[2]"]
    assert report["refused"][0].startswith("two.pha2[2]: channel 1 has -")


def test_what_cannot_be_read_is_one_line(tmp_path):
    observation(tmp_path)
    with pytest.raises(InputError, match=r"a\.rmf: a response, not a spectrum"):
        describe(tmp_path / "a.rmf")
    with pytest.raises(InputError, match="HDUCLAS2 is NET"):
        describe(pha(tmp_path / "n.pha", HDUCLAS2="NET"))


def test_a_background_that_covers_its_source_is_told(shared_data):
    report = found(shared_data / "xray" / "obs2.pi")
    assert report["note"][0].startswith("about 18 events are in the background as well as in the")
    assert "note" not in found(shared_data / "xray" / "obs1.pi")
