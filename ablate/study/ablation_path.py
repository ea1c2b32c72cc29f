"""The ablation path: from the tuned baseline to the tuned whole, one component at a time, every step trained.

Source: Fawcett and Hoos, Analysing differences between algorithm configurations through ablation, 2016. At each step
the component is changed that helps most; going back from the whole, the one that costs least. Our deviation: they train
the candidates of one step before they know those of the next. Four components have 16 combinations, of which the two
directions need at least 11, so all are trained: every block stays paired, no step waits for another, and the same
trials give the factorial's main effects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.study.design import BASELINE, Design


@dataclass(frozen=True)
class Step:
    """One step of a path: ``component`` was changed, which led to ``arm`` with ``score``."""

    component: str
    arm: str
    score: float
    change: float


def walk(components: Sequence[str], score: Callable[[str], float], *, forward: bool) -> tuple[Step, ...]:
    """The greedy path between baseline and whole.

    Args:
        components: in the order of the design.
        score: of an arm by name; greater is better.
        forward: from the baseline on, or from the whole back.
    """
    on = frozenset() if forward else frozenset(components)
    steps: list[Step] = []
    for _ in components:
        current = score(_arm(components, on))
        candidates = {name: on ^ {name} for name in components if (name in on) != forward}
        best = max(candidates, key=lambda name: score(_arm(components, candidates[name])))
        on = candidates[best]
        reached = score(_arm(components, on))
        steps.append(Step(best, _arm(components, on), reached, reached - current))
    return tuple(steps)


def mixed_params(design: Design, arm: str, ends: tuple[Mapping[str, Any], Mapping[str, Any]]) -> dict[str, Any]:
    """Params of a step: each component's as the tuned baseline or as the tuned whole has them.

    Args:
        design: of kind ``path``.
        arm: components that are on, joined by ``+``.
        ends: params of the tuned baseline and of the tuned whole.
    """
    without, whole = ends
    on = set() if arm == BASELINE else set(arm.split("+"))
    params = dict(without)
    for name, component in design.components.items():
        source = whole if name in on else without
        params |= {param: source[param] for param in component.on if param in source}
    return params


def _arm(components: Sequence[str], on: frozenset[str]) -> str:
    return "+".join(name for name in components if name in on) or BASELINE
