"""A study as frozen tables: what a report or a notebook reads, in one consistent snapshot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ablate import digest


@dataclass(frozen=True)
class TestFold:
    """Labels of the sealed test fold, kept with the study since its first confirmation."""

    __test__ = False  # not a test class, whatever pytest thinks

    ecg_id: Int[np.ndarray, "record"]
    patient_id: Int[np.ndarray, "record"]
    labels: Bool[np.ndarray, "record label"]
    classes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of records, task and labels: equal wherever the same labels were looked at, whatever the signals were."""
        content = [self.ecg_id.astype(np.int64).tobytes(), np.packbits(self.labels).tobytes()]
        return digest.of_json([list(self.classes), *(digest.of_bytes(part) for part in content)])


@dataclass(frozen=True)
class TestReader:
    """A study of the store that has opened a test fold.

    Attributes:
        labels: digest of what it looked at.
        n_reads: openings, one for each confirming trial and attempt; n_looks: at which it was judged.
    """

    __test__ = False  # not a test class, whatever pytest thinks

    study: str
    labels: str
    first_read: datetime
    n_reads: int
    n_looks: int


@dataclass(frozen=True)
class StudyTables:
    """Everything the store knows of one study.

    Attributes:
        slots: a row for each slot: slot_id, key, phase, arm, data_fraction, context (JSON), index, generation, seed,
            state, attempts, reason, stopped_epoch (of fine-tuning; NaN where it was not stopped early),
            reused_from ("study: slot"; None where it was trained).
        params: index slot_id, a column for each hyper-parameter.
        scores: index slot_id; val_auroc, val_auprc, val_auroc_last, val_auprc_last, test_auroc, test_auprc
            (confirm only), best_epoch, n_train, n_val, peak_memory_bytes, device, precision.
        epochs: slot_id, stage, epoch, val_auroc, val_auprc, train_loss, seconds.
        seconds: slot_id, stage, seconds.
        class_scores: slot_id, split, class_name, auroc, auprc.
        attempts: slot_id, attempt, agent, host, device, started_at, ended_at, outcome, message.
        test_reads: slot_id, key, opened_at, agent.
        digests: index slot_id; data, encoder, code, environment.
        test: labels of the test fold, None before the first confirmation.
        external: labels of the external test set, None before the first confirmation and where there is none.
        readers: every study that has opened the same test labels, this one among them, the earliest first.
        packings: what pilots found on GPUs: gpu, n_trainers, why, levels (n_trainers, batches_per_s, used_bytes,
            total_bytes).
    """

    name: str
    spec: Mapping[str, Any]
    spec_digest: str
    created_at: datetime
    seal: Mapping[str, Any] | None
    slots: pd.DataFrame
    params: pd.DataFrame
    scores: pd.DataFrame
    epochs: pd.DataFrame
    seconds: pd.DataFrame
    class_scores: pd.DataFrame
    attempts: pd.DataFrame
    test_reads: pd.DataFrame
    digests: pd.DataFrame
    test: TestFold | None
    read_probabilities: Callable[[int, str], Float[np.ndarray, "record label"]] = field(repr=False)
    packings: Sequence[Mapping[str, Any]] = ()
    external: TestFold | None = None
    readers: Sequence[TestReader] = ()

    def probabilities(self, slot_id: int, *, split: str = "test") -> Float[np.ndarray, "record label"]:
        """Predicted probabilities of one slot on ``split`` ("val", "test" or "external")."""
        return self.read_probabilities(slot_id, split)
