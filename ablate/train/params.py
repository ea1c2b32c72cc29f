"""Params: the hyper-parameters of one trial, what each may be and what it means.

This module imports no torch, so a study file is checked in a moment.
"""

import difflib
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ablate import digest
from ablate.errors import SpecError

Init = Literal["pretrained", "random"]
DropPathSchedule = Literal["linear", "constant"]
DropPathMode = Literal["sample", "batch", "fixed"]
EpochChoice = Literal["auroc", "auprc", "last"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """What one hyper-parameter may be.

    Attributes:
        kind: "float", "int" or "choice".
        low, high: the smallest and the largest value that makes sense, both included; 0 and 0 for a choice.
        usual_low, usual_high: where a search looks unless told otherwise.
        log: whether a search looks at the logarithm.
        choices: what a choice may be; empty for numbers.
        meaning: in one line, for people.
    """

    kind: Literal["float", "int", "choice"]
    meaning: str
    low: float = 0.0
    high: float = 0.0
    usual_low: float = 0.0
    usual_high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        return f"{'a whole number' if self.kind == 'int' else 'a number'} from {self.low:g} to {self.high:g}"


def _float(low: float, high: float, usual: tuple[float, float], meaning: str, *, log: bool = False) -> Range:
    return Range(kind="float", low=low, high=high, usual_low=usual[0], usual_high=usual[1], log=log, meaning=meaning)


def _int(low: int, high: int, usual: tuple[int, int], meaning: str, *, log: bool = False) -> Range:
    return Range(kind="int", low=low, high=high, usual_low=usual[0], usual_high=usual[1], log=log, meaning=meaning)


def _choice(kind: object, meaning: str) -> Range:
    return Range(kind="choice", choices=get_args(kind), meaning=meaning)


RANGES: Mapping[str, Range] = types.MappingProxyType(
    {
        "data_fraction": _float(0.0001, 1, (0.01, 1), "share of the training patients, nested over shares", log=True),
        "init": _choice(Init, "encoder weights at the start; random is the reference from scratch"),
        "probe_epochs": _int(0, 1000, (0, 50), "epochs of preview linear probing; 0 is off"),
        "probe_lr": _float(1e-7, 1, (5e-4, 5e-2), "peak learning rate of the probe", log=True),
        "probe_weight_decay": _float(0, 1, (0, 0.1), "AdamW's weight decay of the probe"),
        "ft_epochs": _int(0, 1000, (5, 100), "epochs of fine-tuning; 0 keeps the probe only"),
        "ft_lr": _float(1e-7, 1, (1e-5, 3e-3), "peak learning rate of the encoder's last stage", log=True),
        "head_lr_ratio": _float(1e-3, 1e4, (1, 100), "the head's learning rate over the encoder's", log=True),
        "layer_decay": _float(0.01, 1, (0.65, 1), "each stage's learning rate over that of the next one"),
        "min_lr_ratio": _float(0, 1, (0, 0.1), "final learning rate over the peak, by a cosine"),
        "weight_decay": _float(0, 1, (1e-5, 0.1), "AdamW's weight decay in fine-tuning", log=True),
        "drop_path_rate": _float(0, 0.95, (0, 0.6), "rate at which the last block is dropped; 0 is off"),
        "drop_path_schedule": _choice(DropPathSchedule, "rates rise linearly over the blocks, or are constant"),
        "drop_path_mode": _choice(DropPathMode, "drop for each record, for a whole batch, or a fixed count of records"),
        "dropout": _float(0, 0.95, (0, 0.5), "dropout before the head, in fine-tuning"),
        "batch_size": _int(1, 65536, (16, 512), "records for each optimizer step", log=True),
        "warmup_fraction": _float(0, 0.9, (0, 0.3), "share of fine-tuning that raises the learning rate from 0"),
        "label_smoothing": _float(0, 0.5, (0, 0.1), "how far targets move from 0 and 1 towards one half"),
        "grad_clip": _float(0, 1e6, (0, 10), "largest norm of the gradient in fine-tuning; 0 is off"),
        "epoch_choice": _choice(EpochChoice, "the best epoch by a validation score, or the last one"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Hyper-parameters of one trial; ``RANGES`` tells the meaning and the limits of each.

    The defaults are the baseline: fine-tuning alone, without drop path and without a probe before it.

    Raises:
        SpecError: a value is out of its range, or nothing would be trained.
    """

    data_fraction: float = 1.0
    init: Init = "pretrained"
    probe_epochs: int = 0
    probe_lr: float = 5e-3
    probe_weight_decay: float = 0.1
    ft_epochs: int = 30
    ft_lr: float = 5e-4
    head_lr_ratio: float = 1.0
    layer_decay: float = 1.0
    min_lr_ratio: float = 0.02
    weight_decay: float = 0.05
    drop_path_rate: float = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    drop_path_mode: DropPathMode = "sample"
    dropout: float = 0.05
    batch_size: int = 256
    warmup_fraction: float = 0.0
    label_smoothing: float = 0.0
    grad_clip: float = 1.0
    epoch_choice: EpochChoice = "auroc"

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))
        if self.probe_epochs + self.ft_epochs == 0:
            raise SpecError("params: probe_epochs and ft_epochs are both 0, so nothing is trained; raise one of them")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Params":
        """Params with the values of ``given``, and the defaults for what it leaves out.

        Raises:
            SpecError: an unknown name, a wrong type or a value out of range; the text names it and what was expected.
        """
        for name in given:
            if name not in RANGES:
                near = difflib.get_close_matches(str(name), RANGES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(RANGES)}"
                raise SpecError(f"params.{name}: no such hyper-parameter; {hint}")
        return cls(**given)

    def document(self) -> dict[str, Any]:
        """Every hyper-parameter as a plain JSON value."""
        return asdict(self)

    def digest(self) -> str:
        """Equal for equal params."""
        return digest.of_json(self.document())


def _checked(name: str, value: Any) -> Any:
    """``value`` in the parameter's own type."""
    limits = RANGES[name]
    if limits.kind == "choice":
        fits = isinstance(value, str) and value in limits.choices
        typed = value
    else:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and limits.low <= value <= limits.high
        fits = fits and (limits.kind == "float" or value == int(value))
        typed = (int(value) if limits.kind == "int" else float(value)) if fits else value
    if not fits:
        raise SpecError(f"params.{name} = {value!r}: expected {limits}; change it")
    return typed


def _check_table() -> None:
    """The table above and the fields of ``Params`` name the same hyper-parameters with the same choices."""
    hints = get_type_hints(Params)
    assert list(RANGES) == [field.name for field in fields(Params)]
    for name, limits in RANGES.items():
        assert (get_args(hints[name]) if get_origin(hints[name]) is Literal else ()) == limits.choices, name


_check_table()
