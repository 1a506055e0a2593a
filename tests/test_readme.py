"""The README and the pages beside it say what is true of the program."""

import argparse
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from streamfit.io.errors import InputError
from streamfit.io.results import FitStatus, optical_columns
from streamfit.io.xray_columns import deconvolve_columns
from streamfit.io.xray_fit_columns import FitLayout, Quantity, fit_columns
from streamfit.kernels.lines import REST_AIR_NM, STRONG
from streamfit.kernels.xray_model import MODELS
from streamfit.stream.layers import build_config
from streamfit.stream.options import OPTIONS
from streamfit.stream.parser import build_parser, join_negative
from streamfit.stream.xray_methods import UNFOLDERS
from streamfit.tools.simulate_cube import add_arguments
from streamfit.tools.simulate_xray import add_arguments as add_xray_arguments

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCS = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
GUIDE = "\n".join([README, *DOCS.values()])
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{name}.md" for name in DOCS))
PICTURES = sorted(
    path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg", ".gif")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def parsers(parser):
    """Give a parser and all below it, each with its name."""
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


PARSER = build_parser({"cube": add_arguments, "xray": add_xray_arguments})
COMMANDS = dict(parsers(PARSER))


def flags_of(command):
    actions = COMMANDS[f"stream-fit {command}"]._actions
    return {flag for action in actions for flag in action.option_strings if flag[:2] == "--"}


def command_lines():
    """Every ``stream-fit`` command of the shell blocks, as words."""
    for language, block in FENCE.findall(GUIDE):
        if language == "bash":
            for line in block.splitlines():
                words = shlex.split(line)
                if words[:1] == ["stream-fit"]:
                    yield words[1:]


def test_every_command_is_named():
    for name in COMMANDS:
        words = name.split()[1:]
        if words:
            assert f"stream-fit {words[0]}" in README, name


def test_every_flag_named_exists():
    ours = {flag for name in COMMANDS if " " in name for flag in flags_of(name.partition(" ")[2])}
    sources = " ".join(path.read_text() for path in (ROOT / "tools").glob("*.py"))
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE)):
        assert flag in ours | {"--version"} or f'"{flag}"' in sources, flag


def test_the_table_of_options_is_that_of_the_command():
    table = DOCS["options"].partition("## Lines")[0]
    for command in ("optical", "xray"):
        assert set(re.findall(r"--[a-z][a-z-]+", table)) >= flags_of(command) - {"--help"}
    for option in OPTIONS:
        if option.flag:
            said = f"--{flag(option)} {option.metavar}".strip().replace("|", "\\|")
            assert f"\n| `{said}` | `[{option.section}]` |" in table


def flag(option):
    return option.name.replace("_", "-")


@pytest.mark.parametrize("words", list(command_lines()), ids=" ".join)
def test_every_command_line_is_understood(words):
    given = vars(PARSER.parse_args(join_negative(words)))
    options = {option.name: given[option.name] for option in OPTIONS if option.name in given}
    if given["command"] == "optical":
        assert build_config("optical", given["cube"], flags=options).input
    if given["command"] == "xray":
        first, *more = given["spectra"]
        assert build_config("xray", first, flags=options, more=more).inputs


def test_the_example_of_a_toml_file_is_understood(tmp_path):
    (block,) = (block for language, block in FENCE.findall(README) if language == "toml")
    (tmp_path / "fit.toml").write_text(block)
    config = build_config("optical", "cube.hdf5", files=[tmp_path / "fit.toml"]).optical
    assert dict(config.custom_lines).keys() <= set(config.lines or ())
    assert len(config.groups) == 2
    assert "NII6548" not in {weak for _, weak, _ in config.ratios or ()}
    with pytest.raises(InputError):
        build_config("optical", "cube.hdf5", sets=["optical.lins=Halpha"])


def test_columns_and_status_bits_are_explained():
    table = DOCS["run-directory"]
    for column in optical_columns(["L"], "U", groups=2, components=2):
        stem = column.name.removesuffix("_err")
        assert f"`{stem}`" in table or f"`{column.name}`" in table, column.name
    for bit in FitStatus:
        assert f"| `{bit.name}` | {int(bit)} |" in table


def test_x_ray_columns_and_methods_are_explained():
    section = DOCS["xray"].partition("## Columns")[2]
    for column in deconvolve_columns(1):
        assert f"`{column.name}`" in section, column.name
    for model in MODELS.values():
        told = tuple(Quantity(one.name, one.unit, one.meaning) for one in model.parameters)
        layout = FitLayout(told, bayes=True, against="apec2", stacked=1)
        for column in fit_columns(layout):
            if not column.name.startswith("post_") or column.name.startswith("post_kT_"):
                ending = column.name.replace("post_kT_q", "..._q")
                assert f"`{column.name}`" in section or f"`{ending}`" in section, column.name
        assert f"| `{model.name}`" in DOCS["xray"]
    methods = DOCS["xray"].partition("## Columns")[0]
    for name in ("rim", *UNFOLDERS):
        assert f"| `{name}`" in methods, name


def test_lines_have_the_wavelengths_of_the_kernels():
    table = DOCS["options"].partition("## Lines")[2]
    found = re.findall(r"(\**)`(\w+)`\**\s*\|\s*([\d.]+)", table)
    assert {name: float(nm) for _, name, nm in found} == dict(REST_AIR_NM)
    assert {name for bold, name, _ in found if bold} == set(STRONG)


def test_the_test_command_is_found_as_ci_finds_it():
    script = (ROOT / ".ci" / "run").read_text()
    finder = re.search(r"command=\$\((.*)\)\n", script)
    assert finder
    found = subprocess.run(
        ["bash", "-c", finder[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = found.stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert lines[0].endswith("pytest")


@pytest.mark.parametrize(
    "name", ["accuracy", "mdn", "posteriors", "rim", "xray mdn", "real data", "bench"]
)
def test_figures_stand_between_their_marks(name):
    figures = GUIDE.partition(f"<!-- figures: {name} -->\n")[2]
    assert figures.partition("\n<!-- end of figures -->")[0].count("\n|") >= 3


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.is_file(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {slug(heading) for heading in headings}, target


def slug(heading):
    """Give the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_shown_and_small(path):
    assert f"](docs/{path.name})" in README or f"]({path.name})" in GUIDE
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_no_place_of_a_machine(page):
    assert not re.search(r"(?<![\w.$])/(tmp/\w|work|home|root|Users)\b", (ROOT / page).read_text())


def test_every_decision_says_its_cost_and_what_would_change_it():
    sections = re.split(r"^### ", (ROOT / "docs" / "decisions.md").read_text(), flags=re.MULTILINE)
    assert len(sections) > 20
    for section in sections[1:]:
        assert "*Cost:*" in section, section.splitlines()[0]
        assert "*Would change it:*" in " ".join(section.split()), section.splitlines()[0]
