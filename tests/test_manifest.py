import dataclasses
import json

import pytest

from streamfit.io.errors import RunError
from streamfit.io.manifest import Plan, RunManifest, Session, changes, versions

MANIFEST = RunManifest(
    stage="optical",
    input="/data/cube.hdf5",
    fingerprint={"size": 12, "header": "a" * 64},
    choices={"optical.bin": 1},
    digest="d" * 64,
    header={"shape": [4, 4]},
    table={"lines": "Halpha"},
    plan=Plan(batch=256, batches=3, spaxels=600),
)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = MANIFEST.begin(Session("2026-01-01", 2, 2**30, "cpu", versions=versions()))
    manifest = manifest.end(finished="2026-01-02", state="done", spaxels=600)
    manifest.write(tmp_path / "manifest.json")
    assert RunManifest.read(tmp_path / "manifest.json") == manifest


def test_every_session_is_kept():
    manifest = MANIFEST
    for state in ("interrupted", "done"):
        manifest = manifest.begin(Session("then", 1, 1, "cpu"))
        manifest = manifest.end(finished="now", state=state, spaxels=1)
    assert [session.state for session in manifest.sessions] == ["interrupted", "done"]


def test_versions_name_python_and_this_program():
    assert {"python", "stream-fit", "numpy", "onnxruntime"} <= versions().keys()


def test_changes_show_numbers_and_only_name_digests():
    before = {"size": 123, "header": "a" * 64, "last_block": "b" * 64, "mask": "c" * 64}
    now = {"size": 124, "header": "a" * 64, "last_block": "d" * 64}
    assert changes(before, now) == [
        "size 123 -> 124",
        "last block",
        f"mask {'c' * 12}... -> none",
    ]
    assert changes(before, dict(before)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a manifest"),
        ("{}", "cannot be read as a manifest"),
        ('{"format": 9}', "format 9, this version reads 1"),
    ],
)
def test_a_damaged_manifest_is_told_in_one_line(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=message):
        RunManifest.read(tmp_path / "manifest.json")


def test_a_missing_manifest_means_that_the_run_never_began(tmp_path):
    with pytest.raises(RunError, match="the run never began"):
        RunManifest.read(tmp_path / "manifest.json")


def test_an_unknown_field_is_refused(tmp_path):
    values = {**dataclasses.asdict(MANIFEST), "colour": "blue"}
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(RunError, match="colour"):
        RunManifest.read(tmp_path / "manifest.json")
