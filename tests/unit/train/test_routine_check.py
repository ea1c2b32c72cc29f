"""Routines from a user's file: tried before anything trains, with one line for each thing that is wrong."""

import ast
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ablate.ecg.cohort import open_cohort
from ablate.ecg.preparation import prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.view import View
from ablate.errors import Diverged, RoutineFailed, SpecError
from ablate.outcome import Outcome, Progress
from ablate.own_code import PinnedCode, entry_digest
from ablate.train.own_routine import train_own
from ablate.train.routine import Stopped, never, silent
from ablate.train.routine_check import faults

GOOD = """
import numpy as np
from dataclasses import dataclass
import helper

@dataclass
class Settings:
    slope: "float" = 1.0

def train(params, records, seed, progress):
    settings = Settings(**params)
    rate = records.train.labels.mean(0)
    print("trained on", len(records.train))
    progress(1, 1, val=predict(settings, rate, records.val.signals), loss=0.5)
    return {name: predict(settings, rate, part.signals) for name, part in records.scored.items()}

def predict(settings, rate, signals):
    level = helper.level(signals, settings.slope)
    return np.clip(rate * (0.5 + level[:, None]), 0, 1)
"""
HELPER = "import numpy as np\n\ndef level(x, slope):\n    return 1 / (1 + np.exp(-slope * x.std((1, 2))))\n"
RETURN = "    return {name: predict(settings, rate, part.signals) for name, part in records.scored.items()}\n"


def written(folder: Path, *changes: tuple[str, str]) -> PinnedCode:
    """The routine above with changes, as a study names it."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.py").write_text(text)
    (folder / "helper.py").write_text(HELPER)
    entry = f"{folder / 'mine.py'}:train"
    return PinnedCode(entry, entry_digest(entry))


def said_of(code: PinnedCode) -> list[str]:
    return faults(code, {"only": {"data_fraction": 1.0, "slope": 2.0}}, view=View(fs_hz=100))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], TaskData]:
    """Loads the task of a small cohort, with its test fold or without."""
    cohort = open_cohort(prepare(Synthetic(200, 3), cache_dir=tmp_path_factory.mktemp("prepared")))
    return lambda with_test: load_task(cohort, "superdiagnostic", permit=Permit("t", "t") if with_test else None)


def trained(code: PinnedCode, opened: Callable[[bool], TaskData], *, confirms: bool = True, **rest: Any) -> Outcome:
    sealed = (lambda: opened(True)) if confirms else None
    given = {"seed": 5, "report": silent, "stop": never, **rest}
    params = {"data_fraction": 0.5, "slope": 2.0}
    return train_own(code, opened(False), params, sealed=sealed, **given)


def test_a_good_routine_passes_and_its_words_are_kept(tmp_path: Path) -> None:
    assert said_of(written(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((RETURN, RETURN.replace("part.signals)", "part.signals)[1:]")), "val has shape (19, 5); expected (20, 5)"),
        ((RETURN, RETURN.replace("part.signals)", "part.signals) * np.nan")), "not finite"),
        ((RETURN, RETURN.replace("part.signals)", "part.signals) * 9")), "probabilities lie between 0 and 1"),
        ((RETURN, RETURN.replace("part.signals)", "part.signals) + np.random.default_rng().random() / 99")),
         "other probabilities each time with the same seed"),
        ((RETURN, RETURN.replace("part.signals)", "part.signals) * len(records.scored) / 3")), "records must not mix"),
        ((RETURN, '    return {"val": predict(settings, rate, records.val.signals)}\n'), "the routine gave no test"),
        ((RETURN, "    return predict(settings, rate, records.val.signals)\n"), "gave a ndarray; expected a dict"),
        ((RETURN, "    raise KeyError('lead\\nV1')\n"), "raised KeyError: 'lead\\nV1' (mine.py, line 15)"),
        ((RETURN, "    import sys; sys.exit(2)\n"), "raised SystemExit: 2 (mine.py, line 15)"),
        (("val=predict(settings, rate, records.val.signals)", "val=[0.5]"), "progress of epoch 1: val has shape (1,)"),
        (("(params, records, seed, progress)", "(params)"), "takes (params); expected (params, records, seed)"),
        (("import helper", "import not_there"), "No module named 'not_there'; mend it"),
        (("def train(", "def fit("), "has no train; expected FILE.py:FUNCTION"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_before_anything_trains(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    code = written(tmp_path, change)
    line, *more = said_of(code)
    assert said in line
    assert line.startswith(f"routine.entry = {code.entry!r}: ")
    assert "\n" not in line
    assert not more


def test_all_that_is_wrong_with_what_it_gives_is_said_at_once(
    tmp_path: Path, opened: Callable[[bool], TaskData]
) -> None:
    test = "predict(settings, rate, records.scored['test'].signals) + 3"
    wrong = f"    return {{'val': rate[None], 'test': {test}, 'more': 1}}\n"
    with pytest.raises(RoutineFailed) as caught:
        trained(written(tmp_path, (RETURN, wrong)), opened)
    for part in ("val has shape (1, 5)", "test has values from 3", "gave more, which was not asked for"):
        assert part in str(caught.value)


def test_scores_are_those_of_the_probabilities_and_the_subset_is_the_blocks(
    tmp_path: Path, opened: Callable[[bool], TaskData]
) -> None:
    seen: list[Progress] = []
    log = tmp_path / "log" / "slot.log"
    outcome = trained(written(tmp_path), opened, report=seen.append, log=log)
    truth = opened(True)
    assert outcome.test_probabilities is not None
    assert truth.test_labels is not None
    for labels, probabilities, score in (
        (truth.val_labels, outcome.val_probabilities, "val_auroc"),
        (truth.test_labels, outcome.test_probabilities, "test_auroc"),
    ):
        both = labels.any(0) & ~labels.all(0)
        assert outcome.scores[score] == pytest.approx(roc_auc_score(labels[:, both], probabilities[:, both]), abs=1e-9)
    assert log.read_text() == f"trained on {outcome.n_train}\n"
    assert abs(outcome.n_train - len(truth.train_rows) / 2) <= 2
    assert [epoch.val_auroc for epoch in outcome.epochs] == [outcome.scores["val_auroc"]]
    assert seen[-1] == outcome.epochs[-1]
    again = trained(written(tmp_path), opened, confirms=False)
    assert again.fingerprint == outcome.fingerprint
    assert np.array_equal(again.val_probabilities, outcome.val_probabilities)
    assert again.test_probabilities is None


def test_no_label_of_the_test_fold_is_in_the_process_while_it_runs(
    tmp_path: Path, opened: Callable[[bool], TaskData]
) -> None:
    gc.collect()
    kept = [
        each for each in gc.get_objects() if type(each) is TaskData
    ]  # by other tests, for as long as this one lasts
    spy = """
    import gc
    from ablate.ecg.split import TaskData
    print([id(each) for each in gc.get_objects() if type(each) is TaskData and each.test_labels is not None])
    print(sorted(vars(records.scored["test"])))
