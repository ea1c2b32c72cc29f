"""The same answers for optuna-dashboard: figures by name and a note in Markdown."""

from dataclasses import dataclass

import plotly.graph_objects as go

from ablate.domain import Domain
from ablate.report import arm, block, efficiency, forest, verdict, wording
from ablate.report.caveat import caveats
from ablate.report.evidence import Evidence
from ablate.report.section import Picture

_SEARCH = (
    "Trials that tune each arm in one context, scored on the validation fold; verdicts stand in the study that ends in "
    "*· confirm*. Importances here are of this context, over all arms: what an arm fixes counts with its fixed value. "
    "They have no interval and no interactions; those of the report have."
)
_CONFIRM = (
    "Trials with the params that the search has chosen, once for each block: importances here mean nothing, those of "
    "the studies named *· search* do."
)


@dataclass(frozen=True)
class Board:
    """What the dashboard shows of a study.

    Attributes:
        note: for the confirmation, in Markdown; names and messages are escaped.
        search_note: likewise for the search, in each of its contexts.
        figures: by a name that stays the same, so that a later push replaces the earlier one.
    """

    note: str
    search_note: str
    figures: dict[str, go.Figure]


def board(evidence: Evidence) -> Board:
    """Question, verdicts and arms as a note; forest, paired dots and data efficiency as figures."""
    figures = {one.name: one.titled().update_layout(height=None) for one in _pictures(evidence)}
    return Board(_note(evidence), _search_note(evidence), figures)


def _pictures(evidence: Evidence) -> list[Picture]:
    pictures = forest.forest_pictures(evidence)
    if evidence.refuses_tables:
        return pictures
    section = efficiency.efficiency_section(arm.arm_facts(evidence.study, evidence))
    body = section.body if section else ()
    return [*pictures, *block.block_pictures(evidence.study), *(one for one in body if isinstance(one, Picture))]


def _note(evidence: Evidence) -> str:
    lines = [f"# {_plain(evidence.study.spec.question)}", ""]
    verdicts = verdict.verdict_facts(evidence)
    if verdicts:
        lines += [_plain(verdict.headline(evidence.study, verdicts)), ""]
    for one in verdicts:
        where = f" ({wording.context_text(one.context)})" if one.context.factors else ""
        lines.append(f"- **{one.label}**{where}: {_plain(one.sentence)}")
    lines += ["", *[_plain(line) for line in evidence.mixed], ""]
    if not evidence.refuses_tables:
        lines += [*_arms(arm.arm_facts(evidence.study, evidence)), "", *_kinds(evidence)]
    lines += ["", _CONFIRM, "", *(f"*{_plain(line)}*" for line in caveats(evidence.study.spec))]
    return "\n".join(lines).strip() + "\n"


def _search_note(evidence: Evidence) -> str:
    """What these trials are for, and how far the dashboard's importances reach."""
    lines = [f"# {_plain(evidence.study.spec.question)}", "", _SEARCH, ""]
    if not evidence.refuses_tables:
        lines += _kinds(evidence)
    return "\n".join(lines).strip() + "\n"


def _arms(facts: arm.ArmFacts) -> list[str]:
    columns = facts.columns
    lines = [
        "| arm | context | n | " + " | ".join(wording.metric_name(name) for name in columns) + " |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for context in facts.contexts:
        for name in facts.arms:
            scores = [facts.score(name, context, column) for column in columns]
            n = max((s.n for s in scores), default=0)
            cells = [_plain(name), wording.context_text(context), str(n)]
            cells += [wording.spread(s.mean, s.sd) for s in scores]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _kinds(evidence: Evidence) -> list[str]:
    """What each arm is: its title, and what it restricts."""
    spec = evidence.study.spec
    lines = []
    for name, restricted in spec.arms.items():
        what = ", ".join(f"{key} = {_value(value)}" for key, value in restricted.items()) or "the whole search space"
        lines.append(f"- **{_plain(name)}**: {_plain(spec.title(name))}; {_plain(what)}")
    return lines


def _value(domain: Domain) -> str:
    """A value, a range or a few choices."""
    values = list(dict.fromkeys(wording.general(value) for value in domain.extremes))
    return (" or " if domain.choices else " to ").join(values)


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]#|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _plain(text: str) -> str:
    """``text`` on one line, without a meaning in Markdown or HTML."""
    return " ".join(text.split()).translate(_MARKS)
