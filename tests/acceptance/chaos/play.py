"""One play: a study, faults drawn from a seed, and what is found when all is over."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chaos.fault import FAULTS, settle
from chaos.scene import Results, Scale, Scene, Stage

LONGEST_S = 900.0
LONG = Scale(search_trials=4, replicates=6, n_faults=30, looks=(5, 6))
SHORT = Scale(search_trials=1, replicates=1, n_faults=4)


@dataclass
class Outcome:
    """What happened and what was found."""

    seed: int
    stage: Stage
    faults: Counter[str]
    n_launches: int
    seconds: float
    flaws: list[str]


def undisturbed(folder: Path, scale: Scale) -> Results:
    """The results that every other play must end with, made by half as many agents."""
    scene = Scene(folder, scale, n_agents=2)
    try:
        _until_over(scene, [], Random(0), spacing_s=1.0)
        return scene.results()
    finally:
        scene.close()


def play(folder: Path, scale: Scale, *, seed: int, expected: Results, spacing_s: float = 1.2) -> Outcome:
    """Fill the slots of a study while faults strike, about ``spacing_s`` apart."""
    random = Random(seed)
    names = random.choices(list(FAULTS), weights=[weight for _, weight in FAULTS.values()], k=scale.n_faults)
    scene = Scene(folder, scale, Stage.of(seed))
    if "disk full" in names:
        for name in ("spool", "checkpoints"):
            scene.small_disk(name)
    started = time.monotonic()
    try:
        faults = _until_over(scene, names, random, spacing_s=spacing_s)
        scene.last_sweep()
        return Outcome(seed, scene.stage, faults, scene.n_launches, time.monotonic() - started, scene.flaws(expected))
    finally:
        settle()
        scene.close()


def _until_over(scene: Scene, names: list[str], random: Random, *, spacing_s: float) -> Counter[str]:
    """Keep ``ablate run`` going until the study is over; let the faults strike on the way."""
    struck: Counter[str] = Counter()
    waiting = list(names)
    started = time.monotonic()
    strike_at = started + 2 * spacing_s
    while not scene.supervise():
        if time.monotonic() - started > LONGEST_S:
            raise TimeoutError(f"not over after {LONGEST_S:.0f} s; log: {(scene.folder / 'log').read_text()[-3000:]}")
        if waiting and time.monotonic() >= strike_at and _has_begun(scene):
            name = waiting.pop(0)
            hit = FAULTS[name][0](scene, random)
            if hit is None:
                waiting.append(name)  # there was nothing to hit: later, if the study lasts
            else:
                struck[name] += 1
            strike_at = time.monotonic() + spacing_s * random.uniform(0.3, 1.7)
        time.sleep(0.05)
    settle()
    return struck


def _has_begun(scene: Scene) -> bool:
    return bool(scene.named("ablate agent")) or scene.launcher is not None
