"""A study file to begin with: a question, some components of the recipe, and comments on what may be changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from ablate.errors import OptionError
from ablate.study.spec import LISTED, DataSpec
from ablate.study.wording import nearest


@dataclass(frozen=True)
class Part:
    """A part of the post-training recipe that can be switched off.

    Attributes:
        title: as people name it.
        off: restriction of the space without it, as TOML.
        on: with it.
        space: of its hyper-parameters.
    """

    title: str
    off: str
    on: str
    space: str


@dataclass(frozen=True)
class Records:
    """Which records the study is about.

    Attributes:
        source: as in a study file.
        table: of own records, in the folder of ``--data`` or the working folder.
        path: its column of files.
        labels: its columns with 0 and 1, or the one column with a list of labels.
        patient: its column of patients; empty where no patient has two records.
        rate_hz: of own records; None where their files say it.
        unit: of own records likewise, such as "uV".
        mapping: table that joins statements to classes, for own records and public sets.
    """

    source: str
    table: str = "records.csv"
    path: str = "path"
    labels: Sequence[str] = ("labels",)
    patient: str = "patient"
    rate_hz: float | None = None
    unit: str | None = None
    mapping: str | None = None


SOURCES = get_args(DataSpec.model_fields["source"].annotation)
PARTS: Mapping[str, Part] = {
    "stochastic_depth": Part(
        "stochastic depth",
        "{ drop_path_rate = 0.0 }",
        "{ drop_path_rate = { low = 0.05, high = 0.5 } }",
        "drop_path_rate = { low = 0.0, high = 0.5 }",
    ),
    "preview_probe": Part(
        "preview linear probing",
        "{ probe_epochs = 0 }",
        "{ probe_epochs = { low = 5, high = 40 } }",
        "probe_epochs = { low = 0, high = 40 }",
    ),
    "layer_decay": Part(
        "layer-wise learning rates",
        "{ layer_decay = 1.0 }",
        "{ layer_decay = { low = 0.5, high = 0.95 } }",
        "layer_decay = { low = 0.5, high = 1.0 }",
    ),
    "label_smoothing": Part(
        "label smoothing",
        "{ label_smoothing = 0.0 }",
        "{ label_smoothing = { low = 0.02, high = 0.2 } }",
        "label_smoothing = { low = 0.0, high = 0.2 }",
    ),
}
BUDGETS: Mapping[str, tuple[int, int]] = {  # search trials of each arm at most, paired blocks
    "small": (20, 5),
    "usual": (48, 10),
    "large": (64, 20),
}
_MOST_PARTS = 4


def template(
    *, question: str, records: Records, encoder: str, weights: str, parts: Sequence[str], budget: str, context: bool
) -> str:
    """The text of a study file that can be run as it is.

    Args:
        question: that the study answers.
        records: which it is about.
        encoder: its name.
        weights: of the encoder.
        parts: names of ``PARTS``.
        budget: a name of ``BUDGETS``.
        context: ask with a tenth of the training data too.

    Raises:
        OptionError: a part or a budget is unknown, or there are too many parts.
    """
    for part in parts:
        if part not in PARTS:
            raise OptionError(f"--component {part}: is unknown{nearest(part, list(PARTS))}")
    if budget not in BUDGETS:
        raise OptionError(f"--budget {budget}: expected {', '.join(BUDGETS)}")
    if not 1 <= len(set(parts)) <= _MOST_PARTS:
        raise OptionError(f"--component: expected one to {_MOST_PARTS} of {', '.join(PARTS)}")
    parts = list(dict.fromkeys(parts))
    return "\n".join(
        [
            *_head(question),
            *_data(records, encoder, weights),
            *_space(parts),
            *_design(parts),
            *_context(context),
            *_budget(budget),
        ]
    )


def _head(question: str) -> list[str]:
    return [
        "# `ablate check FILE` says all that is wrong; every key is in docs/study_file.md and in `ablate schema`.",
        "# A range that is searched is { low = …, high = …, log = true }; a few values are { choices = [ … ] }.",
        f"question = {_text(' '.join(question.split()))}",
        "# notes = \"\"\"for readers of the report\"\"\"",
        "",
    ]  # fmt: skip


def _data(records: Records, encoder: str, weights: str) -> list[str]:
    is_synthetic, is_founder = records.source == "synthetic", encoder.startswith("ecgfounder")
    return [
        "[data]",
        f'source = "{records.source}"' + ("" if is_synthetic else "  # `ablate run … --data DIR` says where it lies"),
        *(_own(records) if records.source in LISTED else [_TASK]),
        *(["n_records = 2400", "seed = 1"] if is_synthetic else []),
        *(["fs_hz = 500", 'preprocessing = "ecgfounder"'] if is_founder else []),
        "",
        "[encoder]  # `ablate encoder list` shows all",
        f"name = {_text(encoder)}",
        f"weights = {_text(weights)}",
        "",
    ]


_TASK = 'task = "superdiagnostic"  # or all, diagnostic, subdiagnostic, form, rhythm'


def _own(records: Records) -> list[str]:
    """Records with labels of their own; what stands as a comment is what the next user needed."""
    mapping = f"mapping = {_text(records.mapping or 'classes.csv')}  # two columns, statement and class"
    lines = [mapping if records.mapping else f"# {mapping}"]
    if records.source != "table":
        return lines
    whose = f"patient = {_text(records.patient)}" if records.patient else "one_record_each = true"
    labels = ", ".join(map(_text, records.labels))
    labels = labels if len(records.labels) == 1 else f"[{labels}]"
    known = [*([f"rates_hz = {records.rate_hz:g}"] if records.rate_hz else []),
             *([f"unit = {_text(records.unit)}"] if records.unit else [])]  # fmt: skip
    form = f"form = {{ {', '.join(known)} }}" if known else '# form = { rates_hz = 500, unit = "uV" }'
    return [
        f"table = {_text(records.table)}",
        f"columns = {{ path = {_text(records.path)}, {whose}, labels = {labels} }}",
        f"{form}  # and leads, length, longest_gap_s: what files do not say",
        *lines,
    ]


def _text(value: str) -> str:
    """A text of TOML."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _space(parts: Sequence[str]) -> list[str]:
    return [
        "[fixed]  # the same in every trial",
        "ft_epochs = 5",
        "batch_size = 64",
        *(["probe_lr = 1e-2"] if "preview_probe" in parts else []),
        "",
        "[space]  # what is searched; every arm, the baseline too, is tuned within it",
        "ft_lr = { low = 1e-4, high = 3e-3, log = true }",
        *(PARTS[part].space for part in parts),
        "",
    ]


