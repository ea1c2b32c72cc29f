"""A trial that is stopped or killed goes on from its checkpoint and ends as if nothing had happened."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest
from test_exactness import bits

from ablate.ecg.cohort import Cohort
from ablate.ecg.split import TaskData
from ablate.model.catalogue import EncoderSpec
from ablate.outcome import EarlyStop, Outcome
from ablate.train import checkpoint as checkpoint_module
from ablate.train import provenance
from ablate.train.early_stopping import Rungs
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Machine, Stopped, post_train

PARAMS = Params(data_fraction=0.3, probe_epochs=2, ft_epochs=3, drop_path_rate=0.3, dropout=0.2, batch_size=16)


class Countdown:
    """Asks to stop at the n-th question."""

    def __init__(self, n_asked: int) -> None:
        self.left = n_asked

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return FeatureCache(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def undisturbed(spec: EncoderSpec, open_data: TaskData, features: FeatureCache) -> Outcome:
    return post_train(spec, open_data, PARAMS, seed=4, features=features)


@pytest.mark.parametrize("n_asked", [1, 4, 7, 9, 11, 13, 15])
def test_a_trial_that_is_stopped_at_any_batch_ends_with_the_same_bits(
    spec: EncoderSpec, open_data: TaskData, features: FeatureCache, undisturbed: Outcome, tmp_path: Path, n_asked: int
) -> None:
    checkpoint = tmp_path / "trial"
    with pytest.raises(Stopped):
        post_train(spec, open_data, PARAMS, seed=4, features=features, checkpoint=checkpoint, stop=Countdown(n_asked))
    told = []
    resumed = post_train(spec, open_data, PARAMS, seed=4, features=features, checkpoint=checkpoint, report=told.append)
    assert bits(resumed) == bits(undisturbed)
    assert resumed.notes == ()
    assert len([p for p in told if p.stage == "finetune"]) <= 3


def test_a_trial_that_is_stopped_at_every_epoch_loses_one_epoch_each_time_at_most(
    spec: EncoderSpec, data: TaskData, features: FeatureCache, tmp_path: Path
) -> None:
    undisturbed = post_train(spec, data, PARAMS, seed=4, features=features)
    checkpoint, told = tmp_path / "trial", []
    for _ in range(10):
        n_told = len(told)
        try:
            outcome = post_train(
                spec,
                data,
                PARAMS,
                seed=4,
                features=features,
                checkpoint=checkpoint,
                report=told.append,
                stop=lambda before=n_told: any(p.stage == "finetune" for p in told[before:]),
            )
            break
        except Stopped:
            continue
    finetune = [p.epoch for p in told if p.stage == "finetune"]
    assert finetune == [1, 2, 3]
    assert bits(outcome) == bits(undisturbed)


def test_an_early_best_epoch_survives_an_interruption(
    spec: EncoderSpec, open_data: TaskData, features: FeatureCache, tmp_path: Path
) -> None:
    params = replace(PARAMS, probe_epochs=40, ft_epochs=0, probe_lr=0.05, batch_size=8)
    undisturbed = post_train(spec, open_data, params, seed=4, features=features)
    assert undisturbed.best_epoch < 39, "else this test tests nothing"
    assert undisturbed.scores["test_auroc"] != undisturbed.scores["test_auroc_last"]
    checkpoint, reports = tmp_path / "trial", []
    with pytest.raises(Stopped):
        post_train(
            spec, open_data, params, seed=4, features=features, checkpoint=checkpoint, report=reports.append,
            stop=lambda: reports[-1:] != [] and reports[-1].epoch == 39,
        )  # fmt: skip
    assert len(list(tmp_path.glob("trial.best-probe-*"))) == 1
    reports.clear()
    resumed = post_train(
        spec, open_data, params, seed=4, features=features, checkpoint=checkpoint, report=reports.append
    )
    assert [p.epoch for p in reports if p.stage == "probe"] == [40]
    assert bits(resumed) == bits(undisturbed)
    assert resumed.best_epoch == undisturbed.best_epoch


@pytest.mark.parametrize(
    ("params", "seed", "machine"),
    [
        (replace(PARAMS, ft_lr=1e-4), 4, Machine()),
        (PARAMS, 5, Machine()),
        (PARAMS, 4, Machine(precision="bf16")),
    ],
)
def test_the_checkpoint_of_another_trial_is_refused_and_said_so(
    spec: EncoderSpec, data: TaskData, tmp_path: Path, params: Params, seed: int, machine: Machine
) -> None:
    checkpoint = tmp_path / "trial"
    short = {"probe_epochs": 0, "ft_epochs": 2, "drop_path_rate": 0.0}
    reports = []
    with pytest.raises(Stopped):
        post_train(
            spec, data, replace(PARAMS, **short), seed=4, checkpoint=checkpoint, report=reports.append,
            stop=lambda: reports != [],
        )  # fmt: skip
    params = replace(params, **short)
    outcome = post_train(spec, data, params, seed=seed, machine=machine, checkpoint=checkpoint)
    assert "trained from the beginning" in outcome.notes[0]
    assert bits(outcome) == bits(post_train(spec, data, params, seed=seed, machine=machine))


def test_a_checkpoint_folder_that_cannot_be_written_stops_nothing(
    spec: EncoderSpec, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "SHARE", math.inf)
    (tmp_path / "file").write_text("")
    params = replace(PARAMS, probe_epochs=0, ft_epochs=1)
    outcome = post_train(spec, data, params, seed=4, checkpoint=tmp_path / "file" / "trial")
    assert "no checkpoint could be written" in " ".join(outcome.notes)
    assert bits(outcome) == bits(post_train(spec, data, params, seed=4))


CHILD = """
from pathlib import Path
from ablate.ecg.preparation import open_cohort
from ablate.ecg.seal import Permit
from ablate.ecg.split import load_task
from ablate.model.encoder import EncoderSpec
from ablate.train import checkpoint, provenance
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, post_train
checkpoint.SHARE = float("inf")  # every epoch is written, beside the next one
print(provenance.CODE_DIGEST, flush=True)
permit = Permit(study="s", slot="1")
data = load_task(open_cohort(Path({folder!r})), "superdiagnostic", permit=permit)
post_train(
    EncoderSpec("net1d_small", {weights!r}), data, Params.from_dict({params!r}), seed=4,
    features=FeatureCache(Path({features!r})), checkpoint={checkpoint!r} and Path({checkpoint!r}),
    report=lambda p: print(p.stage, p.epoch, flush=True),
)
"""


def start(spec: EncoderSpec, cohort: Cohort, features: Path, checkpoint: Path | None = None) -> Popen:
    code = CHILD.format(
        folder=str(cohort.folder),
        weights=spec.weights,
        params=PARAMS.document(),
        features=str(features),
        checkpoint=str(checkpoint) if checkpoint else None,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_killed_process_is_continued_in_another_one(
    spec: EncoderSpec, cohort: Cohort, open_data: TaskData, features: FeatureCache, undisturbed: Outcome, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "trial"
    with start(spec, cohort, features.folder, checkpoint) as child:
        code = child.stdout.readline().strip()
        for line in child.stdout:
            if line.startswith("finetune 2"):
                os.kill(child.pid, signal.SIGKILL)
                break
    told = []
    resumed = post_train(spec, open_data, PARAMS, seed=4, features=features, checkpoint=checkpoint, report=told.append)
    if code != provenance.CODE_DIGEST:
        pytest.skip("somebody changed the sources in the midst of this test")
    assert resumed.notes == ()
    assert [p.epoch for p in told if p.stage == "finetune"] in ([1, 2, 3], [2, 3], [3], [])
    assert bits(resumed) == bits(undisturbed)


def test_two_processes_that_need_the_same_features_build_them_once(
    spec: EncoderSpec, cohort: Cohort, data: TaskData, tmp_path: Path
) -> None:
    children = [start(spec, cohort, tmp_path) for _ in range(2)]
    told = [child.communicate()[0].split("\n") for child in children]
    assert [child.returncode for child in children] == [0, 0]
    n_finished = [sum(line.startswith("features") and not line.endswith(" 0") for line in lines) for lines in told]
    assert sorted(n_finished) == [0, 1]
    assert len(list(Path(tmp_path).glob("*/features.npy"))) == 1


def test_a_trial_below_a_rung_ends_there_with_the_scores_so_far(
    spec: EncoderSpec, data: TaskData, features: FeatureCache
) -> None:
    whole = post_train(spec, data, PARAMS, seed=4, features=features)
    curve = {p.epoch: p.val_auroc for p in whole.epochs if p.stage == "finetune"}
    passed = post_train(spec, data, PARAMS, seed=4, features=features, rungs=Rungs(score="val_auroc", thresholds=curve))
    assert passed.early_stop is None
    assert bits(passed) == bits(whole)
    above = {**curve, 2: curve[2] + 1e-9}
    ended = post_train(spec, data, PARAMS, seed=4, features=features, rungs=Rungs(score="val_auroc", thresholds=above))
    assert ended.early_stop == EarlyStop(
        epoch=2, n_epochs=3, score="val_auroc", value=curve[2], threshold=curve[2] + 1e-9
    )
    assert [(p.stage, p.epoch) for p in ended.epochs] == [("probe", 1), ("probe", 2), ("finetune", 1), ("finetune", 2)]
    assert ended.scores["val_auroc"] == max(curve[1], curve[2])
    assert ended.scores["val_auroc_last"] == curve[2]
    assert ended.document()["early_stop"]["epoch"] == 2


def test_the_last_epoch_and_those_of_the_probe_stop_nothing(
    spec: EncoderSpec, data: TaskData, features: FeatureCache
) -> None:
    rungs = Rungs(score="val_auprc", thresholds={3: 1.0})
    assert post_train(spec, data, PARAMS, seed=4, features=features, rungs=rungs).early_stop is None
    probing = replace(PARAMS, probe_epochs=3, ft_epochs=0)
    rungs = Rungs(score="val_auprc", thresholds={1: 1.0, 2: 1.0})
    assert len(post_train(spec, data, probing, seed=4, features=features, rungs=rungs).epochs) == 3


def test_a_trial_that_goes_on_from_its_checkpoint_is_stopped_where_it_would_have_been(
    spec: EncoderSpec, data: TaskData, features: FeatureCache, tmp_path: Path
) -> None:
    rungs = Rungs(score="val_auroc", thresholds={2: 1.0})
    undisturbed = post_train(spec, data, PARAMS, seed=4, features=features, rungs=rungs)
    checkpoint, told = tmp_path / "trial", []
    with pytest.raises(Stopped):
        post_train(
            spec, data, PARAMS, seed=4, features=features, checkpoint=checkpoint,
            report=told.append, stop=lambda: told[-1:] != [] and told[-1].stage == "finetune" and told[-1].epoch == 2,
        )  # fmt: skip
    told.clear()
    resumed = post_train(
        spec, data, PARAMS, seed=4, features=features, checkpoint=checkpoint, report=told.append, rungs=rungs
    )
    assert told == []  # not an epoch more
    assert resumed.early_stop == undisturbed.early_stop
    assert bits(resumed) == bits(undisturbed)
