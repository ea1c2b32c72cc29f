"""A user's way through a study: run, look, run again, report; and what each mistake is answered with."""

import csv
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from command_folder import Workplace
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url

SLOTS = 8


def scores(workplace: Workplace, study: str = "small") -> dict[str, dict[str, str]]:
    """Every number that training decides, by slot, as the report writes it."""
    workplace.ablate("report", "--study", study, "--out", "out")
    with (workplace.folder / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    decided = [name for name in rows[0] if name.startswith(("val_", "test_", "param")) or name == "best_epoch"]
    assert decided
    return {row["key"]: {name: row[name] for name in decided} for row in rows}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Finished:
    """A workplace whose study is done by four workers, and what was shown meanwhile."""

    workplace: Workplace
    shown: str


@pytest.fixture(scope="module")
def finished(new_workplace: Callable[[], Workplace]) -> Finished:
    workplace = new_workplace()
    return Finished(workplace, workplace.ablate("run", "--study", "small", "--workers", "4"))


def test_a_study_is_run_looked_at_and_reported(finished: Finished) -> None:
    workplace, shown = finished.workplace, finished.shown
    assert f"{SLOTS} of {SLOTS} slots done" in shown
    assert re.search(
        r"^(supported|refuted|equivalent|not established|not tested) at 50 % of the data: lp ", shown, re.MULTILINE
    )

    status = workplace.json("status", "--study", "small")
    assert {phase["phase"]: phase["done"] for phase in status["phases"]} == {"search": 4, "confirm": 4}
    assert status["sealed_at"]

    again = workplace.ablate("run", "--study", "small", "--workers", "2")
    assert f"{SLOTS} of {SLOTS} slots done" in again

    report = workplace.json("report", "--study", "small")
    page = Path(report["page"]).read_text()
    assert "Does a probe before fine-tuning help?" in page
    first = {Path(table).name for table in report["tables"]}
    assert {"trials.csv", "arms.csv", "importance.csv", "contrasts.csv"} <= first

    url = workplace.ablate("storage", "url").strip()
    storage = RDBStorage(url)
    for name in ("small · search · data_fraction=0.5", "small · confirm"):
        study = optuna.load_study(study_name=name, storage=storage)
        assert len(study.trials) == SLOTS // 2
        assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
        assert study.metric_names == ["val_auroc", "val_auprc"]
    storage.scoped_session.remove()
    storage.engine.dispose()


def test_a_start_that_fails_leaves_no_study(finished: Finished) -> None:
    workplace = finished.workplace
    workplace.ablate("run", "small", "--set", "encoder.weights=missing.safetensors", status=3)
    nowhere = ("--launcher", "ray", "--ray-address", "127.0.0.1:1")
    workplace.ablate("run", "small", "--set", "fixed.ft_epochs=2", *nowhere, status=5)
    assert [row["study"] for row in workplace.json("studies")["studies"]] == ["small"]


def test_studies_are_told_apart_compared_and_deleted(finished: Finished) -> None:
    workplace = finished.workplace
    workplace.ablate("run", "small", "--set", "budget.replicates=3", "--launcher", "kubernetes", "--option", "image=i")
    stored = {row["study"]: row for row in workplace.json("studies")["studies"]}
    (variant,) = set(stored) - {"small"}
    assert stored[variant]["changed"] == {"budget.replicates": {"before": 2, "after": 3}}
    assert (stored[variant]["state"], stored["small"]["state"]) == ("new", "done")
    assert [row["study"] for row in workplace.json("studies", "--state", "new")["studies"]] == [variant]
    assert f"{variant} · replicates=3" in workplace.ablate("studies")
    for one in ("small", "studies/small.toml"):
        difference = workplace.json("diff", one, variant)
        assert difference["changed"] == {"budget.replicates": {"before": 2, "after": 3}}
    both = workplace.json("diff", "small", "studies/small.toml")["arms"]
    assert {(pair["arm"], pair["context"]["data_fraction"], pair["difference"]) for pair in both} == {
        ("ft", 0.5, 0.0),
        ("lp", 0.5, 0.0),
    }
    assert "confirmation" in workplace.ablate("plan", variant)  # which only the store knows
    workplace.ablate("delete", variant, status=2)  # nobody can be asked
    workplace.ablate("delete", variant, "--yes")
    assert [row["study"] for row in workplace.json("studies")["studies"]] == ["small"]


def test_a_finished_study_says_its_outcome_quietly(finished: Finished) -> None:
    said = finished.workplace.ablate("run", "small", "--quiet")
    assert re.search(r"^[a-z ]+ at 50 % of the data: lp ", said, re.MULTILINE)
    assert "slots done" not in said


def test_the_report_is_the_same_to_the_byte_when_it_is_written_again(finished: Finished) -> None:
    contents = []
    for name in ("one", "other"):
        finished.workplace.ablate("report", "--study", "small", "--out", name)
        contents.append({file.name: file.read_bytes() for file in (finished.workplace.folder / name).iterdir()})
    assert contents[0] == contents[1]


def test_scores_do_not_depend_on_the_number_of_workers(finished: Finished, workplace: Workplace) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import ablate; print(ablate.run('small', workers=1))"],
        cwd=workplace.folder, env=workplace.environment, text=True, capture_output=True, check=True, timeout=240,
    ).stdout  # fmt: skip
    assert f"study small: {SLOTS} of {SLOTS} trials done, sealed" in said
    assert scores(workplace) == scores(finished.workplace)


