"""Every number of the page as files: CSV and parquet for programs, LaTeX for papers."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ablate import atomic
from ablate.report import wording
from ablate.report.arm import ArmFacts
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.fold import fold_facts, fold_sentence
from ablate.report.importance import ImportanceFacts
from ablate.report.verdict import LABELS
from ablate.stats.contrast import Contrast

CONTRAST_COLUMNS = (
    "contrast",
    "context",
    "metric",
    "n_blocks",
    "difference",
    "simultaneous_low",
    "simultaneous_high",
    "ci_low",
    "ci_high",
    "p",
    "p_adjusted",
    "sd_seeds",
    "sd_patients",
    "margin",
    "n_patients",
    "n_classes",
    "verdict",
    "lacks",
)
IMPORTANCE_COLUMNS = ("metric", "context", "parameter", "importance", "ci_low", "ci_high")
INTERACTION_COLUMNS = ("metric", "context", "parameter_a", "parameter_b", "importance", "ci_low", "ci_high")
ARM_COLUMNS = ("arm", "context", "phase", "metric", "n", "planned", "mean", "sd", "ci_low", "ci_high")


def contrast_frame(evidence: Evidence) -> pd.DataFrame:
    """A row for each contrast, context and metric."""
    rows = [
        (
            c.name,
            wording.context_key(Context.of(c.context)),
            c.metric,
            c.n_blocks,
            c.difference,
            c.simultaneous_low,
            c.simultaneous_high,
            c.ci_low,
            c.ci_high,
            c.p,
            c.p_adjusted,
            c.sd_seeds,
            c.sd_patients,
            c.margin,
            c.n_patients,
            c.n_classes,
            str(c.verdict),
            " ".join(c.lacks),
        )
        for c in evidence.contrasts
    ]
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def arm_frame(facts: ArmFacts | None) -> pd.DataFrame:
    """A row for each arm, context and score; empty where the table is refused."""
    rows = [
        (
            s.arm,
            wording.context_key(s.context),
            facts.phase,
            s.column,
            s.n,
            facts.planned.get((s.arm, s.context), 0),
            s.mean,
            s.sd,
            s.low,
            s.high,
        )
        for s in (facts.scores if facts else ())
        if facts and s.column in facts.columns
    ]
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))


def importance_frame(facts: tuple[ImportanceFacts, ...]) -> pd.DataFrame:
    """Main effects, a row for each objective, context and parameter."""
    rows = [
        (one.metric, one.pool.key, name, share.mean, share.low, share.high)
        for one in facts
        if one.found is not None
        for name, share in sorted(one.found.main.items(), key=lambda entry: (-entry[1].mean, entry[0]))
    ]
    return pd.DataFrame(rows, columns=list(IMPORTANCE_COLUMNS))


def interaction_frame(facts: tuple[ImportanceFacts, ...]) -> pd.DataFrame:
    """Pairwise interactions, likewise."""
    rows = [
        (one.metric, one.pool.key, *pair, share.mean, share.low, share.high)
        for one in facts
        if one.found is not None
        for pair, share in sorted(one.found.pairs.items(), key=lambda entry: (-entry[1].mean, entry[0]))
    ]
    return pd.DataFrame(rows, columns=list(INTERACTION_COLUMNS))


def write_frames(out: Path, frames: Mapping[str, pd.DataFrame]) -> dict[str, Path]:
    """CSV and parquet of each frame.

    Raises:
        DataError: the folder cannot be written.
    """
    written = {}
    for name, frame in frames.items():
        written[name] = out / f"{name}.csv"
        atomic.write_text(written[name], frame.to_csv(index=False, lineterminator="\n"))
        buffer = io.BytesIO()
        _typed(frame).to_parquet(buffer, index=False)
        atomic.write_bytes(out / f"{name}.parquet", buffer.getvalue())
    return written


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed objects as text, which parquet needs."""
    mixed = [name for name in frame if frame[name].dtype == object]
    return frame.assign(**{name: frame[name].map(_text) for name in mixed})


def _text(value: object) -> str | None:
    return None if wording.missing(value) else str(value)


def tex(evidence: Evidence, *, study: str) -> str:
    """The contrasts as a booktabs table, ready for ``\\input``."""
    rows = "\n".join(_tex_row(c) for c in evidence.contrasts) or r"\multicolumn{7}{l}{No contrast is answered yet.} \\"
    fold = fold_facts(evidence.study)
    size = f"% {fold_sentence(fold)}\n" if fold else ""
    return size + TEX_HEAD.replace("STUDY", _escape(study)) + rows + TEX_FOOT


TEX_HEAD = r"""% Study STUDY. Needs \usepackage{booktabs}.
\begin{tabular}{lllrrrl}
\toprule
Contrast & Context & Metric & Blocks & Difference (simultaneous 95\,\% interval) & adjusted $p$ & Verdict \\
\midrule
"""
TEX_FOOT = "\n\\bottomrule\n\\end{tabular}\n"


def _tex_interval(contrast: Contrast) -> str:
    if not contrast.is_tested:
        return "not tested"
    return f"${contrast.simultaneous_low:+.4f}$ to ${contrast.simultaneous_high:+.4f}$"


def _tex_row(contrast: Contrast) -> str:
    context = Context.of(contrast.context)
    interval = f"${contrast.difference:+.4f}$ ({_tex_interval(contrast)})"
    p = "--" if wording.missing(contrast.p_adjusted) else f"${wording.probability(contrast.p_adjusted)}$"
    cells = (
        _escape(contrast.name),
        _escape(wording.context_text(context)),
        wording.METRIC_NAMES[contrast.metric],
    )
    return " & ".join([*cells, str(contrast.n_blocks), interval, p, LABELS[contrast.verdict]]) + r" \\"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
