"""Whatever the packages import is in the standard library or declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = {"conf", "jobs", "lab", "udfs"}


def imports_of(folder: Path) -> dict[str, Path]:
    """{top-level module: a file that imports it}, imports inside functions included."""
    modules: dict[str, Path] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            modules |= {name.split(".")[0]: path.relative_to(ROOT) for name in names}
    return modules


def declared() -> set[str]:
    """The distributions that the project and its sweeps depend on, with normalized names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["sweep"]]
    return {normalized(re.match(r"[\w.-]+", line)[0]) for line in lines}


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("package", sorted(PROJECT))
def test_what_is_imported_is_declared(package):
    imported = imports_of(ROOT / package)
    assert imported, "no files"
    distributions = packages_distributions()
    undeclared = {
        module: str(path)
        for module, path in imported.items()
        if module not in sys.stdlib_module_names | PROJECT
        and not declared() & {normalized(name) for name in distributions.get(module, [])}
    }
    assert undeclared == {}


def test_what_is_declared_is_imported():
    imported = {module for package in PROJECT for module in imports_of(ROOT / package)}
    distributions = packages_distributions()
    used = {normalized(name) for module in imported for name in distributions.get(module, [])}
    assert declared() - used == set()