@pytest.mark.parametrize("n_launches", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_launches_at_once_on_an_empty_folder_share_the_work(workplace: Workplace, n_launches: int) -> None:
    launches = [workplace.start("run", "--study", "small", "--workers", "1") for _ in range(n_launches)]
    for process in launches:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert f"{SLOTS} of {SLOTS} slots done" in out
    status = workplace.json("status", "--study", "small")
    assert sum(phase["done"] for phase in status["phases"]) == SLOTS


def test_the_dashboard_reads_and_cannot_write(finished: Finished) -> None:
    port = free_port()
    dashboard = finished.workplace.start("dashboard", "--port", str(port))
    try:
        assert dashboard.stdout is not None
        dashboard.stdout.readline()
        base = f"http://127.0.0.1:{port}/api/studies"
        listed = json.load(_answer(base))
        names = ["small · search · data_fraction=0.5", "small · confirm"]
        assert [study["study_name"] for study in listed["study_summaries"]] == names
        refused = urllib.request.Request(f"{base}/{listed['study_summaries'][0]['study_id']}", method="DELETE")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(refused, timeout=30)
        assert caught.value.code == 403
        assert "read-only" in json.load(caught.value)["reason"]
        assert len(json.load(_answer(base))["study_summaries"]) == len(names)
    finally:
        dashboard.terminate()
        dashboard.communicate()


def _answer(url: str) -> object:
    """The first answer of a server that is just starting."""
    for _ in range(600):
        try:
            return urllib.request.urlopen(url, timeout=30)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        subprocess.run([sys.executable, "-c", ""], check=True)  # yields the processor for some hundredths of a second
    raise TimeoutError(url)


def test_another_spec_under_the_same_name_is_refused_with_the_difference(finished: Finished, tmp_path: Path) -> None:
    changed = tmp_path / "small.toml"
    changed.write_text(finished.workplace.study.read_text().replace("replicates = 2", "replicates = 3"))
    message = finished.workplace.ablate("run", "--study", str(changed), status=4)
    assert "budget.replicates" in message
    assert message.count("\n") == 1


def test_passwords_are_never_shown(finished: Finished) -> None:
    workplace = finished.workplace
    url = make_url(workplace.ablate("storage", "start").strip())
    secret = Path(str(url.query["passfile"])).read_text().strip().rpartition(":")[2]
    wrong = url.set(password="wrong-horse", query={}).render_as_string(hide_password=False)
    message = workplace.ablate("status", "--study", "small", "--storage", wrong, status=4)
    assert "wrong-horse" not in message
    assert secret not in workplace.ablate("storage", "status")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["run", "--study", "smal"], 2, "did you mean 'small'"),
        (["run", "--study", "small", "--set", "budget.replicats=1"], 2, "unknown key"),
        (["run", "--study", "small", "--phase", "dream"], 2, "--phase dream"),
        (["status", "--study", "nobody"], 2, "nobody"),
        (["report", "smal"], 2, "did you mean 'small'"),
        (["stop", "nobody"], 2, "nobody"),
        (["status", "--study", "small", "--storage", "postgresql://x:y@127.0.0.1:1/z"], 4, "127.0.0.1"),
        (["status", "--study", "small", "--storage", "sqlite:///x.db"], 4, "postgresql"),
        (["data", "prepare", "nowhere"], 3, "nowhere"),
        (["encoder", "verify", "nothing.pth"], 3, "nothing.pth"),
        (["run", "--study", "small", "--set", "encoder.weights=missing.safetensors", "--workers", "1"], 3, "missing"),
        (["run", "--study", "small", "--set", "fixed.ft_epochs=2", "--device", "cuda:7"], 5, "cuda:7"),
        (["run", "--study", "small", "--set", "data={source='ptbxl', task='form'}"], 3, "--data"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line_and_its_exit_status(
    finished: Finished, words: list[str], status: int, expected: str
) -> None:
    message = finished.workplace.ablate(*words, status=status)
    assert expected in message
    assert message.strip().count("\n") == 0, message
