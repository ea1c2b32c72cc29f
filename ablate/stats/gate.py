"""Families in their order: what one of them does not need any more goes on to those behind it and to later contexts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from ablate.stats.declaration import Declaration
from ablate.stats.family import Family

Place = tuple[str, str]  # a context and a family of the declaration


def levels(
    declared: Declaration,
    families: dict[Place, Family],
    p_values: Callable[[str, str], Float[np.ndarray, "contrast"]],
) -> dict[Place, float]:
    """Level at which each family is judged, in the declared order.

    A family that is judged at level a and leaves some contrasts open spends what these may still err with; the rest
    cannot err any more. A quarter of it goes to families behind it in the same context, the rest to the next context;
    all of it where there is only one of them. Whatever is true, all claims together err at most ``declared.alpha``.

    Args:
        families: joint distributions, by context and family.
        p_values: of the family's contrasts, 1 where there is no answer.

    Source:
        Dmitrienko and Tamhane 2011, Stat. Med. 30:1473: gatekeeping with separable procedures.
    """
    level_of = declared.shares()
    for place, context in enumerate(declared.contexts):
        later = declared.contexts[place + 1 : place + 2]
        for family in declared.families:
            here = context, family.name
            level = level_of[here]
            if level <= 0:
                continue
            is_open: Bool[np.ndarray, contrast] = p_values(*here) > families[here].single(level)
            released = level - families[here].kept(level, is_open)
            behind = [(context, other.name) for other in declared.families if other.behind == family.name]
            onward = [(next_one, other.name) for next_one in later for other in declared.families if not other.behind]
            for receivers, part in ((behind, 0.25 if onward else 1.0), (onward, 0.75 if behind else 1.0)):
                for receiver in receivers:
                    level_of[receiver] += released * part / len(receivers)
    return level_of