"""
    log = tmp_path / "slot.log"
    outcome = trained(written(tmp_path, (RETURN, spy.lstrip("\n") + RETURN)), opened, log=log)
    held, parts = log.read_text().splitlines()[1:]
    assert set(ast.literal_eval(held)) <= set(map(id, kept))
    assert parts == "['_all', 'rows']"
    assert outcome.scores["test_auroc"] > 0


def test_a_failure_names_its_line_and_leaves_its_traceback(tmp_path: Path, opened: Callable[[bool], TaskData]) -> None:
    log = tmp_path / "slot.log"
    with pytest.raises(RoutineFailed, match=r"raised ValueError: too few \(mine\.py, line 15\); its traceback is in "):
        trained(written(tmp_path, (RETURN, "    raise ValueError('too few')\n")), opened, log=log)
    said = log.read_text()
    assert said.startswith("trained on ")
    assert "Traceback" in said
    assert 'mine.py", line 15, in train' in said


def test_values_that_are_not_finite_count_as_diverged(tmp_path: Path, opened: Callable[[bool], TaskData]) -> None:
    code = written(tmp_path, (RETURN, RETURN.replace("part.signals)", "part.signals) * float('nan')")))
    with pytest.raises(Diverged, match="val has 120 values that are not finite"):
        trained(code, opened, confirms=False)


def test_it_is_let_go_of_when_it_says_something(tmp_path: Path, opened: Callable[[bool], TaskData]) -> None:
    with pytest.raises(Stopped):
        trained(written(tmp_path), opened, stop=lambda: True)


def test_an_edited_file_or_module_beside_it_is_another_routine(
    tmp_path: Path, opened: Callable[[bool], TaskData]
) -> None:
    code = written(tmp_path)
    before = trained(code, opened, confirms=False)
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert entry_digest(code.entry) == code.digest
    (tmp_path / "helper.py").write_text(HELPER.replace("-slope", "slope"))
    with pytest.raises(SpecError, match=r"its code here is [0-9a-f]{12}, the study was begun with [0-9a-f]{12}"):
        trained(code, opened)
    edited = trained(PinnedCode(code.entry, entry_digest(code.entry)), opened, confirms=False)
    assert edited.fingerprint != before.fingerprint
    assert not np.array_equal(edited.val_probabilities, before.val_probabilities)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package of the user's."""
    folder = tmp_path / "their_lab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "recipe.py").write_text(GOOD.replace("import helper", "from their_lab import helper"))
    (folder / "helper.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "their_lab.recipe:train"


def test_a_module_of_a_package_is_taken_too(package: str, opened: Callable[[bool], TaskData]) -> None:
    outcome = trained(PinnedCode(package, entry_digest(package)), opened)
    assert outcome.scores["test_auroc"] > 0
