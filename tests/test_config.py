import dataclasses

import pytest

from streamfit.io.errors import InputError
from streamfit.io.records import Area
from streamfit.kernels.lines import RATIOS
from streamfit.stream.config import EngineConfig, OpticalConfig, RunConfig
from streamfit.stream.layers import build_config, read_run_toml
from streamfit.stream.options import OPTIONS
from streamfit.stream.values import format_bytes, parse_bytes


def build(*, toml="", sets=(), flags=None, tie=None, folder=None):
    files = []
    if toml:
        files = [folder / "options.toml"]
        files[0].write_text(toml)
    return build_config("optical", "cube.hdf5", files=files, sets=sets, flags=flags, tie=tie)


def test_without_options_a_run_has_the_defaults():
    config = build()
    assert config.optical == OpticalConfig()
    assert config.engine == EngineConfig()
    assert config.input.endswith("/cube.hdf5")
    assert config.input.startswith("/")


def test_options_and_fields_have_the_same_names():
    for section, kind in (("engine", EngineConfig), ("optical", OpticalConfig)):
        fields = {field.name for field in dataclasses.fields(kind)} - {"custom_lines"}
        assert {option.name for option in OPTIONS if option.section == section} == fields


def test_flags_win_over_sets_and_sets_over_files(tmp_path):
    toml = "threads = 1\nbatch = 1\nseed = 1\n"
    config = build(toml=toml, sets=["batch=2", "seed=2"], flags={"seed": "3"}, folder=tmp_path)
    assert (config.engine.threads, config.engine.batch, config.engine.seed) == (1, 2, 3)


def test_later_files_win(tmp_path):
    files = []
    for number in (1, 2):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(f"redshift = 0.{number}\n")
    assert build_config("optical", "x", files=files).optical.redshift == 0.2


@pytest.mark.parametrize(
    "toml",
    ["velocity_range = [-5, 9]", "velocity-range = '-5,9'", "[optical]\nvelocity-range = [-5, 9]"],
)
def test_an_option_stands_alone_or_in_its_table_with_either_hyphen(tmp_path, toml):
    assert build(toml=toml, folder=tmp_path).optical.velocity_range == (-5.0, 9.0)


def test_a_file_may_define_lines(tmp_path):
    config = build(toml="[lines]\nFeX6374 = 637.45\n", sets=["lines.Odd=501"], folder=tmp_path)
    assert config.optical.custom_lines == (("FeX6374", 637.45), ("Odd", 501.0))


def test_ratios_are_laid_over_the_defaults(tmp_path):
    toml = '[ratios]\n"NII6583/NII6548" = "free"\n"OII3729/OII3726" = 1.4\n'
    ratios = build(toml=toml, folder=tmp_path).optical.ratios
    assert ratios is not None
    kept = {(above, below): value for above, below, value in ratios}
    assert kept == {
        ("OIII5007", "OIII4959"): RATIOS["OIII5007", "OIII4959"],
        ("OII3729", "OII3726"): 1.4,
    }


def test_all_ratios_can_be_freed():
    assert build(sets=["ratios=free"]).optical.ratios == ()
    assert build(sets=["optical.ratios.NII6583/NII6548=2.9"]).optical.ratios is not None


def test_an_inverse_ratio_replaces_the_default():
    ratios = build(sets=["ratios.NII6548/NII6583=0.33"]).optical.ratios
    assert ratios is not None
    assert ("NII6548", "NII6583", 0.33) in ratios
    assert not any(pair[:2] == ("NII6583", "NII6548") for pair in ratios)


def test_tie_gives_groups_and_ratios_and_nothing_else(tmp_path):
    tie = tmp_path / "tie.toml"
    tie.write_text('groups = [["Halpha", "NII6583"], ["SII6716"]]\n[ratios]\n"A/B" = 2\n')
    optical = build(tie=tie).optical
    assert optical.groups == (("Halpha", "NII6583"), ("SII6716",))
    tie.write_text("redshift = 1\n")
    with pytest.raises(InputError, match=r"--tie takes groups and \[ratios\], not redshift"):
        build(tie=tie)


FULL = RunConfig(
    "optical",
    "/data/cube.hdf5",
    EngineConfig(threads=3, memory=3 * 2**30, batch=512, seed=9),
    OpticalConfig(
        lines=("Halpha", "NII6583"),
        custom_lines=(("Odd", 501.5),),
        redshift=0.01,
        velocity_range=(-50.0, 50.0),
        broadening_range=(0.0, 80.0),
        ils="sinc",
        resolution="none",
        window=(15000.0, 15400.0),
        groups=(("Halpha",), ("NII6583",)),
        ratios=(("NII6583", "NII6548", 3.0),),
        continuum_degree=2,
        noise="band",
        region=Area(1, 5, 2, 9),
        mask="/data/mask.fits",
        bin=2,
    ),
)


