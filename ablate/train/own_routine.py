"""A routine of the user's own: any function of params, records and a seed that gives probabilities for each record.

    def train(params, records, seed, progress):
        model = fit(records.train.signals, records.train.labels, **params, seed=seed)
        progress(1, 1, val=model.predict(records.val.signals))  # optional, as the argument is
        return {name: model.predict(part.signals) for name, part in records.scored.items()}

It gets the training records of the block's subset and the validation records with their labels. In the confirmation
``records.scored`` has the test fold too, its signals only: labels of the test fold are read after the function has
returned, and all scores are computed here. See ``docs/own_routine.md``.
"""

import contextlib
import inspect
import io
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int

from ablate import atomic, digest, own_code, seeds
from ablate.ecg.split import TaskData, fraction, lost_classes
from ablate.errors import DataError, Diverged, RoutineFailed, SpecError
from ablate.outcome import OWN_STAGE, Outcome, Probabilities, Progress
from ablate.own_code import PinnedCode, UnusableCode, in_short
from ablate.stats.metrics import both_outcomes, macro_auprc, macro_auroc
from ablate.train import provenance
from ablate.train.device_error import is_dead_context, is_short_of_memory
from ablate.train.machine import Machine, MemoryPeak, memory_errors, prepared
from ablate.train.score import ClassScores, class_scores, macro_scores, missing_note
from ablate.train.trial import ProgressReporter, Stopped

_SEEDS = 2**32  # numpy's and scikit-learn's seeds end there


@dataclass(frozen=True)
class Part:
    """Records without labels.

    Attributes:
        rows: of the array that holds them.
    """

    _all: Float16[np.ndarray, "any lead sample"] = field(repr=False)
    rows: Int[np.ndarray, "record"]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def signals(self) -> Float32[np.ndarray, "record lead sample"]:
        """All of them, each lead scaled; a copy, made when it is first asked for."""
        return self.read(slice(None))

    def read(self, which: Any) -> Float32[np.ndarray, "some lead sample"]:
        """Some of them, by positions or a slice: for collections that should not lie in memory at once."""
        return np.asarray(self._all[self.rows[which]], np.float32)


@dataclass(frozen=True)
class LabelledPart(Part):
    """Records with labels.

    Attributes:
        labels: whether a record has a class.
        patients: the same number for records of the same patient.
    """

    labels: Bool[np.ndarray, "record class"]
    patients: Int[np.ndarray, "record"]


@dataclass(frozen=True)
class Records:
    """What a routine gets.

    Attributes:
        train: to learn from; with a ``data_fraction`` the block's subset, the same in every arm.
        val: to choose by, such as an epoch or a threshold.
        scored: what it must give probabilities for, by name: ``val``, and in the confirmation ``test`` and, where the
            study names one, ``external``.
        classes: names of the labels' columns, and of the probabilities'.
        fs_hz: samples a second.
        device: where it should compute, "cpu" or "cuda:N".
    """

    train: LabelledPart
    val: LabelledPart
    scored: Mapping[str, Part]
    classes: tuple[str, ...]
    fs_hz: int
    device: str = "cpu"


