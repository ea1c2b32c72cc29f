"""Numbers, contexts and names as people read them."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ablate.report.context import Context
from ablate.study.spec import Spec

MINUS = "−"
NONE = "–"
METRIC_NAMES = {"auroc": "AUROC", "auprc": "AUPRC"}


def missing(value: Any) -> bool:
    """Whether ``value`` stands for nothing: None, NaN or NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    except (TypeError, ValueError):
        return False


def credit(source: str) -> str:
    """Whom records of this source are owed to, as the end of a paragraph; empty where nobody has to be named."""
    return " PTB-XL: Wagner et al., Scientific Data 7:154 (2020), PhysioNet, CC BY 4.0." if source == "ptbxl" else ""


def number(value: Any, *, digits: int = 4) -> str:
    """``value`` with a fixed number of decimals and a true minus sign."""
    if missing(value):
        return NONE
    return f"{float(value):.{digits}f}".replace("-", MINUS)


def signed(value: Any, *, digits: int = 4) -> str:
    """``number`` with its sign always shown."""
    return NONE if missing(value) else f"{float(value):+.{digits}f}".replace("-", MINUS)


def interval(low: Any, high: Any, *, digits: int = 4, sign: bool = False) -> str:
    """``low to high``."""
    if missing(low) or missing(high):
        return NONE
    show = signed if sign else number
    return f"{show(low, digits=digits)} to {show(high, digits=digits)}"


def spread(mean: Any, sd: Any) -> str:
    """``mean ± sd``; the mean alone where there is no spread."""
    return number(mean) if missing(sd) else f"{number(mean)} ± {number(sd)}"


def percent(value: Any, *, digits: int = 1, sign: bool = False) -> str:
    """A ratio in percent."""
    if missing(value):
        return NONE
    return f"{(signed if sign else number)(100 * float(value), digits=digits)} %"


def probability(value: Any) -> str:
    """A p-value: three decimals, never 0."""
    if missing(value):
        return NONE
    return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"


def general(value: Any) -> str:
    """A parameter's value: short, and the same text for the same value."""
    if missing(value):
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}".replace("-", MINUS)
    return f"{float(value):.3g}".replace("-", MINUS)


def whole(value: Any) -> str:
    """A count, with a thin space between thousands."""
    return NONE if missing(value) else f"{int(value):,}".replace(",", " ")


def hours(seconds: Any) -> str:
    """A span of time in the largest fitting unit."""
    if missing(seconds):
        return NONE
    value = float(seconds)
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 3600 else f"{value / 3600:.2f} h"


def moment(value: Any) -> str:
    """A point in time, to the minute, in its own time zone (the store's is UTC)."""
    if missing(value):
        return NONE
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    zone = " UTC" if value.tzinfo is not None else ""
    return f"{value:%Y-%m-%d %H:%M}{zone}"


def context_text(context: Context) -> str:
    """A context in words: ``10 % of the data``."""
    return ", ".join(_factor(key, value) for key, value in context.factors) or "all trials"


def with_context(context: Context) -> str:
    """The same behind what it belongs to, `` with 10 % of the data``; nothing where there is one context only."""
    return f" with {context_text(context)}" if context.factors else ""


def share_text(context: Context) -> str:
    """A context in few words, for a cell of a table."""
    return context_text(context).replace(" of the data", "")


def context_key(context: Context) -> str:
    """A context for a CSV cell: ``data_fraction=0.1``."""
    return ";".join(f"{key}={general(value)}" for key, value in context.factors) or "all"


def _factor(key: str, value: Any) -> str:
    if key == "data_fraction" and isinstance(value, int | float):
        return "all of the data" if value == 1 else f"{100 * value:g} % of the data"
    return f"{key} {general(value)}"


def listing(names: list[str], *, most: int = 8) -> str:
    """``a, b and c``; a long list ends with how many more there are."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def params_text(params: Mapping[str, Any]) -> str:
    """Hyper-parameters on one line."""
    return ", ".join(f"{key} {general(value)}" for key, value in params.items() if not missing(value))


def finite(value: Any) -> float | None:
    """``value`` as a float, None for what is no finite number."""
    return None if missing(value) or not math.isfinite(float(value)) else float(value)


def metric_name(column: str) -> str:
    """``val_auroc`` as ``validation AUROC``."""
    split, _, metric = column.rpartition("_")
    splits = {"val": "validation ", "test": "test ", "": ""}
    return splits.get(split, f"{split} ") + METRIC_NAMES.get(metric, metric)


def short_name(column: str) -> str:
    """``metric_name`` for the head of a table."""
    return metric_name(column).replace("validation ", "val ")


def shared_in_block(spec: Spec) -> str:
    """What every arm has in common in a block, behind "the same"."""
    return (
        "training subset, head, batch order and drop-path noise" if spec.routine is None else "training subset and seed"
    )
