import json
from pathlib import Path

import pytest

from streamfit.models.card import Card, CardError, Tensor, card_path, digest, load_card, save_card
from streamfit.models.plasma_table import PLASMA
from streamfit.models.session import WEIGHTS

CARD = Card(
    name="toy",
    version=2,
    licence="BSD-3-Clause",
    purpose="Doubles a number",
    inputs=(Tensor("x", ("n", 3), "float32", "keV", "what is doubled"),),
    outputs=(Tensor("y", ("n", 3), "float32", "keV", "its double"),),
    training={"digest": "0123", "steps": 5},
    holds={"x": [0.0, 1.0]},
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "toy.onnx"
    path.write_bytes(b"weights")
    save_card(path, CARD)
    return path


def test_a_card_comes_back_as_it_was_written(file):
    card = load_card(file)
    assert card.inputs == CARD.inputs
    assert card.training == CARD.training
    assert card.holds == CARD.holds
    assert (card.name, card.version, card.calibration) == ("toy", 2, {})


def test_the_checksum_is_that_of_sha256sum(file):
    # printf weights | sha256sum
    wanted = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    assert json.loads(card_path(file).read_text())["sha256"] == wanted
    assert load_card(file).sha256 == wanted


def test_a_changed_file_is_refused(file):
    file.write_bytes(b"weightz")
    with pytest.raises(CardError, match=r"toy.onnx: SHA-256 is .*, its card says .*; install"):
        load_card(file)


def test_what_is_missing_is_named(file, tmp_path):
    with pytest.raises(CardError, match=r"other.onnx: no card other.json beside it"):
        load_card(tmp_path / "other.onnx")
    held = json.loads(card_path(file).read_text())
    del held["licence"], held["inputs"]
    card_path(file).write_text(json.dumps(held))
    with pytest.raises(CardError, match=r"toy.json: lacks licence, inputs; install it again"):
        load_card(file)
    file.unlink()
    save_only = json.dumps({**held, "licence": "", "inputs": []})
    card_path(file).write_text(save_only)
    with pytest.raises(CardError, match=r"toy.onnx: no such file"):
        load_card(file)


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"name": 1}'])
def test_a_card_that_is_none_is_refused(file, text):
    card_path(file).write_text(text)
    with pytest.raises(CardError, match=r"toy.json: .*; install it again"):
        load_card(file)


def test_a_field_no_card_has_is_refused(file):
    held = json.loads(card_path(file).read_text())
    card_path(file).write_text(json.dumps({**held, "colour": "red"}))
    with pytest.raises(CardError, match=r"toy.json: .*colour.*; install it again"):
        load_card(file)


def test_a_digest_depends_on_settings_and_code(tmp_path):
    code = tmp_path / "code.py"
    code.write_text("a = 1")
    first = digest({"a": 1, "b": 2}, code)
    assert first == digest({"b": 2, "a": 1}, code)
    assert first != digest({"a": 1, "b": 3}, code)
    code.write_text("a = 2")
    assert first != digest({"a": 1, "b": 2}, code)


SHIPPED = [*sorted(WEIGHTS.glob("*.json")), PLASMA.with_suffix(".json")]


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: path.name)
def test_every_card_that_is_shipped_describes_its_file(card: Path):
    beside = [path for path in card.parent.glob(f"{card.stem}.*") if path.suffix != ".json"]
    assert len(beside) == 1
    held = load_card(beside[0])
    assert held.name == card.stem
    assert held.licence
    assert held.training["digest"]
    assert beside[0].stat().st_size < 5e6