class ProgressOf:
    """What a routine may call: after an epoch with its number, or without anything as a sign of life.

    Args of a call: ``epoch`` from 1, ``n_epochs`` in all, ``val`` the validation probabilities so far, from which a
    learning curve is drawn, and ``loss`` in training.
    """

    def __init__(
        self,
        labels: Bool[np.ndarray, "record class"],
        report: Callable[[Progress], None],
        stop: Callable[[], bool],
        *,
        where: str = "",
    ) -> None:
        self._labels, self._stop, self._reporter, self._where = labels, stop, ProgressReporter(report), where
        self._since = time.monotonic()
        self.epochs: list[Progress] = []
        self._reporter.report(Progress(stage=OWN_STAGE, epoch=0, n_epochs=1))

    def __call__(
        self, epoch: int | None = None, n_epochs: int = 1, *, val: Any = None, loss: float | None = None
    ) -> None:
        """See above.

        Raises:
            Stopped: the trial is to be let go of; routines let it pass.
            RoutineFailed: the probabilities are of another shape, or are none.
            Diverged: they are not finite.
        """
        if self._stop():
            raise Stopped
        if epoch is None:
            self._reporter.report_alive()
            return
        scores: dict[str, float] = {}
        if val is not None:
            where = f"{self._where}progress of epoch {epoch}: "
            given = checked({"val": val}, {"val": len(self._labels)}, self._labels.shape[1], where=where)
            classes = both_outcomes(self._labels)
            scores = {
                "val_auroc": macro_auroc(self._labels, given["val"], classes=classes),
                "val_auprc": macro_auprc(self._labels, given["val"], classes=classes),
            }
        now = time.monotonic()
        progress = Progress(
            stage=OWN_STAGE, epoch=int(epoch), n_epochs=max(int(n_epochs), int(epoch)),
            train_loss=None if loss is None else float(loss), seconds=now - self._since, **scores,
        )  # fmt: skip
        self._since = now
        self.epochs.append(progress)
        self._reporter.report(progress)


def train_own(
    code: PinnedCode,
    data: TaskData,
    params: Mapping[str, Any],
    *,
    seed: int,
    machine: Machine | None = None,
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
    sealed: Callable[[], TaskData] | None = None,
    log: Path | None = None,
) -> Outcome:
    """Call the user's function on the records of one block and score what it gives.

    Args:
        code: of the function.
        data: of one task, without its test fold.
        params: every hyper-parameter of the routine, the share of the training data among them.
        seed: of the block: the subset and the routine's own seed derive from it.
        machine: where to compute.
        report: called with each epoch that the routine tells.
        stop: asked whenever it says anything.
        sealed: reads the same task with its test fold, for a confirmation; called for the signals, and for the labels
            once the routine has returned.
        log: where everything that it prints is kept, and the traceback of its failure; beside no log, nowhere.

    Raises:
        SpecError: the code is not the one that the study was read with, or cannot be loaded.
        RoutineFailed: it raises anything, or gives what cannot be scored.
        Diverged: probabilities are not finite.
        OutOfMemory: it ran out of memory.
        Stopped: ``stop()`` was true.
    """
    machine = machine or Machine()
    function, beside = load(code), sealed_parts(sealed()) if sealed else {}
    given = ask(
        function, code, data, params, beside, seed=seed, machine=machine, report=report, stop=stop, log=log
    )  # fmt: skip
    return _outcome(code, sealed() if sealed else data, params, given, seed=seed, machine=machine)


@dataclass(frozen=True)
class Given:
    """What a routine gave, and what that took.

    Attributes:
        probabilities: by part.
        positions: of the block's subset among the training records.
    """

    probabilities: Mapping[str, Probabilities]
    epochs: tuple[Progress, ...]
    seconds: float
    peak_memory_bytes: int
    positions: Int[np.ndarray, "part"]


def ask(
    function: Callable[..., Any],
    code: PinnedCode,
    data: TaskData,
    params: Mapping[str, Any],
    beside: Mapping[str, Part],
    *,
    seed: int,
    machine: Machine,
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
    log: Path | None = None,
) -> Given:
    """What the function gives for the records of one block; its arguments and errors are those of ``train_own``.

    ``beside`` is what has to be scored beside the validation records, nothing in the search.
    """
    own = dict(params)
    share = float(own.pop("data_fraction", 1.0))
    positions = fraction(data, data_fraction=share, seed=seeds.derive(seed, "subset"))
    records = _records(data, positions, beside, machine.device)
    where = f"routine.entry = {code.entry!r}: "
    with memory_errors(machine), prepared(machine, strict=False) as device:
        peak = MemoryPeak(device)
        progress = ProgressOf(data.val_labels, report, stop, where=where)
        started = time.perf_counter()
        given = _call(function, code, own, records, seeds.derive(seed, "routine") % _SEEDS, progress, log=log)
        seconds = time.perf_counter() - started
        n_bytes = peak.n_bytes()
    sizes = {name: len(part) for name, part in records.scored.items()}
    probabilities = checked(given, sizes, len(data.classes), where=where)
    return Given(probabilities, tuple(progress.epochs), seconds, n_bytes, positions)


