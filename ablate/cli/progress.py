"""How far a study has come, while it goes on: a live table on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablate.cli.output import console, stderr
from ablate.errors import StoreError, StoreUnavailable
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.launch.launcher import AgentStatus
    from ablate.store.store import Store
    from ablate.store.study import AgentRow, Counts

STOPPING = "stopping: trials are checkpointed; Ctrl-C again stops at once"
LOOK_S = 1.0  # between two looks into the store
LINE_S = 60.0  # at most so often a plain line, unless a slot was filled
_PATIENCE_S = 0.5  # of a look: the display must not stand still
_ABSENT_S = 120.0  # an agent that was silent for so long is not shown


@dataclass
class Standing:
    """What is shown of a study.

    Attributes:
        best: best validation score so far, by arm and context.
        left_s: estimated time until everything is done; None while nothing was filled.
    """

    counts: "Counts"
    agents: Sequence["AgentRow"]
    best: dict[str, float] = field(default_factory=dict)
    left_s: float | None = None
    is_away: bool = False


class Watch:
    """Looks into the store now and then, and estimates the time that is left."""

    def __init__(self, store: "Store", study: str) -> None:
        self._store, self._study = store.patient(_PATIENCE_S), study
        self._begun = time.monotonic()
        self._spec = store.study(study).spec
        self._chains = sorted({slot.chain for slot in store.slots(study) if slot.phase == "search"})
        self._n_done_before = store.counts(study).of(SlotState.DONE)
        self._n_seen = -1
        self._best: dict[str, float] = {}
        self._last: Standing | None = None

    def look(self) -> Standing:
        """How the study stands now, or stood when the store was last there."""
        try:
            counts = self._store.counts(self._study)
            if counts.of(SlotState.DONE, phase="search") != self._n_seen:
                self._n_seen = counts.of(SlotState.DONE, phase="search")
                self._best = dict(self._best_scores())
            agents = [row for row in self._store.agents(self._study) if _is_present(row)]
            self._last = Standing(counts, agents, self._best, self._left_s(counts))
        except StoreUnavailable:
            if self._last is None:
                raise
            self._last.is_away = True
        return self._last

    def _best_scores(self) -> Iterator[tuple[str, float]]:
        select = self._spec["objectives"]["select"]
        for chain in self._chains:
            history = self._store.history(self._study, chain, below_generation=1_000_000)
            if whole := [past.scores[select] for past in history if past.is_whole]:
                yield chain, max(whole)

    def _left_s(self, counts: "Counts") -> float | None:
        n_filled = counts.of(SlotState.DONE) - self._n_done_before
        if not n_filled:
            return None
        return counts.unfinished() * (time.monotonic() - self._begun) / n_filled


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
        stderr.print(STOPPING, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(store: "Store", study: str, *, quiet: bool = False) -> Iterator[Display]:
    """What shows how agents get on while they work: a table on a terminal, else lines on standard error.

    Raises:
        StoreError: there is no such study.
    """
    if quiet:
        yield Display(lambda: None)
        return
    watch = Watch(store, study)
    if console.is_terminal:
        with Live(console=console, transient=True, auto_refresh=False) as live:
            yield Display(lambda: live.update(picture(study, watch.look()), refresh=True))
    else:
        printer = _LinePrinter(study)
        yield Display(lambda: printer.show(watch.look()))


def picture(study: str, standing: Standing) -> RenderableType:
    """What a terminal shows."""
    counts = standing.counts
    head = Text.assemble((study, "bold"), "  ", summary(standing))
    bar = ProgressBar(total=max(1, counts.total()), completed=counts.of(SlotState.DONE), width=60)
    return Group(head, bar, _agents_table(standing.agents), _best_table(standing.best))


def summary(standing: Standing) -> str:
    """One line: done, going, waiting, failed, time left."""
    counts = standing.counts
    parts = [f"{counts.of(SlotState.DONE)}/{counts.total()} done"]
    notes = [(counts.stopped_early(), "stopped early"), (counts.taken(), "reused")]
    if told := ", ".join(f"{n} {word}" for n, word in notes if n):
        parts[0] += f" ({told})"
    for state, word in ((SlotState.LEASED, "going"), (SlotState.WAITING, "waiting"), (SlotState.FAILED, "failed")):
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


def _agents_table(agents: Sequence["AgentRow"]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("agent", "device", "done", "slot", "stage", "epoch", "val AUROC"):
        table.add_column(name)
    for row in agents:
        stage, epoch, score = "", "", None
        if row.progress is not None:
            stage, score = row.progress.stage, row.progress.val_auroc
            epoch = f"{row.progress.epoch}/{row.progress.n_epochs}"
        shown = (row.device, str(row.n_done), row.slot or "-", stage, epoch)
        table.add_row(Text(row.id), *(Text(cell) for cell in shown), "" if score is None else f"{score:.4f}")
    return table


def _best_table(best: dict[str, float]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("best so far")
    table.add_column("score", justify="right")
    for chain, score in best.items():
        table.add_row(Text(chain), f"{score:.4f}")
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
            stderr.print(f"{self._study}: {summary(standing)}", markup=False, highlight=False, soft_wrap=True)


def _is_present(row: "AgentRow") -> bool:
    return row.ended_at is None and row.silent_s < _ABSENT_S
