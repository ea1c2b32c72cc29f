"""Reuse across studies: what makes two slots ask for the same, and how many of a study are finished elsewhere already.

That two slots ask for the same is seen from the study files alone. Whether a result may be taken is decided by the
trainer, which compares what was really there: records, weights, code, hardware and libraries.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from ablate import digest
from ablate.store.slot import Past, Slot, SlotState, Twin
from ablate.store.store import Store
from ablate.study.confirmation import confirm_params, seal_document
from ablate.study.plan import CONFIRM, SEARCH
from ablate.study.plan import chain as plan_chain
from ablate.study.search import propose, rungs
from ablate.study.spec import Spec
from ablate.study.tuning import Tuning, obstacles, tuning_of
from ablate.train.early_stopping import Rungs
from ablate.train.params import Params


@dataclass(frozen=True)
class Offer:
    """What other studies have finished of a study.

    Attributes:
        n_slots: unfinished slots that are finished elsewhere, as far as their params can be known before training.
        studies: where, by name.
    """

    n_slots: int
    studies: tuple[str, ...]


def asked(spec: Spec, slot: Slot, params: Mapping[str, Any]) -> str:
    """Digest of what a slot is asked for: equal in every study that would train it in the same way."""
    subject = spec.subject(slot.arm, slot.context)
    question = {"phase": slot.phase, "seed": slot.seed, "data": subject.data.model_dump(mode="json")}
    if spec.routine is not None:
        return digest.of_json(
            {**question, "params": spec.hyper_parameters.complete(params), "routine": asdict(spec.routine.pinned)}
        )
    assert subject.encoder is not None
    return digest.of_json(
        {**question, "params": Params.from_dict(params).document(), "encoder": asdict(subject.encoder)}
    )


def is_usable(twin: Twin, *, rungs: Rungs | None) -> bool:
    """Whether the study itself would have trained it to its end."""
    return rungs is None or rungs.let_pass(twin.past.curve(rungs.score))


def offer(store: Store, spec: Spec, *, code: str, phases: Collection[str] = (SEARCH, CONFIRM)) -> Offer:
    """How many unfinished slots are finished in other studies, with the same code; nothing is changed.

    A proposal needs the trials before it, so a search is followed for as long as each of its trials is known.
    Confirming slots count where the study is sealed, or would be by what others have finished: where a search goes on,
    other params may be chosen than those that are the best so far.

    Args:
        store: of the study, which is registered.
        spec: the study.
        code: digest of the sources that decide scores; results of others are not counted.
        phases: those that are to be filled.
    """
    look = _Look(store, spec, code)
    slots = store.slots(spec.name)
    searched = sorted((s for s in slots if s.phase == SEARCH), key=lambda s: (s.chain, s.generation, s.index))
    chains: dict[str, list[Past]] = defaultdict(list)
    is_known = True
    for name, members in groupby(searched, key=lambda slot: slot.chain):
        chains[name], is_whole = look.follow(name, list(members))
        is_known &= is_whole
    waiting = [slot for slot in slots if CONFIRM in phases and slot.phase == CONFIRM and slot.state in _OPEN]
    seal = store.study(spec.name).seal
    if waiting and seal is not None:
        look.confirm(waiting, seal)
    elif waiting and is_known:
        searches = look.tunings(slots, chains)
        if not obstacles(searches) and not any(search.is_undecided(spec) for search in searches):
            look.confirm(waiting, seal_document(spec, searches))
    return Offer(look.n_found, tuple(sorted(look.studies)))


_OPEN = (SlotState.WAITING, SlotState.LEASED)
_Question = tuple[Slot, Mapping[str, Any], Rungs | None]  # a slot with its params and what it would have to reach


class _Look:
    """Looks for the twins of slots and counts those that have one."""

    def __init__(self, store: Store, spec: Spec, code: str) -> None:
        self._store, self._spec, self._code = store, spec, code[: digest.SHORT]
        self.n_found = 0
        self.studies: set[str] = set()

    def follow(self, chain: str, members: Sequence[Slot]) -> tuple[list[Past], bool]:
        """The chain's trials, its own and those of others, and whether all of it is known."""
        history = self._store.history(self._spec.name, chain, below_generation=members[-1].generation + 1)
        for _, group in groupby(members, key=lambda slot: slot.generation):
            slots = list(group)
            earlier = [past for past in history if past.index < slots[0].index]
            before = (slot for slot in members if slot.generation < slots[0].generation)
            diverged = [slot.params for slot in before if slot.has_diverged and slot.params is not None]
            waiting = [slot for slot in slots if slot.state in _OPEN]
            answered = self._ask(
                (slot, params, rungs(self._spec, slot, params, earlier))
                for slot in waiting
                for params in [slot.params or propose(self._spec, slot, earlier, diverged)]
            )
            history = sorted([*history, *answered], key=lambda past: past.index)
            if len(answered) < len(waiting):
                return history, False
        return history, True

    def tunings(self, slots: Sequence[Slot], chains: Mapping[str, Sequence[Past]]) -> list[Tuning]:
        """The searches as they would stand with what others have finished."""
        members = {name: [slot for slot in slots if slot.chain == name] for name in chains}
        return [tuning_of(self._spec, members[name], history) for name, history in chains.items()]

    def confirm(self, slots: Iterable[Slot], seal: Mapping[str, Any]) -> None:
        """Look for confirming slots, as far as the seal holds params for them."""
        chosen = [slot for slot in slots if plan_chain(slot.arm, slot.context, slot.search) in seal["chosen"]]
        self._ask((slot, confirm_params(self._spec, seal, slot), None) for slot in chosen)

    def _ask(self, questions: Iterable[_Question]) -> list[Past]:
        """The trials that answer, each under the index of the slot that it answers."""
        by_asked: dict[str, list[_Question]] = defaultdict(list)
        for slot, params, past in questions:
            by_asked[asked(self._spec, slot, params)].append((slot, params, past))
        answers: dict[int, Past] = {}
        for twin in self._store.twins(self._spec.name, list(by_asked)):
            for slot, params, past in by_asked[twin.asked]:
                if self._code in twin.code and is_usable(twin, rungs=past):
                    answers[slot.id] = replace(twin.past, index=slot.index, params=params)
                    self.studies.add(twin.study)
        self.n_found += len(answers)
        return list(answers.values())
