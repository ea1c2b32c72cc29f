"""A study as the report reads it: the checked spec, the seal, and the store's slots by arm and context."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import pandas as pd

from ablate.report.context import Context
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables
from ablate.study.inference import Inference
from ablate.study.seal import Seal
from ablate.study.spec import ContrastSpec, Margin, Spec

SCORES = ("val_auroc", "val_auprc", "test_auroc", "test_auprc")
OPEN = (SlotState.WAITING, SlotState.LEASED)


@dataclass(frozen=True)
class StudyRecord:
    """One study, read once; every section of the report selects from it.

    Attributes:
        tables: as the store gave them.
        seal: None before the search is over.
        slots: a row for each slot by slot_id, ``context`` as a ``Context`` and ``state`` as a ``SlotState``.
        contexts: in the order in which the study file declares them.
    """

    tables: StudyTables
    spec: Spec
    seal: Seal | None
    slots: pd.DataFrame = field(repr=False)
    contexts: tuple[Context, ...]

    @classmethod
    def of(cls, tables: StudyTables) -> "StudyRecord":
        """The study behind the store's tables."""
        spec = Spec.from_document(tables.spec)
        contexts = [
            Context.of(dict(zip(spec.context, values, strict=True))) for values in product(*spec.context.values())
        ]
        by_text = {text: Context.of(json.loads(text)) for text in tables.slots["context"].unique()}
        slots = tables.slots.assign(
            context=tables.slots["context"].map(by_text), state=tables.slots["state"].map(SlotState)
        )
        slots = slots.set_index("slot_id", drop=False).rename_axis("slot")
        seal = None if tables.seal is None else Seal.from_document(tables.seal)
        return cls(tables, spec, seal, slots, tuple(contexts))

    @property
    def arms(self) -> tuple[str, ...]:
        """In the order of the study file."""
        return tuple(self.spec.arms)

    @property
    def contrasts(self) -> tuple[ContrastSpec, ...]:
        """Declared contrasts: those sealed, else those of the study file."""
        return self.spec.contrasts if self.seal is None else self.seal.contrasts

    @property
    def margin(self) -> Margin:
        """Margins of equivalence, likewise."""
        return self.spec.margin if self.seal is None else self.seal.margin

    @property
    def inference(self) -> Inference:
        """How it is judged, likewise."""
        return self.spec.inference if self.seal is None else self.seal.inference

    @property
    def extensions(self) -> tuple[int, ...]:
        """Numbers of blocks to which it was extended after its last look."""
        return () if self.seal is None else self.seal.extensions

    @property
    def baseline(self) -> str | None:
        """The arm that most contrasts are taken against, the first arm where none is declared."""
        baselines = [pair[1] for contrast in self.contrasts if (pair := arm_and_baseline(contrast)) is not None]
        if baselines:
            return max(dict.fromkeys(baselines), key=baselines.count)
        return next(iter(self.arms), None)

    @property
    def sources(self) -> dict[str, int]:
        """Studies that results were taken from, and how many."""
        taken = Counter(str(source).partition(": ")[0] for source in self.slots["reused_from"].dropna())
        return dict(sorted(taken.items()))

    def phase(self, phase: str) -> pd.DataFrame:
        """Slots of search or confirm."""
        return self.slots[self.slots["phase"] == phase]

    def finished(self, phase: str, *, with_stopped: bool = False) -> pd.DataFrame:
        """Done slots of a phase with their scores, a row each, in the order of the plan.

        Args:
            phase: search or confirm.
            with_stopped: also trials that were stopped early, whose scores are those of a shorter training.
        """
        slots = self.phase(phase)
        done = slots[slots["state"] == SlotState.DONE]
        done = done if with_stopped else done[done["stopped_epoch"].isna()]
        scores = self.tables.scores.reindex(done.index)
        joined = done.join(scores.drop(columns=[name for name in scores if name in done]))
        for name in SCORES:
            joined[name] = pd.to_numeric(joined[name], errors="coerce") if name in joined else float("nan")
        return joined

    def cells(self, slots: pd.DataFrame) -> Iterator[tuple[Context, str, pd.DataFrame]]:
        """Context, arm and rows, contexts outermost, empty cells included."""
        for context in self.contexts:
            for arm in self.arms:
                yield context, arm, slots[(slots["context"] == context) & (slots["arm"] == arm)]

    def free_params(self, slots: pd.DataFrame) -> list[str]:
        """Parameters that take more than one value in these slots, in the order of the study file's space."""
        params = self.tables.params.reindex(slots.index)
        varied = [name for name in params if params[name].nunique(dropna=True) > 1]
        order = list(self.spec.space)
        return sorted(varied, key=lambda name: (order.index(name) if name in order else len(order), name))


def arm_and_baseline(contrast: ContrastSpec) -> tuple[str, str] | None:
    """Arm and baseline of a contrast of two arms; None for a combination."""
    by_weight = {weight: arm for arm, weight in contrast.weights().items()}
    is_pair = set(by_weight) == {1.0, -1.0} and len(contrast.weights()) == 2
    return (by_weight[1.0], by_weight[-1.0]) if is_pair else None


def interaction(contrast: ContrastSpec, *, neither: str | None) -> tuple[str, str, str] | None:
    """Both, first and second of ``both - first - second + neither``; None for any other contrast."""
    weights = contrast.weights()
    plus, minus = ([arm for arm, weight in weights.items() if weight == sign] for sign in (1.0, -1.0))
    if neither not in plus or not len(plus) == len(minus) == 2 or len(weights) != 4:
        return None
    return next(arm for arm in plus if arm != neither), minus[0], minus[1]
