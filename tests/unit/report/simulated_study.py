"""Studies that never were: real plans and seals with plausible results, for tests and for looking at the page."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ablate import digest
from ablate.outcome import Outcome, Progress
from ablate.stats.metrics import class_auprc, class_auroc
from ablate.store.result import CLASS_COLUMNS, EPOCH_COLUMNS, columns_of
from ablate.store.slot import Past, PlannedSlot, Slot, SlotState
from ablate.store.study_tables import StudyTables, TestFold
from ablate.study.confirmation import seal_document
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.study.tuning import tuning_of

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CLASSES = ("1AVB", "AFIB", "ASMI", "CLBBB", "CRBBB", "IMI", "LVH", "NORM", "PVC", "SR", "STACH", "WPW")
SPACE: dict[str, Any] = {
    "probe_epochs": {"low": 0, "high": 30},
    "probe_lr": {"low": 5e-4, "high": 5e-2, "log": True},
    "ft_lr": {"low": 1e-5, "high": 3e-3, "log": True},
    "head_lr_ratio": {"low": 1.0, "high": 100.0, "log": True},
    "drop_path_rate": {"low": 0.0, "high": 0.6},
}
ARMS: dict[str, Any] = {
    "ft": {"probe_epochs": 0, "drop_path_rate": 0.0},
    "sd": {"probe_epochs": 0},
    "lp": {"drop_path_rate": 0.0},
    "lp_sd": {},
}
CONTRASTS: list[dict[str, Any]] = [
    {"name": "sd - ft", "arm": "sd", "baseline": "ft"},
    {"name": "lp - ft", "arm": "lp", "baseline": "ft"},
    {"name": "lp_sd - ft", "arm": "lp_sd", "baseline": "ft"},
    {"name": "lp x sd", "combination": {"lp_sd": 1.0, "lp": -1.0, "sd": -1.0, "ft": 1.0}},
]
FT_EPOCHS, REASON = 8, "Diverged: loss is nan at epoch 3"


def simulated_spec(**changes: Any) -> Spec:
    """The study of four arms, with ``changes`` of its keys; None takes a key away."""
    raw = {
        "name": "sd_vs_lp",
        "question": "Does preview linear probing, stochastic depth or both improve fine-tuning of an ECG encoder?",
        "data": {"source": "synthetic", "task": "all", "n_records": 4000},
        "encoder": {"name": "net1d_small", "weights": "synthetic"},
        "fixed": {"ft_epochs": FT_EPOCHS, "batch_size": 64},
        "space": SPACE,
        "arms": ARMS,
        "context": {"data_fraction": [0.1, 1.0]},
        "budget": {"search_trials": 8, "replicates": 10},
        "contrasts": CONTRASTS,
        "claims": "arxiv-2509.12991",
    } | changes
    return Spec.model_validate({key: value for key, value in raw.items() if value is not None})


SMALL = {"n_records": 150, "n_classes": 5, "search_trials": 4, "replicates": 5}


class Simulator:
    """One simulated study; ``tables()`` gives what the store would.

    Args:
        spec: what is simulated; ``simulated_spec()`` with the other arguments by default.
        confirmed: share of the confirmation that is done, 0 without a seal.
        searched: share of the search that is done.
        failed: keys of slots that failed for good.
        mixed: keys of slots with another code digest.
        stopped: epoch of fine-tuning after which a search slot was stopped early, by its key.
        reused: where the result of a slot was taken from, as "study: slot", by its key.
    """

    def __init__(
        self,
        spec: Spec | None = None,
        *,
        seed: int = 7,
        search_trials: int = 8,
        replicates: int = 10,
        n_records: int = 400,
        n_classes: int = len(CLASSES),
        fractions: tuple[float, ...] = (0.1, 1.0),
        searched: float = 1.0,
        confirmed: float = 1.0,
        failed: tuple[str, ...] = (),
        mixed: tuple[str, ...] = (),
        stopped: Mapping[str, int] | None = None,
        reused: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.classes = CLASSES[-n_classes:]
        budget = {"search_trials": search_trials, "replicates": replicates}
        context = {"data_fraction": list(fractions)} if fractions else {}
        self.spec = spec or simulated_spec(budget=budget, context=context, **changes)
        self.shares = {"search": searched, "confirm": confirmed}
        self.failed, self.mixed, self.stopped, self.reused = failed, mixed, stopped or {}, reused or {}
        self._make_test(n_records)
        self.slots: list[dict[str, Any]] = []
        self.params: dict[int, dict[str, Any]] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.searched: dict[str, list[Slot]] = {}  # by chain, as ``finished``
        self.finished: dict[str, list[Past]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.test_reads: list[dict[str, Any]] = []
        self.clock = START
        self._fill()

    def _make_test(self, n: int) -> None:
        prevalence = self.rng.uniform(0.04, 0.4, len(self.classes))
        self.labels = self.rng.random((n, len(self.classes))) < prevalence
        self.patients = self.rng.integers(0, int(n * 0.87), n)
        noise = self.rng.normal(0, 1, self.labels.shape)
        self.signal = self.labels * self.rng.uniform(1.2, 2.2, len(self.classes)) + noise

    def _fill(self) -> None:
        slots = plan(self.spec)
        for phase, share in self.shares.items():
            planned = [slot for slot in slots if slot.phase == phase]
            for position, slot in enumerate(planned):
                self._slot(slot, is_done=position < share * len(planned))

    def _slot(self, slot: PlannedSlot, *, is_done: bool) -> None:
        slot_id = len(self.slots) + 1
        state = SlotState.FAILED if slot.key in self.failed else SlotState.DONE if is_done else SlotState.WAITING
        row = {name: getattr(slot, name) for name in ("key", "phase", "arm", "search", "index", "generation", "seed")}
        self.slots.append(
            {"slot_id": slot_id}
            | row
            | {
                "data_fraction": slot.context.get("data_fraction"),
                "context": digest.canonical_json(slot.context),
                "state": str(state),
                "attempts": {SlotState.DONE: 1, SlotState.FAILED: 3}.get(state, 0),
                "reason": REASON if state is SlotState.FAILED else None,
                "stopped_epoch": float(self.stopped.get(slot.key, np.nan)),
                "reused_from": self.reused.get(slot.key),
            }
        )
        if state is SlotState.WAITING:
            return
        self.params[slot_id] = params = self._params(slot)
        if slot.phase == "search":
            self._searched(slot_id, slot, params, state)
        self._attempt(slot_id, state)
        if state is SlotState.DONE:
            self.outcomes[slot_id] = outcome = self._outcome(slot_id, slot, params)
            past = Past(
                params=params, scores=outcome.scores, index=slot.index, stopped_epoch=self.stopped.get(slot.key)
            )
            if slot.phase == "search":
                self.finished.setdefault(slot.chain, []).append(past)

    def _searched(self, slot_id: int, slot: PlannedSlot, params: dict[str, Any], state: SlotState) -> None:
        names = ("key", "phase", "arm", "context", "index", "generation", "chain", "seed", "search")
        planned = {name: getattr(slot, name) for name in names}
        stored = Slot(id=slot_id, **planned, params=params, state=state, attempts=1, failures=0, reason=None)
        self.searched.setdefault(slot.chain, []).append(stored)

    def _params(self, slot: PlannedSlot) -> dict[str, Any]:
        """Fixed values, then a draw from the arm's space, the same point of it for every confirming slot."""
        space = self.spec.arm_space(slot.arm)
        draws = {name: 0.6 if slot.phase == "confirm" else self.rng.random() for name in space}
        fixed = {name: domain.point for name, domain in self.spec.fixed.items()}
        return fixed | slot.context | {name: domain.at(draws[name]) for name, domain in space.items()}

    def _attempt(self, slot_id: int, state: SlotState) -> None:
        for attempt in range(1, 4 if state is SlotState.FAILED else 2):
            spent = timedelta(seconds=float(self.rng.uniform(4, 9)))
            self.attempts.append(
                {
                    "slot_id": slot_id,
                    "attempt": attempt,
                    "agent": f"host-{slot_id % 4}",
                    "host": "host",
                    "device": "cpu",
                    "started_at": self.clock,
                    "ended_at": self.clock + spent,
                    "outcome": "done" if state is SlotState.DONE else "diverged",
                    "message": None if state is SlotState.DONE else REASON,
                }
            )
            self.clock += spent / 4

    def _outcome(self, slot_id: int, slot: PlannedSlot, params: Mapping[str, Any]) -> Outcome:
        fraction = params["data_fraction"]
        skill = (0.35 * (params["probe_epochs"] > 0) + 0.05 * (params["drop_path_rate"] > 0)) * (
            1 if fraction < 0.5 else 0.25
        ) + 0.5 * fraction
        rate = params.get("ft_lr", 5e-4)
        skill -= 0.25 * (np.log10(rate) + 3.3) ** 2 + 0.3 * (params["drop_path_rate"] - 0.25) ** 2
        value = float(0.78 + 0.11 * np.tanh(0.8 * skill + 0.5 * self.rng.normal(0, 0.12)))
        scores = {"val_auroc": value + 0.004, "val_auprc": 0.7 * value - 0.05 + float(self.rng.normal(0, 0.004))}
        scores |= {"val_auroc_last": value, "val_auprc_last": scores["val_auprc"] - 0.002}
        class_scores, predicted = {}, None
        if slot.phase == "confirm":
            predicted = self._predict(skill, slot.index)
            by_class = np.stack([class_auroc(self.labels, predicted), class_auprc(self.labels, predicted)])
            class_scores["test"] = dict(zip(self.classes, map(tuple, by_class.T.tolist()), strict=True))
            scores |= dict(zip(("test_auroc", "test_auprc"), by_class.mean(axis=1).tolist(), strict=True))
            self.test_reads.append({"slot_id": slot_id, "key": slot.key, "opened_at": self.clock, "agent": "host-1"})
        epochs = tuple(self._epochs(slot, params, value))
        return Outcome(
            best_epoch=6,
            epochs=epochs,
            scores=scores,
            class_scores=class_scores,
            val_probabilities=np.zeros((1, len(self.classes)), np.float32),
            test_probabilities=predicted,
            seconds={"features": 0.4 if slot_id < 3 else 0.0} | _seconds(epochs),
            peak_memory_bytes=2**28,
            n_train=int(900 * fraction),
            n_val=110,
            digests={
                "data": "d" * 64,
                "encoder": "e" * 64,
                "code": ("9" if slot.key in self.mixed else "c") * 40,
                "environment": digest.of_json("env"),
            },
        )

    def _predict(self, skill: float, block: int) -> np.ndarray:
        """Probabilities on the test fold; blocks share a part of their luck."""
        shared = np.random.default_rng(1000 + block).normal(0, 0.35, self.signal.shape)
        patient = 1.6 * np.random.default_rng(5).normal(0, 1, self.signal.shape)
        strength = 1.1 + 0.9 * np.tanh(skill)
        logits = strength * self.signal + patient + shared + self.rng.normal(0, 0.25, self.signal.shape)
        return (1 / (1 + np.exp(2 - logits))).astype(np.float32)

    def _epochs(self, slot: PlannedSlot, params: Mapping[str, Any], value: float) -> Iterator[Progress]:
        n_tuned = self.stopped.get(slot.key, FT_EPOCHS)
        for stage, n, start in (("probe", min(4, params["probe_epochs"]), 0.72), ("finetune", n_tuned, 0.8)):
            for epoch in range(1, n + 1):
                rise = (1 - start) * value * (1 - np.exp(-epoch / 2))
                score = float(start * value + rise + self.rng.normal(0, 0.003))
                yield Progress(
                    stage=stage,
                    epoch=epoch,
                    n_epochs=n,
                    val_auroc=score,
                    val_auprc=0.6 * score,
                    train_loss=0.5 / epoch,
                    seconds=0.5,
                )

    def tables(self) -> StudyTables:
        columns = {slot_id: columns_of(outcome) for slot_id, outcome in self.outcomes.items()}
        facts = ("best_epoch", "n_train", "n_val", "device", "precision", "lost_classes")
        scores = {i: c["scores"] | {name: c["facts"][name] for name in facts} for i, c in columns.items()}
        test = TestFold(1 + np.arange(len(self.labels)), self.patients, self.labels, self.classes)
        return StudyTables(
            name=self.spec.name,
            spec=self.spec.document(),
            spec_digest=self.spec.digest(),
            created_at=START,
            seal=self._seal(),
            slots=pd.DataFrame(self.slots),
            params=_indexed(self.params),
            scores=_indexed(scores),
            epochs=_stacked({i: c["epochs"] for i, c in columns.items()}, EPOCH_COLUMNS),
            seconds=_stacked({i: _by_stage(c["seconds"]) for i, c in columns.items()}, ("stage", "seconds")),
            class_scores=_stacked({i: c["class_scores"] for i, c in columns.items()}, CLASS_COLUMNS),
            attempts=pd.DataFrame(self.attempts, columns=ATTEMPT_COLUMNS),
            test_reads=pd.DataFrame(self.test_reads, columns=["slot_id", "key", "opened_at", "agent"]),
            digests=_indexed({i: c["digests"] for i, c in columns.items()}),
            test=test if self.test_reads else None,
            read_probabilities=lambda slot_id, split: self.outcomes[slot_id].probabilities[split],
        )

    def _seal(self) -> dict[str, Any] | None:
        if not self.shares["confirm"]:
            return None
        found = [tuning_of(self.spec, slots, self.finished[chain]) for chain, slots in self.searched.items()]
        return seal_document(self.spec, found) | {"sealed_at": (START + timedelta(hours=1)).isoformat()}


ATTEMPT_COLUMNS = ["slot_id", "attempt", "agent", "host", "device", "started_at", "ended_at", "outcome", "message"]


def _seconds(epochs: tuple[Progress, ...]) -> dict[str, float]:
    return {stage: sum(e.seconds for e in epochs if e.stage == stage) for stage in ("probe", "finetune")}


def _by_stage(seconds: Mapping[str, float]) -> dict[str, list[Any]]:
    return {"stage": list(seconds), "seconds": list(seconds.values())}


def _indexed(rows: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="slot_id", dtype="int64"))


def _stacked(tables: Mapping[int, Mapping[str, list[Any]]], names: tuple[str, ...]) -> pd.DataFrame:
    parts = [pd.DataFrame({"slot_id": slot_id, **table}) for slot_id, table in tables.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["slot_id", *names])


def search_study(**more: Any) -> Simulator:
    """One arm, everything searched, the share of the data too, nothing to confirm."""
    space = SPACE | {"data_fraction": {"low": 0.05, "high": 1.0, "log": True}}
    changes = {"name": "search", "arms": {"all": {}}, "contrasts": None, "space": space, "claims": None}
    return Simulator(replicates=0, confirmed=0.0, fractions=(), search={"sampler": "latin"}, **changes, **more)