def load(code: PinnedCode) -> Callable[..., Any]:
    """The function, whose code must be the one that is pinned.

    Raises:
        SpecError: it is another, or cannot be loaded.
    """
    try:
        found = own_code.entry_digest(code.entry)
        if found != code.digest:
            raise UnusableCode(
                f"its code here is {found[: digest.SHORT]}, the study was begun with {code.digest[: digest.SHORT]}; "
                "take the same files, or give the study another name"
            )
        function = own_code.load_entry(code.entry)
        _takes_progress(function)
    except UnusableCode as error:
        raise SpecError(f"routine.entry = {code.entry!r}: {error}") from error
    return function


def fingerprint(code: PinnedCode, data: TaskData, params: Mapping[str, Any], *, seed: int, machine: Machine) -> str:
    """Digest of all that decides the result; of what the routine may import, every installed package's version."""
    return digest.of_json(
        {
            "routine": [code.entry, code.digest],
            "params": dict(params),
            "seed": seed,
            "data": data.digest,
            "machine": machine.identity(),
            "hardware": provenance.hardware(machine.torch_device),
            "code": provenance.CODE_DIGEST,
            "environment": provenance.environment(),
            "packages": provenance.packages(),
        }
    )


def _call(
    function: Callable[..., Any],
    code: PinnedCode,
    params: Mapping[str, Any],
    records: Records,
    seed: int,
    progress: ProgressOf,
    *,
    log: Path | None = None,
) -> Any:
    """What the function gives, with the global generators seeded and its words kept apart from ours.

    Raises:
        RoutineFailed: it raised; one line, with the line of its file.
        Stopped, Diverged, MemoryError: passed through.
    """
    arguments = [dict(params), records, seed, *([progress] if _takes_progress(function) else [])]
    said = io.StringIO()
    with own_code.importable(code.entry), _seeded(seed):
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                return function(*arguments)
        except (Stopped, Diverged, RoutineFailed, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # a script's argparse exits
            if isinstance(error, Exception) and (is_short_of_memory(error) or is_dead_context(error)):
                raise  # mapped where those of all trials are
            traceback.print_exc(file=said)
            where = "" if log is None else f"; its traceback is in {log}"
            raise RoutineFailed(f"routine.entry = {code.entry!r}: {_raised(error, code)}{where}") from error
        finally:
            if log is not None and said.getvalue():
                with contextlib.suppress(DataError):  # a full disk must not cost the trial
                    atomic.write_text(log, said.getvalue())


def checked(given: Any, sizes: Mapping[str, int], n_classes: int, *, where: str = "") -> dict[str, Probabilities]:
    """Probabilities as they are stored, by part.

    Args:
        given: what the routine gave.
        sizes: records of each part that was asked for.
        n_classes: of the task.
        where: it was given, before what is said.

    Raises:
        RoutineFailed: parts, rows or columns are missing or too many, or a value is no probability.
        Diverged: otherwise all is well, but a value is not finite.
    """
    if not isinstance(given, Mapping):
        raise RoutineFailed(f"{where}the routine gave a {type(given).__name__}; expected a dict of {', '.join(sizes)}")
    problems = [f"the routine gave no {name}" for name in sizes if name not in given]
    problems += [f"the routine gave {name}, which was not asked for" for name in given if name not in sizes]
    arrays: dict[str, Probabilities] = {}
    infinite: list[str] = []
    for name in (name for name in sizes if name in given):
        try:
            array = np.asarray(given[name], np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            problems.append(f"{name} is no array of numbers ({in_short(error)})")
            continue
        if array.shape != (sizes[name], n_classes):
            problems.append(f"{name} has shape {array.shape}; expected {(sizes[name], n_classes)}, records x classes")
        elif n_lost := int((~np.isfinite(array)).sum()):
            infinite.append(f"{name} has {n_lost} values that are not finite, NaN or infinite")
        elif array.size and not 0 <= array.min() <= array.max() <= 1:
            problems.append(
                f"{name} has values from {array.min():g} to {array.max():g}; probabilities lie between 0 and 1"
            )
        arrays[name] = array.astype(np.float32)
    if problems:
        raise RoutineFailed(where + "; ".join([*problems, *infinite]))
    if infinite:
        raise Diverged(where + "; ".join(infinite))
    return arrays


def sealed_parts(opened: TaskData) -> dict[str, Part]:
    """The signals of the test fold and of the external records; nothing here holds a label of them."""
    parts = {"test": Part(opened.signals, opened.test_rows)}
    return parts if opened.external is None else {**parts, "external": Part(opened.signals, opened.external.rows)}


def _records(data: TaskData, positions: Int[np.ndarray, "part"], beside: Mapping[str, Part], device: str) -> Records:
    # Copies: what a routine does to them must not reach the trials after it.
    val = LabelledPart(data.signals, data.val_rows.copy(), data.val_labels.copy(), data.val_patients.copy())
    scored = {"val": Part(data.signals, data.val_rows.copy()), **beside}
    train = LabelledPart(
        data.signals, data.train_rows[positions], data.train_labels[positions], data.train_patients[positions]
    )
    return Records(train, val, scored, data.classes, data.fs_hz, device)


def _outcome(
    code: PinnedCode, data: TaskData, params: Mapping[str, Any], given: Given, *, seed: int, machine: Machine
) -> Outcome:
    scores: dict[str, float] = {}
    by_class: dict[str, ClassScores] = {}
    notes: list[str] = []
    for name, array in given.probabilities.items():
        _, truth = data.scored[name]
        scores |= macro_scores(name, truth, array, array)  # an own routine chooses its epoch itself
        by_class[name] = class_scores(data.classes, truth, array)
        notes += missing_note(name, data.classes, truth)
    return Outcome(
        best_epoch=max((progress.epoch for progress in given.epochs), default=1),
        epochs=given.epochs,
        scores=scores,
        class_scores=by_class,
        val_probabilities=given.probabilities["val"],
        test_probabilities=given.probabilities.get("test"),
        external_probabilities=given.probabilities.get("external"),
        seconds={OWN_STAGE: given.seconds},
        peak_memory_bytes=given.peak_memory_bytes,
        n_train=len(given.positions),
        n_val=len(data.val_rows),
        n_skipped=data.n_skipped,
        lost_classes=lost_classes(data, given.positions),
        digests={
            "data": data.digest,
            "routine": code.digest,
            "code": provenance.code_version(),
            "environment": provenance.environment(),
        },
        device=machine.device,
        precision=machine.precision,
        fingerprint=fingerprint(code, data, params, seed=seed, machine=machine),
        notes=tuple(notes),
    )


def _takes_progress(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise UnusableCode(f"what it takes cannot be seen ({in_short(error)}); wrap it in a function") from error
    for n_arguments in (4, 3):
        with contextlib.suppress(TypeError):
            signature.bind(*range(n_arguments))
            return n_arguments == 4
    raise UnusableCode(f"takes {signature}; expected (params, records, seed) or (params, records, seed, progress)")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's and numpy's global generators seeded, and torch's, which the caller of a trial keeps apart already."""
    import torch  # noqa: PLC0415 - for those who only look at the contract

    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _raised(error: BaseException, code: PinnedCode) -> str:
    """The error with the last line of the user's own file that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    source = own_code.source_of(code.entry)
    inside = [frame for frame in frames if source is not None and Path(frame.filename).name == source.file.name]
    frame = (inside or frames)[-1]
    return f"raised {in_short(error)} ({Path(frame.filename).name}, line {frame.lineno})"
