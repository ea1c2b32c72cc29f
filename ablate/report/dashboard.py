"""The same answers for optuna-dashboard: figures by name and a note in Markdown."""

from dataclasses import dataclass

import plotly.graph_objects as go

from ablate.report import arm, block, efficiency, forest, verdict, wording
from ablate.report.caveat import caveats
from ablate.report.evidence import Evidence


@dataclass(frozen=True)
class Board:
    """What the dashboard shows of a study.

    Attributes:
        note: Markdown; names and messages are escaped.
        figures: by a name that stays the same, so that a later push replaces the earlier one.
    """

    note: str
    figures: dict[str, go.Figure]


def board(evidence: Evidence) -> Board:
    """Question, verdicts and arms as a note; forest, paired dots and data efficiency as figures."""
    figures = {name: figure.update_layout(height=None) for name, figure in _figures(evidence).items()}
    return Board(_note(evidence), figures)


def _figures(evidence: Evidence) -> dict[str, go.Figure]:
    figures = {picture.name: picture.figure for picture in forest.forest_pictures(evidence)}
    if evidence.refuses_tables:
        return figures
    facts = arm.arm_facts(evidence.study, evidence)
    for picture in block.block_pictures(evidence.study):
        figures[picture.name] = picture.figure
    section = efficiency.efficiency_section(facts)
    for part in section.body if section else ():
        figures[part.name] = part.figure
    return figures


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
        lines += _arms(arm.arm_facts(evidence.study, evidence))
    lines += ["", *(f"*{_plain(line)}*" for line in caveats(evidence.study.spec))]
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


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]#|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _plain(text: str) -> str:
    """``text`` on one line, without a meaning in Markdown or HTML."""
    return " ".join(text.split()).translate(_MARKS)
