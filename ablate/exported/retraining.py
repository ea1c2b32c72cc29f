"""Training anew by the sealed params, on every training record; nobody needs the store for that."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate import settings
from ablate.ecg.preparation import open_cohort
from ablate.ecg.seal import forbid_sealed_reads
from ablate.ecg.split import load_task
from ablate.outcome import Outcome, Progress
from ablate.study.cohort import prepare_cohort
from ablate.study.spec import Spec
from ablate.train.machine import Machine
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, post_train


def retrained_params(sealed: Mapping[str, Any]) -> dict[str, Any]:
    """The sealed params with all of the training records, whatever share they were chosen with."""
    return {**sealed, "data_fraction": 1.0}


def retrain(
    spec: Spec,
    arm: str,
    context: Mapping[str, Any],
    params: Mapping[str, Any],
    *,
    seed: int,
    data_dir: Path | None,
    report: Callable[[Progress], None],
    device: str = "cpu",
    n_processes: int = 1,
) -> Outcome:
    """Train ``arm`` on folds 1 to 8; fold 9 chooses the epoch and the thresholds, the test fold stays closed.

    From here on this process cannot open the test fold's labels.

    Args:
        spec: the study.
        arm: by its name.
        context: which the arm is trained in.
        params: hyper-parameters.
        seed: of all randomness.
        data_dir: folder of the records; as in ``source_of``.
        report: called after each epoch.
        device: cpu, cuda or cuda:N.
        n_processes: how many prepare records, where they are not prepared yet.

    Raises:
        DataError: records are missing or damaged.
        CheckpointError: the encoder's weights cannot be used.
        TrialError: the training diverged, or the device has too little memory.
    """
    subject = spec.subject(arm, context)
    assert subject.encoder is not None  # a study with a routine of its own gives no model
    folder = prepare_cohort(spec, view=subject.view, data_dir=data_dir, n_processes=n_processes)
    forbid_sealed_reads()
    return post_train(
        subject.encoder,
        load_task(open_cohort(folder), subject.data.task, window_s=subject.data.window_s),
        Params.from_dict(params),
        seed=seed,
        machine=Machine(device=device, precision=subject.encoder.precision),
        report=report,
        features=FeatureCache(settings.home() / "features"),
        keep_weights=True,
    )
