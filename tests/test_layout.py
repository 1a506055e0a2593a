"""Who may import whom, read from the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("io", "kernels", "models", "stream", "tools")
MAY_IMPORT = {
    "io": set(),
    "kernels": set(),
    "models": {"kernels"},
    "stream": {"io", "kernels", "models"},
    "tools": {"io", "kernels", "models", "stream"},
}
AT_ROOT = {
    *FOLDERS,
    *("tests", "docs", ".ci", ".git", ".github", ".gitignore"),
    *("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
}
LEFT_BY_TOOLS = {".pytest_cache", ".ruff_cache", ".hypothesis", ".venv", "build", "dist"}
LEFT_BY_TOOLS |= {"stream-fit-demo"}
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("**/*.py"))
OURS = [*MODULES, *sorted((ROOT / "tests").glob("*.py"))]


def siblings(path):
    """Give (folder imported, whether inside a function) for every import of a module."""
    folder = path.relative_to(ROOT).parts[0]
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            names = [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [(node.module or "")]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level > 2:
            pytest.fail(f"{path}: an import reaches above the package")
        for name in names:
            absolute = not (isinstance(node, ast.ImportFrom) and node.level == 2)
            parts = name.split(".")
            if absolute and parts[0] != "streamfit":
                continue
            if absolute:
                pytest.fail(f"{path}: {name} is imported by its full name; inside use relative")
            if parts[0] != folder:
                yield parts[0], id(node) in inside


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_follow_the_layers(path):
    folder = path.relative_to(ROOT).parts[0]
    for imported, in_function in siblings(path):
        if imported == "tools" and path == ROOT / "stream" / "cli.py":
            assert in_function, "stream/cli.py starts tools only inside functions"
        else:
            assert imported in MAY_IMPORT[folder], f"{folder} imports {imported}"


def test_only_models_know_onnxruntime():
    for path in MODULES:
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        if "onnxruntime" in imported:
            assert path.relative_to(ROOT).parts[0] == "models", path


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_no_file_is_over_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_folders_are_flat():
    deep = [path for path in MODULES if len(path.relative_to(ROOT).parts) != 2]
    assert not deep


def test_nothing_else_lies_at_the_root():
    found = {path.name for path in ROOT.iterdir()}
    strange = {name for name in found - AT_ROOT - LEFT_BY_TOOLS if not name.endswith(".egg-info")}
    assert not strange


def test_the_root_and_tests_are_no_packages():
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "tests" / "__init__.py").exists()