@pytest.mark.parametrize(
    "config",
    [
        FULL,
        RunConfig("optical", "/x"),
        dataclasses.replace(FULL, optical=OpticalConfig(ratios=())),
        dataclasses.replace(FULL, version="9.9"),
    ],
)
def test_run_toml_gives_the_configuration_back(tmp_path, config):
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml())
    assert read_run_toml(path) == config


def test_run_toml_can_be_given_to_c(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(FULL.to_toml())
    assert build_config("optical", "/other", files=[path]).optical == FULL.optical


def test_the_digest_is_that_of_what_changes_the_table():
    digest = FULL.digest()
    machine = EngineConfig(threads=1, memory=2**30, batch=64, seed=9, device="cpu")
    same = dataclasses.replace(FULL, engine=machine, input="/moved/cube.hdf5")
    assert same.digest() == digest
    for changed in (
        dataclasses.replace(FULL, engine=EngineConfig(seed=8)),
        dataclasses.replace(FULL, version="9.9"),
        dataclasses.replace(FULL, optical=dataclasses.replace(FULL.optical, redshift=0.02)),
        dataclasses.replace(FULL, optical=dataclasses.replace(FULL.optical, ratios=())),
        dataclasses.replace(
            FULL, optical=dataclasses.replace(FULL.optical, custom_lines=(("Odd", 501.6),))
        ),
    ):
        assert changed.digest() != digest


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("redshfit=1", "option redshfit is unknown; did you mean optical.redshift?"),
        ("optical.threads=1", "option optical.threads is unknown; did you mean engine.threads?"),
        ("zzz=1", "option zzz is unknown; known are"),
        ("redshift", "no value; write --set name=value"),
        ("redshift=far", "far is not a number"),
        ("redshift=-2", "-2 is not a redshift above -1"),
        ("velocity_range=5,1", "5,1 is not LO,HI with LO below HI; give for example -500,500"),
        ("velocity_range=5", "5 is not 2 numbers; give for example -500,500"),
        ("broadening_range=-1,9", "LO below HI and LO at least 0"),
        ("ils=square", "square is not one of auto, gaussian, sinc, sincgauss"),
        ("resolution=bad", "bad is neither a resolving power above 0 nor none"),
        ("window=a,b", "a,b is not 2 numbers"),
        ("memory=lots", "lots is not an amount of memory; give for example 2GiB"),
        ("threads=-1", "-1 is not a whole number of at least 0"),
        ("bin=0", "0 is not a whole number of at least 1"),
        ("device=tpu", "tpu is not a device; give auto, cpu, cuda or cuda:0,1"),
        ("lines=", "names no line"),
        ("lines=A,A", "A,A names a line twice"),
        ("region=1,2", "1,2 is not X0:X1,Y0:Y1"),
        ("region=5:5,0:1", "5:5,0:1 holds no spaxel"),
        ("groups=A,B;A", "is not a list of groups that each line is in once"),
        ("ratios=3", '3 is not a table such as "NII6583/NII6548" = 3.071, nor "free"'),
        ("ratios.AB=3", "'AB', which is not LINE/LINE"),
        ("ratios.A/B=-3", "neither a ratio above 0 nor"),
        ("lines.A=b", "[lines] A = 'b' is not an air wavelength in nm"),
        ("mask=", "is not a path"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_with_the_cure(setting, message):
    with pytest.raises(InputError) as caught:
        build(sets=[setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_in_a_file_names_the_file_and_the_key(tmp_path):
    with pytest.raises(InputError, match=r"options\.toml: bin: true is not a whole number"):
        build(toml="bin = true", folder=tmp_path)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    with pytest.raises(InputError, match=r"options\.toml: not TOML"):
        build(toml="bin = ", folder=tmp_path)
    with pytest.raises(InputError, match="No such file"):
        build_config("optical", "x", files=[tmp_path / "none.toml"])


def test_a_file_without_a_run_is_no_run(tmp_path):
    (tmp_path / "run.toml").write_text("bin = 2")
    with pytest.raises(InputError, match="not a run"):
        read_run_toml(tmp_path / "run.toml")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2GiB", 2**31), ("1.5 MB", 1_500_000), ("4096", 4096), ("512MiB", 2**29), ("1g", 10**9)],
)
def test_amounts_of_memory(text, amount):
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("amount", [2**31, 2**29, 1536 * 2**20])
def test_whole_mebibytes_are_written_exactly(amount):
    assert parse_bytes(format_bytes(amount)) == amount
