"""Documents that must stay true: links resolve, commands exist, pins cover what is declared."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^(?:\$ )?ablate ((?:storage|data|encoder) [a-z-]+|[a-z]+)", README, re.MULTILINE)))


def test_links_of_the_readme_resolve() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_exists_with_the_options_it_is_shown_with(command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ablate", *command.split(), "--help"],
        capture_output=True, text=True, check=False, env={"PATH": "", "COLUMNS": "200"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for line in re.findall(rf"^(?:\$ )?ablate {re.escape(command)}(?=\s)(.*)$", README, re.MULTILINE):
        for option in re.findall(r"(--[a-z-]+)", line.partition("#")[0].partition("&&")[0]):
            assert option in ran.stdout, f"{command} has no {option}"


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^(?:\$ )?make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(each for name in extras for each in extras[name])]
    declared = [requirement for requirement in declared if not requirement.startswith(project["name"])]
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pinned = {name.lower().replace("_", "-") for name in pins}
    for requirement in declared:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert name[0].lower().replace("_", "-") in pinned, requirement


def test_the_tree_of_the_readme_is_the_tree() -> None:
    shown = re.findall(r"^(ablate/\w+/|\w[\w.-]*/?) {2,}", README, re.MULTILINE)
    for path in shown:
        assert (ROOT / path).exists(), path
    for package in (ROOT / "ablate").glob("*/__init__.py"):
        assert f"ablate/{package.parent.name}/" in shown, package.parent.name
