"""Where the searches of a study stand: what each has come to, whether it goes on, and what stands in the seal's way.

Everything follows from finished generations alone, so any worker may ask at any time and gets the same answer.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablate.domain import Domain, Scalar
from ablate.store.slot import Past, PlannedSlot, Slot, SlotState
from ablate.store.store import Store
from ablate.study.plan import SEARCH, following
from ablate.study.settlement import Settlement, settle
from ablate.study.spec import Spec

History = Sequence[Past]
_OPEN = (SlotState.WAITING, SlotState.LEASED)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One of the independent searches of an arm in a context.

    Attributes:
        chain: its name in the plan.
        history: trials that finished, those that were stopped early among them.
        slots: in each state; the ones that diverged count as done.
        diverged: params of the trials that diverged.
        settlement: what the finished trials have come to; None where none ran to its end.
    """

    chain: str
    arm: str
    context: Mapping[str, Any]
    search: int
    history: History
    slots: Mapping[SlotState, int]
    diverged: Sequence[Mapping[str, Any]]
    settlement: Settlement | None

    @property
    def n_planned(self) -> int:
        """Trials that were planned so far."""
        return sum(self.slots.values())

    @property
    def n_open(self) -> int:
        """Trials that wait or are being trained."""
        return sum(self.slots.get(state, 0) for state in _OPEN)

    @property
    def n_missing(self) -> int:
        """Trials that failed, though not by diverging, or were cancelled."""
        return self.slots.get(SlotState.FAILED, 0) + self.slots.get(SlotState.CANCELLED, 0)

    @property
    def is_settled(self) -> bool:
        """Whether more trials are expected to bring less than a quarter of the margin."""
        return self.settlement is not None and self.settlement.is_settled

    @property
    def place(self) -> str:
        """In words, such as "ft at data_fraction=0.1, search 2"."""
        context = ", ".join(f"{name}={value}" for name, value in self.context.items())
        return self.arm + (f" at {context}" if context else "") + (f", search {self.search + 1}" if self.search else "")

    def goes_on(self, spec: Spec) -> bool:
        """Whether another generation is due: the last one is over, the search unsettled and below its limit."""
        return not self.n_open and not self.slots.get(SlotState.CANCELLED) and self.is_undecided(spec)

    def is_undecided(self, spec: Spec) -> bool:
        """Whether its finished trials ask for more of them: unsettled and below its limit."""
        return spec.budget.is_until_settled and not self.is_settled and self.n_planned < spec.budget.most_trials

    def document(self) -> dict[str, Any]:
        """For the seal and for ``status``; an infinite gain, of which too few trials tell, is null."""
        settlement = self.settlement
        gain = settlement.remaining_gain if settlement else math.inf
        return {
            "arm": self.arm,
            "context": dict(self.context),
            "search": self.search,
            "n_trials": len(self.history) + len(self.diverged),
            "n_stopped": sum(not past.is_whole for past in self.history),
            "n_diverged": len(self.diverged),
            "n_missing": self.n_missing,
            "remaining_gain": gain if math.isfinite(gain) else None,
            "is_settled": self.is_settled,
            "edges": [asdict(edge) for edge in settlement.edges] if settlement else [],
        }


def tunings(store: Store, spec: Spec, slots: Sequence[Slot]) -> list[Tuning]:
    """Every search of the study as it stands, in the order of the plan."""
    return [tuning_of(spec, members, _history(store, spec, members)) for members in _by_chain(slots).values()]


def tuning_of(spec: Spec, slots: Sequence[Slot], history: History) -> Tuning:
    """One search, from all its slots and what finished of them."""
    first = slots[0]
    diverged = [slot.params for slot in slots if slot.has_diverged and slot.params is not None]
    counted = Counter(SlotState.DONE if slot.has_diverged else slot.state for slot in slots)
    return Tuning(
        chain=first.chain,
        arm=first.arm,
        context=first.context,
        search=first.search,
        history=history,
        slots=counted,
        diverged=diverged,
        settlement=settlement_of(spec, first.arm, history, diverged),
    )


def due(store: Store, spec: Spec, slots: Sequence[Slot]) -> list[PlannedSlot]:
    """The next generation of every search that goes on; only of those whose last generation is over."""
    planned: list[PlannedSlot] = []
    for chain, members in _by_chain(slots).items():
        is_over = not any(slot.state in _OPEN for slot in members)
        if is_over and tuning_of(spec, members, _history(store, spec, members)).goes_on(spec):
            planned += following(spec, chain, len(members))
    return planned


def obstacles(searches: Sequence[Tuning]) -> list[str]:
    """Why the searches are no ground for a seal, a sentence for each."""
    return [
        f"{one.place}: {one.n_missing} of {one.n_planned} search trials failed or were cancelled"
        for one in searches
        if one.n_missing
    ]


def settlement_of(
    spec: Spec, arm: str, history: History, diverged: Sequence[Mapping[str, Any]] = ()
) -> Settlement | None:
    """What finished trials have come to; None where none ran to its end.

    A trial that was stopped early or diverged is known to be poor and nothing more.
    """
    select = spec.objectives.select
    scored = [(past.params, past.scores[select] if past.is_whole else -math.inf) for past in history]
    scored += [(params, -math.inf) for params in diverged]
    if not any(math.isfinite(score) for _, score in scored):
        return None
    margin = spec.margin.auroc if select == "val_auroc" else spec.margin.auprc
    key = tuple((tuple(params.items()), score) for params, score in scored)
    return _settled(key, tuple(spec.arm_space(arm).values()), margin)


@functools.lru_cache(maxsize=256)
def _settled(
    scored: tuple[tuple[tuple[tuple[str, Scalar], ...], float], ...], domains: tuple[Domain, ...], margin: float
) -> Settlement:
    """Idle workers ask again and again, and nothing changes between two finished trials."""
    by_name = {domain.name: domain for domain in domains}
    return settle([(dict(params), score) for params, score in scored], by_name, margin)


def _by_chain(slots: Sequence[Slot]) -> dict[str, list[Slot]]:
    chains: dict[str, list[Slot]] = {}
    for slot in slots:
        if slot.phase == SEARCH:
            chains.setdefault(slot.chain, []).append(slot)
    return {chain: sorted(members, key=lambda slot: slot.index) for chain, members in chains.items()}


def _history(store: Store, spec: Spec, members: Sequence[Slot]) -> History:
    return store.history(spec.name, members[0].chain, below_generation=members[-1].generation + 1)
