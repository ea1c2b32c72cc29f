"""Code that users name in a study, ``FILE.py:FUNCTION`` or ``package.module:function``: found, digested and loaded.

It runs as the user's own code does. Reading and digesting it executes nothing, so that a study file is checked, and a
report written, without it. Imports no torch.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from ablate import digest


class UnusableCode(Exception):
    """What is wrong with named code, in one line; who calls says where it was named."""


@dataclass(frozen=True)
class SourceFile:
    """A function in a Python file."""

    file: Path
    function: str


@dataclass(frozen=True)
class PinnedCode:
    """Code by its name and by the digest that it had when the study was read.

    Attributes:
        entry: ``FILE.py:FUNCTION`` or ``package.module:function``.
        digest: as ``entry_digest`` gives it.
    """

    entry: str
    digest: str


def source_of(name: str) -> SourceFile | None:
    """What ``FILE.py:FUNCTION`` names; None for any other name."""
    file, colon, function = name.rpartition(":")
    return SourceFile(Path(file).expanduser(), function) if colon and file.endswith(".py") else None


def entry_digest(entry: str) -> str:
    """Digest of the sources behind an entry, without executing them.

    Of a file: its own text and that of the modules in its folder that it imports, and they import. Of a module: every
    Python file of its package.

    Raises:
        UnusableCode: the entry is malformed, or names no file, no installed module, or no Python.
    """
    source = source_of(entry)
    if source is not None:
        texts = {str(file.relative_to(_folder(source))): digest.of_file(file) for file in _files_of(source)}
        return digest.of_json({"function": source.function, "files": texts})
    module, colon, function = entry.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise UnusableCode("expected FILE.py:FUNCTION or package.module:function")
    sources = package_sources(module)
    if not sources:
        raise UnusableCode(
            f"there is no package {module.partition('.')[0]} of Python files here; install it, or give FILE.py:FUNCTION"
        )
    return digest.of_json({"entry": entry, "files": sources})


def load_entry(entry: str) -> Callable[..., Any]:
    """The function behind an entry, which is to be called within ``importable`` too.

    Raises:
        UnusableCode: its code cannot be loaded, or what it names is no function.
    """
    source = source_of(entry)
    if source is not None:
        with importable(entry):
            return function_in(source, beside=_files_of(source)[1:])
    module, _, function = entry.partition(":")
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # somebody else's code may raise anything
        raise UnusableCode(f"{module} cannot be imported, {in_short(error)}; mend or install it") from error
    return _function(loaded, function, of=module)


@contextlib.contextmanager
def importable(entry: str) -> Iterator[None]:
    """Within the block, the code of ``entry`` may import the modules beside its file, as a script may."""
    source = source_of(entry)
    before = list(sys.path)
    if source is not None:
        sys.path.insert(0, str(_folder(source)))
    try:
        yield
    finally:
        sys.path[:] = before


_modules: dict[tuple[str, str], types.ModuleType] = {}  # by file and digest of its text: an edited file is read again


def function_in(source: SourceFile, *, beside: Sequence[Path] = ()) -> Callable[..., Any]:
    """The function in a file, which is executed once for each version of it.

    Args:
        source: names it.
        beside: files of modules that it imports, which make another version too.

    Raises:
        UnusableCode: the file cannot be read or executed, or has no such function.
    """
    try:
        text = source.file.read_bytes()
    except OSError as error:
        raise UnusableCode(f"{source.file} cannot be read ({error.strerror})") from error
    path = str(source.file.resolve())
    key = (path, digest.of_json([digest.of_bytes(text), *(digest.of_file(file) for file in beside)]))
    if key not in _modules:
        _forget_modules(beside)
        try:
            _modules[key] = _executed(path, text)
        except Exception as error:
            raise UnusableCode(f"{source.file} fails, {in_short(error)}; mend it") from error
    return _function(_modules[key], source.function, of=str(source.file))


def _executed(path: str, text: bytes) -> types.ModuleType:
    module = types.ModuleType(Path(path).stem)
    module.__file__ = path
    taken = sys.modules.get(module.__name__)
    if taken is None or getattr(taken, "__file__", None) == path:
        sys.modules[module.__name__] = module  # where its dataclasses look for their module
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - the user's own code, named by the user
    except BaseException:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
        raise
    return module


_beside: set[str] = set()  # files of modules beside any code that this process has loaded


def _forget_modules(beside: Sequence[Path]) -> None:
    """Let modules beside own code be imported anew: they may have been edited, or be others of the same name."""
    _beside.update(str(file) for file in beside)
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in _beside:
            del sys.modules[name]


def _function(module: types.ModuleType, name: str, *, of: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if found is None:
        raise UnusableCode(f"{of} has no {name}; expected {'FILE.py' if of.endswith('.py') else 'MODULE'}:FUNCTION")
    return checked_function(found)


def checked_function(found: Any) -> Callable[..., Any]:
    """``found``, which must be something to call.

    Raises:
        UnusableCode: it is not.
    """
    if not callable(found):
        raise UnusableCode(f"names a {type(found).__name__}; expected a function")
    function: Callable[..., Any] = found
    return function


@functools.cache  # of what this process has imported, or is about to
def package_sources(module: str) -> dict[str, str]:
    """Digest of each Python file of the package that holds ``module``, or of the one file that it is; none if none."""
    try:
        module_spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        module_spec = None
    if module_spec is None:
        return {}
    folders = [Path(folder) for folder in module_spec.submodule_search_locations or ()]
    files = {str(file.relative_to(folder)): file for folder in folders for file in sorted(folder.rglob("*.py"))}
    if not folders and module_spec.origin and module_spec.origin.endswith(".py"):
        files = {Path(module_spec.origin).name: Path(module_spec.origin)}
    return {name: digest.of_file(file) for name, file in files.items()}


def in_short(error: BaseException) -> str:
    """What went wrong, in one line."""
    said = " ".join(str(error).split())[:160]
    line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{line}"


def _folder(source: SourceFile) -> Path:
    return source.file.resolve().parent


def _files_of(source: SourceFile) -> tuple[Path, ...]:
    """The file, then the modules in its folder that it imports, directly or not."""
    if not source.file.is_file():
        raise UnusableCode(f"there is no file {source.file}; expected FILE.py:FUNCTION or package.module:function")
    file = source.file.resolve()
    # What is imported from elsewhere is not found, and not wanted.
    finder = ModuleFinder(path=[str(file.parent)], excludes=["ablate"])
    try:
        finder.run_script(str(file))
    except SyntaxError as error:
        raise UnusableCode(f"{source.file} fails, {in_short(error)}; mend it") from error
    except OSError as error:
        raise UnusableCode(f"{source.file} cannot be read ({error.strerror})") from error
    named = [getattr(module, "__file__", None) for module in finder.modules.values()]
    found = {Path(each) for each in named if each}
    return (file, *sorted(each for each in found if each != file and each.suffix == ".py"))
