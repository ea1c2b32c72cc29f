"""Phases, contexts, arms and progress as a person says them, without anything that takes long to import."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.outcome import Progress
    from ablate.store.slot import Slot
    from ablate.study.spec import Spec

PHASES = {"search": "search", "confirm": "confirmation"}
_STAGES = {
    "features": "reading features",
    "probe": "probing",
    "finetune": "fine-tuning",
    "train": "training",
    "test": "testing",
}
_SCORES = {"val_auroc": "AUROC", "val_auprc": "AUPRC"}


class Wording:
    """The words of one study."""

    def __init__(self, spec: "Spec", slots: "Sequence[Slot]") -> None:
        self._spec = spec
        self._slots = {slot.key: slot for slot in slots}
        self.score = _SCORES[spec.objectives.select]

    def phase(self, name: str) -> str:
        """A phase by its name in the store."""
        return PHASES.get(name, name)

    def place(self, slot: "Slot") -> str:
        """Arm and context of a slot."""
        return ", ".join(filter(None, (self._spec.title(slot.arm), context_words(slot.context))))

    def slot(self, key: str) -> str:
        """A slot by its key: arm, context, and its number within its phase."""
        slot = self._slots.get(key)
        if slot is None:
            return key
        kind = "trial" if slot.phase == "search" else "block"
        return f"{self.place(slot)}, {kind} {slot.index + 1}"

    def doing(self, progress: "Progress | None") -> tuple[str, str, str]:
        """Stage, epoch and validation score of a trial."""
        if progress is None:
            return "starting", "", ""
        score = "" if progress.val_auroc is None else f"{progress.val_auroc:.4f}"
        return _STAGES.get(progress.stage, progress.stage), f"{progress.epoch}/{progress.n_epochs}", score


def context_words(context: Mapping[str, Any]) -> str:
    """A context in words; nothing where there is only one."""
    return ", ".join(_factor(name, value) for name, value in context.items())


def _factor(name: str, value: Any) -> str:
    if name == "data_fraction":
        return "all of the data" if value == 1 else f"{100 * value:g} % of the data"
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
