"""How far a study has come, while it goes on: a live picture on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.cli.output import say, stderr
from ablate.errors import StoreError, StoreUnavailable
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ablate.cli.wording import Wording
    from ablate.launch.launcher import AgentStatus
    from ablate.store.slot import Slot
    from ablate.store.store import Store
    from ablate.store.study import AgentRow, Counts

STOPPING = "stopping: trials are checkpointed; Ctrl-C again stops at once"
LOOK_S = 1.0  # between two looks into the store
LINE_S = 60.0  # at most so often a plain line, unless a slot was filled
_PATIENCE_S = 0.5  # of a look: the display must not stand still
_RECOUNT_S = 3.0  # between two looks at every slot
_NARROW, _WIDE = 70, 100  # columns of a terminal, by which a table leaves out what is least needed


@dataclass
class Standing:
    """What is shown of a study.

    Attributes:
        best: best validation score of the search so far, by arm and context in words.
        select: which score that is, in words.
        left_s: estimated time until everything is done; None while nothing was filled.
    """

    counts: "Counts"
    agents: Sequence["AgentRow"]
    wording: "Wording"
    best: dict[str, float] = field(default_factory=dict)
    left_s: float | None = None
    is_away: bool = False


class Watch:
    """Looks into the store now and then, and estimates the time that is left."""

    def __init__(self, store: "Store", study: str) -> None:
        from ablate.cli.wording import Wording
        from ablate.study.looks import look_lines
        from ablate.study.spec import Spec

        self._store, self._study = store.patient(_PATIENCE_S), study
        self._spec = Spec.from_document(store.study(study).spec)
        self._slots = store.slots(study)
        self._wording = Wording(self._spec, self._slots)
        self._n_lines = len(look_lines(self._spec, self._slots))  # what an earlier run has said already
        self._n_seen, self._recount_at = -1, 0.0
        self._best: dict[str, float] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._last: Standing | None = None

    def look(self) -> Standing:
        """How the study stands now, or stood when the store was last there."""
        try:
            counts = self._store.counts(self._study)
            agents = [row for row in self._store.agents(self._study) if row.is_at_work]
            if counts.of(SlotState.DONE) != self._n_seen and time.monotonic() >= self._recount_at:
                self._recount(counts.of(SlotState.DONE))
            self._last = Standing(counts, agents, self._wording, self._best, self._left_s(len(agents)))
        except StoreUnavailable:
            if self._last is None:
                raise
            self._last.is_away = True
        return self._last

    def _recount(self, n_done: int) -> None:
        from ablate.study.looks import look_lines

        self._n_seen, self._recount_at = n_done, time.monotonic() + _RECOUNT_S
        self._slots = self._store.slots(self._study)
        for line in look_lines(self._spec, self._slots)[self._n_lines :]:
            say(line, to=stderr)
            self._n_lines += 1
        self._seconds = self._store.durations(self._study)
        self._best = dict(self._best_scores())

    def _best_scores(self) -> Iterator[tuple[str, float]]:
        select = self._spec.objectives.select
        for chain, slot in {slot.chain: slot for slot in self._slots if slot.phase == "search"}.items():
            history = self._store.history(self._study, chain, below_generation=1_000_000)
            if whole := [past.scores[select] for past in history if past.is_whole]:
                yield self._wording.place(slot), max(whole)

    def _left_s(self, n_agents: int) -> float | None:
        """What unfinished slots cost by what those of their phase and context have cost, shared by the agents."""
        left = [slot for slot in self._slots if slot.state in (SlotState.WAITING, SlotState.LEASED)]
        if not self._seconds or not n_agents:
            return None
        usual = sum(self._seconds.values()) / len(self._seconds)
        return sum(self._cost(slot, usual) for slot in left) / n_agents

    def _cost(self, slot: "Slot", usual: float) -> float:
        from ablate.store.database import to_json

        context = to_json(slot.context)
        alike = [seconds for (_, place), seconds in self._seconds.items() if place == context]
        return self._seconds.get((slot.phase, context), max(alike, default=usual))


class Display:
    """Shows how agents get on, until they are asked to stop."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._looked_at, self._is_stopping = look, -LOOK_S, False

    def tick(self, _: Sequence["AgentStatus"]) -> None:
        """Call it several times a second; a store that refuses now does not end the agents' work."""
        if time.monotonic() - self._looked_at >= LOOK_S and not self._is_stopping:
            self._looked_at = time.monotonic()
            with contextlib.suppress(StoreError):
                self._look()

    def stop(self) -> None:
        """Say at once that Ctrl-C was heard, and count down no more."""
        self._is_stopping = True
        say(STOPPING, to=stderr)


