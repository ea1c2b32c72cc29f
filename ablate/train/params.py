"""Params: the hyper-parameters of one trial, what each may be and what it means.

This module imports no torch, so a study file is checked in a moment.
"""

import difflib
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ablate.domain import Domain
from ablate.errors import SpecError

Init = Literal["pretrained", "random"]
DropPathSchedule = Literal["linear", "constant"]
DropPathMode = Literal["sample", "batch", "fixed"]
EpochChoice = Literal["auroc", "auprc", "last"]
ValFraction = Literal["all", "as data_fraction"]


def _range(name: str, low: float, high: float, meaning: str, **rest: Any) -> Domain:
    return Domain(name=name, low=low, high=high, meaning=meaning, **rest)


def _whole(name: str, low: int, high: int, meaning: str, **rest: Any) -> Domain:
    return Domain(name=name, low=low, high=high, integer=True, meaning=meaning, **rest)


def _choice(name: str, kind: object, meaning: str) -> Domain:
    return Domain(name=name, choices=get_args(kind), meaning=meaning)


_TABLE = (
    _range("data_fraction", 0.0001, 1, "share of the training patients, nested over shares", log=True),
    _choice("val_fraction", ValFraction, "validation patients that choose the epoch: all, or the same share as train"),
    _choice("init", Init, "encoder weights at the start; random is the reference from scratch"),
    _whole("probe_epochs", 0, 1000, "epochs of preview linear probing; 0 is off", unit="epochs"),
    _range("probe_lr", 1e-7, 1, "peak learning rate of the probe", log=True),
    _range("probe_weight_decay", 0, 1, "AdamW's weight decay of the probe"),
    _whole("ft_epochs", 0, 1000, "epochs of fine-tuning; 0 keeps the probe only", unit="epochs"),
    _range("ft_lr", 1e-7, 1, "peak learning rate of the encoder's last stage", log=True),
    _range("head_lr_ratio", 1e-3, 1e4, "the head's learning rate over the encoder's", log=True),
    _range("layer_decay", 0.01, 1, "each stage's learning rate over that of the next one"),
    _range("min_lr_ratio", 0, 1, "final learning rate over the peak, by a cosine"),
    _range("weight_decay", 0, 1, "AdamW's weight decay in fine-tuning"),
    _range("drop_path_rate", 0, 0.95, "rate at which the last block is dropped; 0 is off"),
    _choice("drop_path_schedule", DropPathSchedule, "rates rise linearly over the blocks, or are constant"),
    _choice("drop_path_mode", DropPathMode, "drop for each record, for a whole batch, or a fixed count of records"),
    _range("dropout", 0, 0.95, "dropout before the head, in fine-tuning"),
    _whole("batch_size", 1, 65536, "records for each optimizer step", log=True, unit="records"),
    _range("warmup_fraction", 0, 0.9, "share of fine-tuning that raises the learning rate from 0"),
    _range("label_smoothing", 0, 0.5, "how far targets move from 0 and 1 towards one half"),
    _range("grad_clip", 0, 1e6, "largest norm of the gradient in fine-tuning; 0 is off"),
    _choice("epoch_choice", EpochChoice, "the best epoch by a validation score, or the last one"),
)

# What the routine accepts, by name; a study searches within.
DOMAINS: Mapping[str, Domain] = types.MappingProxyType({domain.name: domain for domain in _TABLE})


@dataclass(frozen=True, kw_only=True)
class Params:
    """Hyper-parameters of one trial; ``DOMAINS`` tells the meaning and the limits of each.

    The defaults are the baseline: fine-tuning alone, without drop path and without a probe before it.

    Raises:
        SpecError: a value is out of its range, or nothing would be trained.
    """

    data_fraction: float = 1.0
    val_fraction: ValFraction = "all"
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
            if name not in DOMAINS:
                near = difflib.get_close_matches(str(name), DOMAINS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(DOMAINS)}"
                raise SpecError(f"params.{name}: no such hyper-parameter; {hint}")
        return cls(**given)

    def document(self) -> dict[str, Any]:
        """Every hyper-parameter as a plain JSON value."""
        return asdict(self)


def _checked(name: str, value: Any) -> Any:
    """``value`` in the parameter's own type."""
    domain = DOMAINS[name]
    if value not in domain:
        raise SpecError(f"params.{name} = {value!r}: expected {domain}; change it")
    if domain.choices:
        return value
    return int(value) if domain.integer else float(value)


def _check_table() -> None:
    """The table above and the fields of ``Params`` name the same hyper-parameters with the same choices."""
    hints = get_type_hints(Params)
    assert list(DOMAINS) == [field.name for field in fields(Params)]
    for name, domain in DOMAINS.items():
        assert (get_args(hints[name]) if get_origin(hints[name]) is Literal else ()) == domain.choices, name


_check_table()
