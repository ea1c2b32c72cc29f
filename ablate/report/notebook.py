"""A study in a notebook: a short summary in its cell, its tables as data frames, its figures as plotly figures."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go

from ablate.domain import Scalar
from ablate.errors import OptionError
from ablate.report import export, wording
from ablate.report.arm import arm_facts
from ablate.report.block import block_pictures
from ablate.report.context import Context
from ablate.report.curve import curve_section
from ablate.report.dropped import dropped_notes
from ablate.report.efficiency import efficiency_section
from ablate.report.evidence import Evidence, weigh
from ablate.report.forest import forest_pictures
from ablate.report.importance import ImportanceFacts, importance_facts, importance_pictures
from ablate.report.section import Picture
from ablate.report.study_record import StudyRecord
from ablate.report.summary import standing_notes
from ablate.report.trial import trial_facts
from ablate.report.verdict import contrast_title, headline, verdict_facts
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables


class Study:
    """A study as it stood when it was loaded.

    Attributes:
        tables: everything that the store knows of it.
        evidence: what its confirmation says.
    """

    def __init__(self, tables: StudyTables, *, partial: bool = False) -> None:
        """Weigh the evidence of ``tables``.

        Args:
            tables: of the store.
            partial: give verdicts although slots have failed.
        """
        self.tables = tables
        self.evidence: Evidence = weigh(tables, partial=partial)

    @property
    def name(self) -> str:
        """In the store."""
        return self.tables.name

    @property
    def arms(self) -> pd.DataFrame:
        """A row for each arm, context and score: n, mean, sd, interval; a column for each factor of the context."""
        facts = None if self.evidence.refuses_tables else arm_facts(self._record, self.evidence)
        return self._with_factors(export.arm_frame(facts))

    @property
    def contrasts(self) -> pd.DataFrame:
        """A row for each declared contrast that has an answer, by context and metric."""
        return self._with_factors(export.contrast_frame(self.evidence))

    @property
    def verdicts(self) -> pd.DataFrame:
        """A row for each declared contrast and context, answered or not: its outcome by AUROC, and why."""
        titles = {one.name: contrast_title(self._record, one) for one in self._record.contrasts}
        rows = [
            {
                "contrast": one.contrast,
                "title": titles[one.contrast],
                **one.context.values,
                "outcome": one.outcome,
                "lacks": " ".join(one.answer.lacks) if one.answer else "",
                "sentence": one.sentence,
            }
            for one in verdict_facts(self.evidence)
        ]
        columns = ["contrast", "title", *self._record.spec.context, "outcome", "lacks", "sentence"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each slot: state, scores, params (``param_…``) and seconds."""
        return self._with_factors(trial_facts(self._record).frame)

    @property
    def importances(self) -> pd.DataFrame:
        """Share of the variance that each parameter explains, by metric and pool of search trials, with intervals."""
        return export.importance_frame(self._importances)

    @property
    def figures(self) -> "Figures":
        """The page's figures by name."""
        return Figures(self)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        name, question, *said = (html.escape(line) for line in self._lines())
        items = "".join(f"<li>{line}</li>" for line in said)
        return f"<div><b>{name}</b><br>{question}<ul>{items}</ul></div>"

    def _lines(self) -> list[str]:
        """Name and standing, question, and what came out."""
        slots, verdicts = self._record.slots, verdict_facts(self.evidence)
        n_done = int((slots["state"] == SlotState.DONE).sum())
        sealed = "sealed" if self._record.seal is not None else "not sealed"
        said = [headline(self._record, verdicts)] if verdicts else []
        for one in verdicts:
            where = f" at {wording.context_text(one.context)}" if one.context.factors else ""
            said.append(f"{one.label}{where}: {one.claim}")
        notes = [*standing_notes(self._record), *dropped_notes(self.evidence), *self.evidence.mixed]
        return [
            f"study {self.name}: {n_done} of {len(slots)} trials done, {sealed}",
            self._record.spec.question,
            *said,
            *notes,
        ]

    @property
    def _record(self) -> StudyRecord:
        return self.evidence.study

    @cached_property
    def _importances(self) -> tuple[ImportanceFacts, ...]:
        return importance_facts(self._record)

    def _with_factors(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with a column for each factor in place of the context's text."""
        by_key = {wording.context_key(context): context for context in self._record.contexts}
        place = list(frame.columns).index("context")
        factors = frame["context"].map(lambda key: by_key[key].values)
        shown = frame.drop(columns=["context", *(name for name in self._record.spec.context if name in frame)])
        for k, name in enumerate(self._record.spec.context):
            shown.insert(min(place + k, shown.shape[1]), name, [values[name] for values in factors])
        return shown


@dataclass(frozen=True)
class Figures:
    """The page's figures of a study, each a plotly figure with a title.

    A metric is "auroc" or "auprc"; factors, such as ``data_fraction=0.1``, choose a context, by default the first.
    """

    study: Study

    def forest(self, metric: str = "auroc") -> go.Figure:
        """Every contrast with its interval against the margin.

        Raises:
            OptionError: there is none yet, or no such metric; so in the others.
        """
        return self._of(forest_pictures(self.study.evidence), "forest-", metric)

    def blocks(self, metric: str = "auroc", **factors: Scalar) -> go.Figure:
        """Every replicate of every arm in a context, joined by blocks."""
        return self._of(block_pictures(self.study.evidence.study), f"blocks-{self._context(factors)}-", metric)

    def efficiency(self, metric: str = "auroc") -> go.Figure:
        """Scores of the arms over shares of the training data."""
        section = efficiency_section(arm_facts(self.study.evidence.study, self.study.evidence))
        return self._of(_pictures(section.body if section else ()), "efficiency-", metric)

    def curves(self, **factors: Scalar) -> go.Figure:
        """Validation AUROC by epoch in a context."""
        section = curve_section(self.study.evidence.study)
        return self._of(_pictures(section.body if section else ()), f"curve-{self._context(factors)}", "")

    def importances(self, metric: str = "auroc", **factors: Scalar) -> go.Figure:
        """Share of the variance that each parameter explains in the search."""
        record = self.study.evidence.study
        context = record.contexts[self._context(factors)]
        key = wording.context_key(context) if len(record.contexts) > 1 else "all"
        chosen = tuple(one for one in self.study._importances if one.pool.key == key and one.metric == f"val_{metric}")
        pictures = importance_pictures(chosen)
        return self._of(pictures, "importance-", "")

    def _context(self, factors: dict[str, Scalar]) -> int:
        contexts = self.study.evidence.study.contexts
        for k, context in enumerate(contexts):
            if factors.items() <= context.values.items():
                return k
        there = "; ".join(wording.context_text(context) for context in contexts)
        raise OptionError(f"{Context.of(factors).values}: no such context; the study has {there}")

    def _of(self, pictures: Sequence[Picture], name: str, metric: str) -> go.Figure:
        """The first picture whose name begins and ends so."""
        if metric not in ("", *wording.METRIC_NAMES):
            raise OptionError(f"metric {metric}: expected {' or '.join(wording.METRIC_NAMES)}")
        for picture in pictures:
            if picture.name.startswith(name) and picture.name.endswith(metric):
                return picture.titled()
        raise OptionError(f"study {self.study.name}: has nothing for this figure yet, see the study's summary")


def _pictures(body: Sequence[object]) -> list[Picture]:
    return [part for part in body if isinstance(part, Picture)]