def _design(parts: Sequence[str]) -> list[str]:
    kind = "factorial" if len(parts) > 1 else "add_one_in"
    lines = [
        "[design]  # makes the arms and their contrasts from components; `ablate plan` lists them",
        f'kind = "{kind}"  # or add_one_in, leave_one_out, factorial, half_fraction, path',
        "",
    ]
    for part in parts:
        lines += [
            f"[design.components.{part}]",
            f'title = "{PARTS[part].title}"',
            f"off = {PARTS[part].off}",
            f"on = {PARTS[part].on}",
            "",
        ]
    return lines


def _context(wanted: bool) -> list[str]:
    values = "[0.1, 1.0]" if wanted else "[1.0]"
    return ["[context]  # every arm is compared in each, such as [0.1, 1.0]", f"data_fraction = {values}", ""]


def _budget(name: str) -> list[str]:
    most, blocks = BUDGETS[name]
    return [
        "[budget]  # `ablate plan` says what it costs and what it can see",
        f'search_trials = {{ first = 8, most = {most}, until = "settled" }}  # of each arm in each context',
        f"replicates = {blocks}  # paired blocks of the confirmation; fewer than 5 give intervals and no test",
        "generation = 4  # search trials that are proposed from the same knowledge",
        "",
        "[margin]  # the largest difference that would not matter to you: smaller ones count as equivalent",
        "auroc = 0.005",
        "auprc = 0.01",
        "",
    ]
