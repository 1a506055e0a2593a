"""Libraries that may be missing."""

import json
import sys

import pytest

from streamfit.io.errors import InputError
from streamfit.stream.extras import require


def test_a_library_that_is_there_is_given():
    assert require("json", "explore") is json


def test_one_that_is_not_is_named_with_what_asked_for_it_and_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "emcee", None)
    with pytest.raises(InputError) as refused:
        require("emcee", "explore")
    said = "explore: emcee is not installed; pip install 'stream-fit[bayes]'"
    assert str(refused.value) == said
