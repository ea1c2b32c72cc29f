"""The seal: what was fixed before the test fold was first opened, as the store holds it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ablate.stats.declaration import Declaration
from ablate.study.inference import Inference, declaration
from ablate.study.plan import chain
from ablate.study.spec import ContrastSpec, Margin, Spec


class _Sealed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SealedEdge(_Sealed):
    """A param whose best value is an end of its range: better ones may lie beyond."""

    name: str
    end: Literal["low", "high"]
    value: Any


class SealedChoice(_Sealed):
    """What an arm is confirmed with in a context, and how its search stood.

    Attributes:
        score: the validation score that chose it; None where nothing was searched.
        n_trials: finished search trials that it was chosen from.
        remaining_gain: what more trials were expected to bring; None where too few told.
        is_settled: whether that is less than a quarter of the margin; None where the seal does not say.
    """

    params: dict[str, Any]
    score: float | None
    n_trials: int = 0
    remaining_gain: float | None = None
    is_settled: bool | None = None
    edges: tuple[SealedEdge, ...] = ()


class Seal(_Sealed):
    """Chosen params, contrasts and margins.

    Attributes:
        chosen: by the name of what was tuned together, see ``choice``.
        searches: independent searches behind each arm; verdicts of one hold for its params alone.
        extensions: numbers of blocks to which the confirmation was extended after its last look.
        incomplete: search trials that failed or were cancelled, a sentence for each search; its author sealed it so.
        sealed_at: None where the store did not say.
    """

    chosen: dict[str, SealedChoice]
    contrasts: tuple[ContrastSpec, ...]
    margin: Margin
    inference: Inference = Inference()
    searches: int = 1
    extensions: tuple[int, ...] = ()
    incomplete: tuple[str, ...] = ()
    sealed_at: datetime | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Seal":
        """The seal that the store holds."""
        contrasts = [{"name": entry["name"], "combination": entry["weights"]} for entry in document["contrasts"]]
        return cls.model_validate({**document, "contrasts": contrasts})

    def choice(self, arm: str, context: Mapping[str, Any], search: int = 0) -> SealedChoice | None:
        """What ``arm`` is confirmed with in ``context`` by one of its searches; None where the whole search failed."""
        return self.chosen.get(chain(arm, context, search))


def declared(spec: Spec, seal: Seal | None) -> Declaration:
    """What ``judge`` is told of a study: as it was sealed, or before that as its file says."""
    fixed = spec if seal is None else seal
    return declaration(
        fixed.inference,
        weights={contrast.name: contrast.weights() for contrast in fixed.contrasts},
        context=spec.context,
        arms=list(spec.arms),
        replicates=spec.budget.replicates,
        margins=fixed.margin.model_dump(),
        extensions=() if seal is None else seal.extensions,
    )
