"""The graph of a study's claims: at which level each is judged, and where the level goes that a claim sets free.

Nodes are the families of each context by AUROC, and behind each of their contrasts the same one by AUPRC. Whatever is
true, all claims together err at most ``alpha``:

A family judged at level a spends kept(a, open): with what probability one of its open contrasts has a p-value as small
as its claims ask for. Let w(c) = a - kept(a, all but c) be what contrast c sets free when it alone is claimed. The
union of events is submodular, so the w of several claims sum to at most what they set free together, and each claimed
c can hand g w(c), with the declared g <= 1, to its own AUPRC; the family hands a - kept(a, open), less the g w(c) that
AUPRC has not claimed, to the families after it. Suppose nothing false has been claimed so far. Then all contrasts
without an effect are open, no level is above the one that would come if everything true were claimed, and of that flow
every node keeps what its own false claims may cost: kept(a, without an effect) by AUROC, g w(c) by AUPRC. What flows in
is kept or flows on, and no more than ``alpha`` flows into the graph: so the first false claim has probability ``alpha``
at most, by Boole's inequality over nodes, and within a family by the joint distribution.

Source:
    Bretz, Maurer, Brannath and Posch 2009, Stat. Med. 28:586: graphs of Bonferroni tests. Dmitrienko and Tamhane 2011,
    Stat. Med. 30:1473: gatekeeping with separable procedures, which lets a family with a joint distribution be a node.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ablate.stats.declaration import Declaration
from ablate.stats.family import Family

Place = tuple[str, str]  # a context and a family of the declaration
_BEHIND = 0.25  # of what a family hands on: to families behind it in the same context, the rest to the next context


@dataclass(frozen=True)
class Levels:
    """Level at which each claim of the study is judged.

    Attributes:
        of_family: all contrasts of a family together, by AUROC.
        of_auprc: a contrast by AUPRC, by context and name, where it is claimed by AUROC.
    """

    of_family: Mapping[Place, float]
    of_auprc: Mapping[Place, float]


def levels(
    declared: Declaration,
    families: Mapping[str, Mapping[Place, Family]],
    p_values: Callable[[str, str, Sequence[str]], Float[np.ndarray, "contrast"]],
) -> Levels:
    """Levels in the declared order, each from what the claims before it have set free.

    Where no family comes after one, all that its claims set free is AUPRC's.

    Args:
        families: joint distributions, by metric, context and family.
        p_values: of a metric's contrasts in a context, 1 where there is no answer.
    """
    of_family = declared.shares()
    of_auprc: dict[Place, float] = {}
    for place, context in enumerate(declared.contexts):
        later = declared.contexts[place + 1 : place + 2]
        for family in declared.families:
            here = context, family.name
            level, joint = of_family[here], families["auroc"][here]
            receivers = _receivers(declared, context, family.name, later)
            share = declared.auprc if receivers else 1.0
            is_open = p_values("auroc", context, family.contrasts) > joint.single(level) if level > 0 else None
            # One contrast never asks for less than its family's interval does, or the two could contradict each other.
            most = families["auprc"][here].single(declared.alpha)
            handed = np.minimum(most, share * set_free_alone(joint, level))
            of_auprc |= {(context, name): float(part) for name, part in zip(family.contrasts, handed, strict=True)}
            if is_open is None:
                continue
            waits = ~is_open & (p_values("auprc", context, family.contrasts) > handed)
            released = max(0.0, level - joint.kept(level, is_open) - float(handed[waits].sum()))
            for receiver, part in receivers.items():
                of_family[receiver] += released * part
    return Levels(of_family, of_auprc)


def set_free_alone(family: Family, level: float) -> Float[np.ndarray, "contrast"]:
    """What each contrast sets free of its family's level when it alone is claimed."""
    everyone_else: Bool[np.ndarray, "contrast other"] = ~np.eye(family.size, dtype=bool)
    return np.array([max(0.0, level - family.kept(level, others)) if level > 0 else 0.0 for others in everyone_else])


def _receivers(declared: Declaration, context: str, family: str, later: Sequence[str]) -> dict[Place, float]:
    """Share of what a family hands on that each one after it is given; they sum to 1, or there are none."""
    behind = [(context, other.name) for other in declared.families if other.behind == family]
    onward = [(next_one, other.name) for next_one in later for other in declared.families if not other.behind]
    parts = ((behind, _BEHIND if onward else 1.0), (onward, 1 - _BEHIND if behind else 1.0))
    return {receiver: part / len(receivers) for receivers, part in parts for receiver in receivers}
