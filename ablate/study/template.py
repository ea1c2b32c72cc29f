"""A study file to begin with: a question, some components of the recipe, and comments on what may be changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.errors import OptionError
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
    *, question: str, source: str, encoder: str, weights: str, parts: Sequence[str], budget: str, context: bool
) -> str:
    """The text of a study file that can be run as it is.

    Args:
        question: that the study answers.
        source: "synthetic" or "ptbxl".
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
            *_data(source, encoder, weights),
            *_space(parts),
            *_design(parts),
            *_context(context),
            *_budget(budget),
        ]
    )


def _head(question: str) -> list[str]:
    text = " ".join(question.split()).replace("\\", "\\\\").replace('"', '\\"')
    return [
        f'question = "{text}"',
        "# notes = \"\"\"for readers of the report\"\"\"",
        "",
    ]  # fmt: skip


def _data(source: str, encoder: str, weights: str) -> list[str]:
    is_synthetic, is_founder = source == "synthetic", encoder.startswith("ecgfounder")
    return [
        "[data]",
        f'source = "{source}"' + ("" if is_synthetic else "  # `ablate run … --data DIR` says where it lies"),
        'task = "superdiagnostic"  # or all, diagnostic, subdiagnostic, form, rhythm',
        *(["n_records = 2400", "seed = 1"] if is_synthetic else []),
        *(["fs_hz = 500", 'preprocessing = "ecgfounder"'] if is_founder else []),
        "",
        "[encoder]  # `ablate encoder list` shows all",
        f'name = "{encoder}"',
        f'weights = "{weights}"',
        "",
    ]


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
        "[design]  # makes the arms and their contrasts",
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
    return ["[context]  # every arm is compared in each", f"data_fraction = {values}", ""]


def _budget(name: str) -> list[str]:
    most, blocks = BUDGETS[name]
    return [
        "[budget]  # `ablate plan` says what it costs and what it can see",
        f'search_trials = {{ first = 8, most = {most}, until = "settled" }}  # of each arm in each context',
        f"replicates = {blocks}  # paired blocks of the confirmation; fewer than 5 give intervals and no test",
        "generation = 4  # search trials that are proposed from the same knowledge",
        "",
        "[margin]  # differences below these count as equivalent",
        "auroc = 0.005",
        "auprc = 0.01",
        "",
    ]
