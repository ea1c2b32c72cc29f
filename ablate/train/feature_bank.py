"""The feature bank of one trial: features of the rows that a probe asks for, kept where that is right and possible."""

import functools
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ablate import digest
from ablate.ecg import cohort
from ablate.ecg.split import TaskData
from ablate.errors import DataError
from ablate.outcome import Progress
from ablate.train import provenance
from ablate.train.feature_cache import FeatureCache
from ablate.train.feature_extraction import BATCH, Features, extract, forward, why_not_kept
from ablate.train.signals import n_pieces, to_device
from ablate.train.trial import Trial

PART = 32 * BATCH  # rows of the cohort that are extracted and kept together
REPORT_S = 1.0  # between two signs of life while features are extracted


class FeatureBank:
    """Features of rows of the cohort on the device; through the encoder for rows that it does not keep."""

    def __init__(self, encoder: nn.Module, trial: Trial) -> None:
        self._encoder, self._trial = encoder, trial
        self._place = np.full(len(trial.signals), -1, dtype=np.int64)
        self._kept = torch.empty(0)

    def keep(self, rows: Int[np.ndarray, "row"], features: Features) -> None:
        """Answer for ``rows`` with ``features`` from now on."""
        self._place[rows] = np.arange(len(rows))
        self._kept = to_device(torch.from_numpy(features), self._trial.device)

    def kept(self, rows: Int[np.ndarray, "row"]) -> Float[Tensor, "row feature"] | None:
        """Features of ``rows`` where all of them are kept."""
        place = self._place[rows]
        return self._kept[to_device(torch.from_numpy(place), self._trial.device)] if (place >= 0).all() else None

    def __call__(self, rows: Int[np.ndarray, "row"]) -> Float[Tensor, "row feature"]:
        """Features of ``rows``, in their order."""
        kept = self.kept(rows)
        if kept is not None:
            return kept
        return forward(self._encoder, self._trial.signals, rows, check_stop=self._trial.check_stop)


def feature_bank(
    encoder: nn.Module, encoder_digest: str, trial: Trial, cache: FeatureCache | None, *, is_shared: bool
) -> FeatureBank:
    """The bank of a trial's probe.

    Without a ``cache`` everything goes through the encoder. With one, features come from it or are put into it; where
    it cannot be used they are kept in memory for this trial, and where the encoder forbids that they are not kept.

    Args:
        encoder: frozen, in eval mode.
        encoder_digest: of its architecture and weights.
        trial: whose training subset and validation records are needed.
        cache: shared by the trials of this machine.
        is_shared: whether other trials have the same encoder, so that a file is worth its place.

    Raises:
        Stopped: the trial was asked to stop.
    """
    bank = FeatureBank(encoder, trial)
    if cache is None:
        return bank
    needed = np.union1d(trial.train_rows, trial.data.val_rows)
    with trial.timed("features"):
        reason = _why_not_kept(encoder, encoder_digest, trial, needed)
        if reason:
            trial.notes.append(f"features are not kept, the probe goes through the encoder: {reason}")
            return bank
        features = _shared(encoder, encoder_digest, trial, cache, needed) if is_shared else None
        if features is None:
            features = extract(encoder, trial.signals, needed, tick=_SignOfLife(trial, len(needed)).tick)
        bank.keep(needed, features)
    return bank


_reasons_not_to_keep: dict[tuple[str, str], str | None] = {}  # of encoders that this process has tried


def _why_not_kept(encoder: nn.Module, encoder_digest: str, trial: Trial, rows: Int[np.ndarray, "row"]) -> str | None:
    key = (encoder_digest, str(trial.device))
    if key not in _reasons_not_to_keep:
        _reasons_not_to_keep[key] = why_not_kept(encoder, trial.signals, rows)
    return _reasons_not_to_keep[key]


def _shared(
    encoder: nn.Module, encoder_digest: str, trial: Trial, cache: FeatureCache, needed: Int[np.ndarray, "row"]
) -> Features | None:
    """Features of ``needed``, ascending, or None where the cache cannot be used.

    The cache has them in parts of consecutive rows, so that a row lies in the same batch for every trial. Processes
    that need the same parts at once take them in orders of their own and thereby share the work.
    """
    identity: dict[str, digest.Json] = {
        "encoder": encoder_digest,
        "cohort": _cohort_digest(trial.data),
        "n_threads": trial.machine.n_threads,  # changes bits, as Machine.identity says
        "hardware": provenance.hardware(trial.device),
    }
    n_rows = 1 + int(max(trial.data.train_rows.max(), trial.data.val_rows.max()))  # those of the test fold come last
    parts = [np.arange(start, min(start + PART, n_rows)) for start in np.unique(needed // PART) * PART]
    sign = _SignOfLife(trial, sum(len(rows) for rows in parts))
    parts_by_index: dict[int, Features] = {}
    try:
        for i in np.random.default_rng().permutation(len(parts)):
            rows = parts[i]
            features = _part(encoder, trial, cache, identity, rows, sign)
            parts_by_index[i] = features[needed[(rows[0] <= needed) & (needed <= rows[-1])] - rows[0]]
    except DataError as error:
        trial.notes.append(f"features are kept in memory, for this trial only: {error}")
        return None
    return np.concatenate([parts_by_index[i] for i in range(len(parts))])


def _part(
    encoder: nn.Module,
    trial: Trial,
    cache: FeatureCache,
    identity: dict[str, digest.Json],
    rows: Int[np.ndarray, "row"],
    sign: "_SignOfLife",
) -> Features:
    def is_right(stored: Features) -> bool:
        fresh = forward(encoder, trial.signals, rows[:BATCH]).cpu().numpy()
        return stored.shape == (len(rows), fresh.shape[1]) and np.allclose(stored[:BATCH], fresh, rtol=1e-3, atol=1e-4)

    features = cache.load(
        {**identity, "rows": [int(rows[0]), int(rows[-1])]},
        lambda: extract(encoder, trial.signals, rows, tick=sign.tick),
        is_right=is_right,
        wait=sign.wait,
        note=trial.notes.append,
    )
    sign.n_before += n_pieces(len(rows), BATCH)
    return features


def _cohort_digest(data: TaskData) -> str:
    """Of the prepared arrays where the signals are mapped from them, so that all tasks share features."""
    file = getattr(data.signals, "filename", None)
    if file is None:
        return data.digest
    return _folder_digest(Path(file).parent) or data.digest


@functools.cache
def _folder_digest(folder: Path) -> str | None:
    try:
        identity: str = cohort.read_meta(folder)["digest"]
    except DataError:
        return None
    return identity


class _SignOfLife:
    """Reports now and then that features are being made, and leaves the trial when it was asked to stop."""

    def __init__(self, trial: Trial, n_rows: int) -> None:
        self.n_before = 0  # batches of the parts that are there
        self._n_batches = n_pieces(n_rows, BATCH)
        self._trial, self._last, self._started = trial, -REPORT_S, time.perf_counter()

    def tick(self, n_done: int) -> None:
        """So many batches of this part are done."""
        self._trial.check_stop()
        now, n_done = time.perf_counter() - self._started, self.n_before + n_done
        if now - self._last >= REPORT_S or n_done == self._n_batches:
            self._last = now
            progress = Progress(stage="features", epoch=n_done, n_epochs=self._n_batches, seconds=now)
            self._trial.progress_reporter.report(progress)

    def wait(self) -> None:
        """Another process extracts this part; report that the trial is alive."""
        self.tick(0)
