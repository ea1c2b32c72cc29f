"""Documents that must stay true: what they show exists, what exists they show, and what is generated is up to date."""

import json
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ablate.cli.main import app
from ablate.study.spec import Spec
from ablate.train.params import DOMAINS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GENERATED = ("study_file", "commands", "report_json")
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
WRITTEN = tuple(page for page in PAGES if page.stem not in GENERATED)  # by hand
MOST_WORDS = 900
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each block of code."""
    for found in BLOCK.finditer(page.read_text()):
        yield found[1], found[2]


def lines(page: Path) -> Iterator[str]:
    """What is typed in a document, a command each."""
    for language, text in blocks(page):
        if not language:
            for line in text.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ").partition("  #")[0]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words), command
    for name, each in (inner or {}).items():
        yield from leaves(each, (*words, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        linked = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        waiting.extend((page.parent / target).resolve() for target in linked)
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_document_exists_with_the_options_it_is_shown_with(page: Path) -> None:
    told = [*lines(page), *re.findall(r"`(ablate [a-z][^`]*)`", page.read_text())]
    for line in told:
        words = line.split()
        if words[:1] != ["ablate"] or len(words) < 2 or not re.fullmatch("[a-z]+", words[1]):
            continue
        name = next((name for name in (" ".join(words[1:3]), words[1]) if name in COMMANDS), None)
        is_group = any(each.startswith(f"{words[1]} ") for each in COMMANDS)
        assert name or (is_group and len(words) == 2), line
        known = {option for param in COMMANDS[name].params for option in param.opts} if name else set()
        assert set(re.findall(r"(?<=\s)--[a-z-]+", line)) <= known | {"--help"}, line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_in_a_document_that_somebody_wrote(name: str) -> None:
    assert any(re.search(rf"\bablate {name}\b", page.read_text()) for page in WRITTEN)


def test_every_make_target_of_a_document_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:^(?:\$ )?|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_ci_runs_what_the_readme_says() -> None:
    (command,) = re.findall(r"^\$ (make test)\b", README.read_text(), re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text().rstrip().splitlines()[-1] == command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_toml_parses_and_every_whole_study_is_one(page: Path) -> None:
    for language, text in blocks(page):
        if language == "toml":
            document = tomllib.loads(text)
            if "question" in document:
                Spec.model_validate({"name": "shown", **document})


def test_generated_documents_are_what_their_generators_write() -> None:
    for name in GENERATED:
        page = runpy.run_path(str(ROOT / "docs" / f"{name}.py"))["page"]
        assert (ROOT / "docs" / f"{name}.md").read_text() == page(), "run `make docs`"


def test_every_key_of_the_study_file_has_an_example_that_parses() -> None:
    module = runpy.run_path(str(ROOT / "docs" / "study_file.py"))
    examples = module["EXAMPLES"]
    assert set(examples) == set(module["keys"]())
    assert not re.search(r"\| *\| `", module["page"]()), (
        "a key without meaning: give it a line in its model's docstring"
    )
    for key, text in examples.items():
        assert list(tomllib.loads(text)) == [key.partition(".")[2]], key
    for name, domain in DOMAINS.items():
        domain.narrowed(tomllib.loads(module["_example"](domain))[name])


def test_every_module_that_a_document_names_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:ablate|tests|docs|benchmarks)/[\w/.-]*)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_tree_of_the_architecture_is_the_tree() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown = re.findall(r"^(ablate/\w+/|\w+/) {2,}", text, re.MULTILINE)
    for path in shown:
        assert (ROOT / path).exists(), path
    for package in (ROOT / "ablate").glob("*/__init__.py"):
        assert f"ablate/{package.parent.name}/" in shown, package.parent.name


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


def test_the_notebook_shows_what_its_command_runs() -> None:
    maker = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["source"] for cell in cells] == [text for text in maker["CELLS"] if not text.startswith("#")]
    assert all(cell["outputs"] for cell in cells)
    assert "24 of 24 trials done" in cells[0]["outputs"][0]["data"]["text/plain"]
