"""Studies that never were: tables with plausible numbers, for tests and for looking at the page."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ablate import digest
from ablate.stats.metrics import class_auprc, class_auroc
from ablate.store.study_tables import StudyTables, TestFold

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CLASSES = ("1AVB", "AFIB", "ASMI", "CLBBB", "CRBBB", "IMI", "LVH", "NORM", "PVC", "SR", "STACH", "WPW")
SPACE: dict[str, Any] = {
    "probe_epochs": {"low": 0, "high": 30, "log": False, "int": True},
    "probe_lr": {"low": 5e-4, "high": 5e-2, "log": True, "int": False},
    "ft_lr": {"low": 1e-5, "high": 3e-3, "log": True, "int": False},
    "head_lr_ratio": {"low": 1, "high": 100, "log": True, "int": False},
    "drop_path_rate": {"low": 0, "high": 0.6, "log": False, "int": False},
}
OFF = {"low": 0, "high": 0, "log": False, "int": False}
ARMS = {
    "ft": {"probe_epochs": OFF, "drop_path_rate": OFF},
    "sd": {"probe_epochs": OFF},
    "lp": {"drop_path_rate": OFF},
    "lp_sd": {},
}
SKILL = {"ft": 0.0, "sd": -0.02, "lp": 0.35, "lp_sd": 0.45}  # of a logit, at 10 % of the data
CONTRASTS = [
    {"name": "sd - ft", "arm": "sd", "baseline": "ft", "combination": None},
    {"name": "lp - ft", "arm": "lp", "baseline": "ft", "combination": None},
    {"name": "lp_sd - ft", "arm": "lp_sd", "baseline": "ft", "combination": None},
    {"name": "lp x sd", "arm": None, "baseline": None, "combination": {"lp_sd": 1, "lp": -1, "sd": -1, "ft": 1}},
]


class Simulator:
    """One simulated study; ``tables()`` gives what the store would.

    Args:
        confirmed: share of the confirmation that is done, 0 without a seal.
        searched: share of the search that is done.
        failed: keys of slots that failed for good.
        mixed: keys of slots with another code digest.
        stopped: epoch of fine-tuning after which a search slot was stopped early, by its key.
        reused: where the result of a slot was taken from, as "study: slot", by its key.
    """

    def __init__(
        self,
        *,
        name: str = "sd_vs_lp",
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
        stopped: dict[str, int] | None = None,
        reused: dict[str, str] | None = None,
        arms: dict[str, Any] | None = None,
        contrasts: list[dict[str, Any]] | None = None,
        question: str = "Does preview linear probing, stochastic depth or both improve fine-tuning of an ECG encoder?",
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.classes = CLASSES[-n_classes:]
        self.arms = ARMS if arms is None else arms
        self.fractions, self.searched, self.confirmed = fractions, searched, confirmed
        self.failed, self.mixed, self.stopped, self.reused = failed, mixed, stopped or {}, reused or {}
        self.search_trials, self.replicates = search_trials, replicates
        self.spec = _spec(name, question, self.arms, CONTRASTS if contrasts is None else contrasts, fractions)
        self.spec["budget"] = {
            "search_trials": search_trials,
            "replicates": replicates,
            "generation": 4,
            "max_attempts": 3,
        }
        self._make_test(n_records)
        self.slots: list[dict[str, Any]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in ("params", "scores", "epochs", "seconds", "class_scores", "attempts", "test_reads", "digests")
        }
        self.probabilities: dict[int, np.ndarray] = {}
        self.clock = START
        self._fill()

    def _make_test(self, n: int) -> None:
        prevalence = self.rng.uniform(0.04, 0.4, len(self.classes))
        self.labels = self.rng.random((n, len(self.classes))) < prevalence
        self.patients = self.rng.integers(0, int(n * 0.87), n)
        self.signal = self.labels * self.rng.uniform(1.2, 2.2, len(self.classes)) + self.rng.normal(
            0, 1, self.labels.shape
        )

    def _fill(self) -> None:
        phases = [("search", self.search_trials, self.searched), ("confirm", self.replicates, self.confirmed)]
        for phase, n, share in phases:
            planned = [(arm, f, k) for k in range(n) for f in self.fractions or (None,) for arm in self.arms]
            for position, (arm, fraction, index) in enumerate(planned):
                self._slot(phase, arm, fraction, index, is_done=position < share * len(planned))

    def _slot(self, phase: str, arm: str, fraction: float | None, index: int, *, is_done: bool) -> None:
        slot_id = len(self.slots) + 1
        context = {} if fraction is None else {"data_fraction": fraction}
        key = "/".join([phase, arm, *(f"{k}={v:g}" for k, v in context.items()), str(index)])
        state = "FAILED" if key in self.failed else "DONE" if is_done else "WAITING"
        row = {
            "slot_id": slot_id,
            "key": key,
            "phase": phase,
            "arm": arm,
            "data_fraction": context.get("data_fraction"),
            "context": json.dumps(context),
            "index": index,
            "generation": index // 4 if phase == "search" else 0,
            "seed": int(self.rng.integers(1 << 40)),
            "state": state,
            "attempts": {"DONE": 1, "FAILED": 3}.get(state, 0),
            "reason": "Diverged: loss is nan at epoch 3" if state == "FAILED" else None,
            "stopped_epoch": self.stopped.get(key, math.nan),
            "reused_from": self.reused.get(key),
        }
        self.slots.append(row)
        params = self._params(arm, phase)
        if fraction is None:
            fraction = params["data_fraction"] = float(self.rng.choice([0.05, 0.1, 0.3, 1.0]))
        if state != "WAITING":
            self.rows["params"].append({"slot_id": slot_id, **params})
            self._attempts(slot_id, state)
        if state == "DONE":
            self._result(slot_id, key, phase, arm, fraction, index, params)

    def _params(self, arm: str, phase: str) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name, domain in SPACE.items():
            limits = self.arms[arm].get(name, domain)
            low, high = limits["low"], limits["high"]
            draw = 0.6 if phase == "confirm" else self.rng.random()
            value = low * (high / low) ** draw if limits["log"] else low + (high - low) * draw
            params[name] = round(value) if domain["int"] else float(value)
        if params["probe_epochs"] == 0:
            params["probe_lr"] = None
        return params

    def _attempts(self, slot_id: int, state: str) -> None:
        for attempt in range(1, 4 if state == "FAILED" else 2):
            spent = timedelta(seconds=float(self.rng.uniform(4, 9)))
            self.rows["attempts"].append(
                {
                    "slot_id": slot_id,
                    "attempt": attempt,
                    "agent": f"host-{slot_id % 4}",
                    "host": "host",
                    "device": "cpu",
                    "started_at": self.clock,
                    "ended_at": self.clock + spent,
                    "outcome": "done" if state == "DONE" else "failed",
                    "message": None if state == "DONE" else "Diverged: loss is nan at epoch 3",
                }
            )
            self.clock += spent / 4

    def _result(
        self, slot_id: int, key: str, phase: str, arm: str, fraction: float | None, index: int, params: dict[str, Any]
    ) -> None:
        skill = SKILL.get(arm, 0.2) * (1 if fraction < 0.5 else 0.25) + 0.5 * fraction
        skill -= 0.25 * (np.log10(params["ft_lr"]) + 3.3) ** 2 + 0.3 * (params["drop_path_rate"] - 0.25) ** 2
        noise = self.rng.normal(0, 0.12)
        value = float(0.78 + 0.11 * np.tanh(0.8 * skill + 0.5 * noise))
        scores = {"val_auroc": value + 0.004, "val_auprc": 0.7 * value - 0.05 + float(self.rng.normal(0, 0.004))}
        scores |= {
            "val_auroc_last": value,
            "val_auprc_last": scores["val_auprc"] - 0.002,
            "best_epoch": 6,
            "n_train": int(900 * fraction),
        }
        if phase == "confirm":
            scores |= self._test(slot_id, skill, index)
            self.rows["test_reads"].append({"slot_id": slot_id, "key": key, "opened_at": self.clock, "agent": "host-1"})
        self.rows["scores"].append({"slot_id": slot_id, **scores})
        self._epochs(slot_id, params, value, n_tuned=self.stopped.get(key, 8))
        code = "9" * 40 if key in self.mixed else "c" * 40
        self.rows["digests"].append(
            {
                "slot_id": slot_id,
                "data": "d" * 64,
                "encoder": "e" * 64,
                "code": code,
                "environment": digest.of_json("env"),
            }
        )

    def _test(self, slot_id: int, skill: float, block: int) -> dict[str, float]:
        shared = np.random.default_rng(1000 + block).normal(0, 0.35, self.signal.shape)
        strength = 1.1 + 0.9 * np.tanh(skill)
        noise = self.rng.normal(0, 0.25, self.signal.shape)
        logits = (
            strength * self.signal + 1.6 * np.random.default_rng(5).normal(0, 1, self.signal.shape) + shared + noise
        )
        probabilities = (1 / (1 + np.exp(2 - logits))).astype(np.float32)
        self.probabilities[slot_id] = probabilities
        auroc, auprc = class_auroc(self.labels, probabilities), class_auprc(self.labels, probabilities)
        for name, a, p in zip(self.classes, auroc, auprc, strict=True):
            self.rows["class_scores"].append(
                {"slot_id": slot_id, "split": "test", "class_name": name, "auroc": a, "auprc": p}
            )
        return {"test_auroc": float(auroc.mean()), "test_auprc": float(auprc.mean())}

    def _epochs(self, slot_id: int, params: dict[str, Any], value: float, *, n_tuned: int) -> None:
        stages = [("probe", min(4, params["probe_epochs"]), 0.72), ("finetune", n_tuned, 0.8)]
        self.rows["seconds"].append({"slot_id": slot_id, "stage": "features", "seconds": 0.4 if slot_id < 3 else 0.0})
        for stage, n, start in stages:
            for epoch in range(1, n + 1):
                score = (
                    start * value + (1 - start) * value * (1 - np.exp(-epoch / 2)) + float(self.rng.normal(0, 0.003))
                )
                self.rows["epochs"].append(
                    {
                        "slot_id": slot_id,
                        "stage": stage,
                        "epoch": epoch,
                        "val_auroc": score,
                        "val_auprc": 0.6 * score,
                        "train_loss": 0.5 / epoch,
                        "seconds": 0.5,
                    }
                )
            self.rows["seconds"].append({"slot_id": slot_id, "stage": stage, "seconds": 0.5 * n})

    def tables(self) -> StudyTables:
        slots = pd.DataFrame(self.slots)
        indexed = {
            name: pd.DataFrame(self.rows[name], columns=_columns(name, self.rows[name])).set_index("slot_id")
            for name in INDEXED
        }
        flat = {
            name: pd.DataFrame(self.rows[name], columns=_columns(name, self.rows[name]))
            for name in COLUMNS
            if name not in INDEXED
        }
        records = np.arange(len(self.labels))
        has_test = bool(self.probabilities)
        return StudyTables(
            name=self.spec["name"],
            spec=self.spec,
            spec_digest=digest.of_json(self.spec),
            created_at=START,
            seal=self._seal(),
            slots=slots,
            **indexed,
            **flat,
            test=TestFold(records, self.patients, self.labels, self.classes) if has_test else None,
            read_probabilities=lambda slot_id, split: self.probabilities[slot_id],
        )

    def _seal(self) -> dict[str, Any] | None:
        if not self.confirmed:
            return None
        chosen = {
            f"{arm}|{json.dumps({'data_fraction': f})}": {
                "params": self._params(arm, "confirm"),
                "slot_id": 1,
                "score": 0.85,
            }
            for arm in self.arms
            for f in self.fractions
        }
        return {
            "sealed_at": (START + timedelta(hours=1)).isoformat(),
            "chosen": chosen,
            "contrasts": self.spec["contrasts"],
            "margin": self.spec["margin"],
        }


COLUMNS = {
    "params": ["slot_id", *SPACE],
    "scores": [
        "slot_id",
        "val_auroc",
        "val_auprc",
        "val_auroc_last",
        "val_auprc_last",
        "test_auroc",
        "test_auprc",
        "best_epoch",
        "n_train",
    ],
    "epochs": ["slot_id", "stage", "epoch", "val_auroc", "val_auprc", "train_loss", "seconds"],
    "seconds": ["slot_id", "stage", "seconds"],
    "class_scores": ["slot_id", "split", "class_name", "auroc", "auprc"],
    "attempts": ["slot_id", "attempt", "agent", "host", "device", "started_at", "ended_at", "outcome", "message"],
    "test_reads": ["slot_id", "key", "opened_at", "agent"],
    "digests": ["slot_id", "data", "encoder", "code", "environment"],
}
INDEXED = ("params", "scores", "digests")


def _columns(name: str, rows: list[dict[str, Any]]) -> list[str]:
    extra = [key for row in rows[:1] for key in row if key not in COLUMNS[name]]
    return COLUMNS[name] + extra


def _spec(name: str, question: str, arms: Any, contrasts: Any, fractions: tuple[float, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "question": question,
        "data": {
            "source": "synthetic",
            "task": "all",
            "fs_hz": 100,
            "preprocessing": "none",
            "n_records": 4000,
            "seed": 1,
        },
        "encoder": {"name": "net1d_small", "weights": "synthetic", "precision": "fp32"},
        "fixed": {"ft_epochs": 8, "batch_size": 64},
        "space": SPACE,
        "arms": arms,
        "context": {"data_fraction": list(fractions)} if fractions else {},
        "search": {"sampler": "tpe"},
        "objectives": {"select": "val_auroc"},
        "contrasts": contrasts,
        "margin": {"auroc": 0.005, "auprc": 0.01},
    }


def search_study(**more: Any) -> Simulator:
    """One arm, everything searched, nothing to confirm."""
    return Simulator(name="search", arms={"all": {}}, contrasts=[], replicates=0, confirmed=0.0, **more)