@contextlib.contextmanager
def progress(store: "Store", study: str, *, quiet: bool = False) -> Iterator[Display]:
    """What shows how agents get on while they work, on standard error: a picture on a terminal, else lines.

    Raises:
        StoreError: there is no such study.
    """
    if quiet:
        yield Display(lambda: None)
        return
    watch = Watch(store, study)
    if stderr.is_terminal:
        from rich.live import Live

        with Live(console=stderr, transient=True, auto_refresh=False) as live:
            yield Display(lambda: live.update(picture(study, watch.look(), width=stderr.width), refresh=True))
    else:
        printer = _LinePrinter(study)
        yield Display(lambda: printer.show(watch.look()))


def picture(study: str, standing: Standing, *, width: int) -> "RenderableType":
    """What a terminal shows."""
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble((study, "bold"), "  ", summary(standing))
    parts: list[RenderableType] = [head, _phase_bars(standing, width)]
    if standing.agents:
        parts += [Text(), _agents_table(standing, width)]
    if standing.best:
        parts += [Text(), _best_table(standing, width)]
    return Group(*parts)


def summary(standing: Standing) -> str:
    """One line: done, at work, waiting, failed, time left."""
    counts = standing.counts
    parts = [f"{counts.of(SlotState.DONE)} of {counts.total()} trials done"]
    notes = [(counts.stopped_early(), "stopped early"), (counts.taken(), "reused")]
    if remarks := ", ".join(f"{n} {word}" for n, word in notes if n):
        parts[0] += f" ({remarks})"
    for state, word in ((SlotState.LEASED, "at work"), (SlotState.WAITING, "waiting"), (SlotState.FAILED, "failed")):
        if counts.of(state):
            parts.append(f"{counts.of(state)} {word}")
    if standing.left_s is not None and counts.unfinished():
        parts.append(f"about {duration(standing.left_s)} left")
    if standing.is_away:
        parts.append("the store is away; training goes on")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """12 s, 3 min or 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _phase_bars(standing: Standing, width: int) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for phase in sorted(standing.counts.by_phase, reverse=True):
        done, total = standing.counts.of(SlotState.DONE, phase=phase), standing.counts.total(phase=phase)
        bar = ProgressBar(total=max(1, total), completed=done, width=max(10, min(60, width - 30)))
        table.add_row(standing.wording.phase(phase), bar, f"{done}/{total}")
    return table


def _agents_table(standing: Standing, width: int) -> "Table":
    words = standing.wording
    rows: list[tuple[str, ...]] = [
        (words.slot(row.slot), *words.doing(row.progress), row.device) for row in standing.agents if row.slot
    ]
    names = ["at work on", "doing", "epoch", "AUROC" if width < _WIDE else "validation AUROC", "device"]
    if width < _NARROW:
        names, rows = names[:-1], [row[:-1] for row in rows]
    return _table(names, rows, width)


def _best_table(standing: Standing, width: int) -> "Table":
    rows = [(place, f"{score:.4f}") for place, score in standing.best.items()]
    return _table(["best of the search so far", f"validation {standing.wording.score}"], rows, width)


def _table(names: Sequence[str], rows: Sequence[tuple[str, ...]], width: int) -> "Table":
    """The first column gives way, at words; the others are short and stay whole."""
    from rich.table import Table
    from rich.text import Text

    widths = [max(len(name), *(len(row[place]) for row in rows)) for place, name in enumerate(names)] if rows else []
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(names[0], max_width=max(16, width - sum(widths[1:]) - 2 * len(widths)))
    for name in names[1:]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


class _LinePrinter:
    """For logs and pipes: a line when a slot was filled or failed, and now and then."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._shown: tuple[int, int] | None = None
        self._at = 0.0

    def show(self, standing: Standing) -> None:
        ended = (standing.counts.of(SlotState.DONE), standing.counts.of(SlotState.FAILED))
        if ended != self._shown or time.monotonic() - self._at >= LINE_S:
            self._shown, self._at = ended, time.monotonic()
            say(f"{self._study}: {summary(standing)}", to=stderr)
