"""Writes docs/study_file.md: every key of a study file, from the models that read it. `python docs/study_file.py`."""

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ablate.domain import Domain
from ablate.ecg.form import Form
from ablate.ecg.record_table import Columns
from ablate.model.catalogue import EncoderSpec, WeightsFile
from ablate.study import spec
from ablate.study.design import Component, Design
from ablate.study.inference import FamilySpec, Inference
from ablate.study.routine import RoutineSpec
from ablate.study.subject import ArmSubject
from ablate.train.early_stopping import EarlyStopping
from ablate.train.params import DOMAINS, Params

PAGE = Path(__file__).with_suffix(".md")
COMPUTED = {
    ("Spec", "name"),
    ("Spec", "titles"),
    ("Spec", "subjects"),
}  # what a file says elsewhere: by its name, and within its arms
TABLES: tuple[tuple[str, type], ...] = (
    ("Top level", spec.Spec),
    ("[data]", spec.DataSpec),
    ("[data.columns]", Columns),
    ("[data.form]", Form),
    ("[data.external]", spec.ExternalSpec),
    ("[encoder]", EncoderSpec),
    ("[encoder.weights]", WeightsFile),
    ("[routine]", RoutineSpec),
    ("[arms.NAME], beside hyper-parameters", ArmSubject),
    ("[budget]", spec.Budget),
    ("[budget.search_trials]", spec.SearchTrials),
    ("[search]", spec.Search),
    ("[[search.start]]", spec.Start),
    ("[search.early_stopping]", EarlyStopping),
    ("[objectives]", spec.Objectives),
    ("[[contrasts]]", spec.ContrastSpec),
    ("[margin]", spec.Margin),
    ("[inference]", Inference),
    ("[[inference.families]]", FamilySpec),
    ("[design]", Design),
    ("[design.components.NAME]", Component),
)
# An example of each key, as a study file writes it; a test reads them all.
EXAMPLES: Mapping[str, str] = {
    "Spec.question": 'question = "Does a probe before fine-tuning help?"',
    "Spec.notes": 'notes = "Four minutes on two cores."',
    "Spec.seed": "seed = 7",
    "Spec.keep": 'keep = "best"',
    "Spec.data": 'data = { source = "ptbxl", task = "form" }',
    "Spec.encoder": 'encoder = { name = "net1d_small" }',
    "Spec.routine": 'routine = { entry = "mine.py:train", params = {} }',
    "RoutineSpec.entry": 'entry = "my_package.script:train"',
    "RoutineSpec.params": "params.lr = { low = 1e-4, high = 1e-1, log = true, default = 1e-2 }",
    "RoutineSpec.code": 'code = "7059293218a3ce8edd5c07e11379e0994bef36463bb7891aab69aba5c0f5adc8"',
    "Spec.fixed": "fixed = { ft_epochs = 15, batch_size = 64 }",
    "Spec.space": "space = { ft_lr = { low = 1e-4, high = 3e-3, log = true } }",
    "Spec.arms": "arms.ft = { probe_epochs = 0 }",
    "Spec.design": 'design = { kind = "factorial", components = {} }',
    "Spec.context": "context = { data_fraction = [0.1, 1.0] }",
    "Spec.budget": "budget = { search_trials = 16, replicates = 10 }",
    "Spec.search": 'search = { sampler = "latin" }',
    "Spec.objectives": 'objectives = { select = "val_auprc" }',
    "Spec.contrasts": 'contrasts = [{ name = "lp - ft", arm = "lp", baseline = "ft" }]',
    "Spec.margin": "margin = { auroc = 0.01 }",
    "Spec.inference": "inference = { alpha = 0.01 }",
    "Spec.claims": 'claims = "arxiv-2509.12991"',
    "DataSpec.source": 'source = "ptbxl"',
    "DataSpec.task": 'task = "superdiagnostic"',
    "DataSpec.fs_hz": "fs_hz = 500",
    "DataSpec.preprocessing": 'preprocessing = "ecgfounder"',
    "DataSpec.n_records": "n_records = 2400",
    "DataSpec.seed": "seed = 1",
    "DataSpec.skip_damaged": "skip_damaged = true",
    "DataSpec.table": 'table = "records.csv"',
    "DataSpec.columns": 'columns = { path = "file", labels = ["AF", "LBBB"] }',
    "DataSpec.form": "form = { rates_hz = 500 }",
    "DataSpec.mapping": 'mapping = "classes.csv"',
    "DataSpec.external": 'external = { source = "cinc2021", folder = "georgia" }',
    "ExternalSpec.source": 'source = "table"',
    "ExternalSpec.folder": 'folder = "other_hospital"',
    "ExternalSpec.table": 'table = "records.csv"',
    "ExternalSpec.columns": 'columns = { path = "file" }',
    "ExternalSpec.form": "form = { rates_hz = 250 }",
    "ExternalSpec.mapping": 'mapping = "classes.csv"',
    "Columns.path": 'path = "file"',
    "Columns.patient": 'patient = "person"',
    "Columns.labels": 'labels = ["AF", "LBBB"]',
    "Columns.fold": 'fold = "strat_fold"',
    "Columns.record": 'record = "exam_id"',
    "Columns.row": 'row = "position"',
    "Columns.start_s": 'start_s = "begin"',
    "Columns.fs_hz": 'fs_hz = "rate"',
    "Columns.one_record_each": "one_record_each = true",
    "Form.leads": 'leads = ["I", "II", "V1", "V5"]',
    "Form.unit": 'unit = "uV"',
    "Form.rates_hz": "rates_hz = [250, 500]",
    "Form.length": 'length = "crop"',
    "Form.take": 'take = "middle"',
    "Form.longest_gap_s": "longest_gap_s = 0.2",
    "Form.dataset": 'dataset = "tracings"',
    "DataSpec.leads": 'leads = ["I", "II", "V5"]',
    "DataSpec.window_s": "window_s = 2.5",
    "WeightsFile.file": 'file = "st_mem.pth"',
    "WeightsFile.key": 'key = "model"',
    "WeightsFile.strip": 'strip = "module.encoder."',
    "WeightsFile.head": 'head = "fc"',
    "ArmSubject.encoder": 'encoder = "mine.py:make"',
    "ArmSubject.weights": 'weights = "random"',
    "ArmSubject.precision": 'precision = "bf16"',
    "ArmSubject.preprocessing": 'preprocessing = "ecgfounder"',
    "ArmSubject.fs_hz": "fs_hz = 50",
    "ArmSubject.leads": 'leads = "I, II"',
    "ArmSubject.window_s": "window_s = 2.5",
    "EncoderSpec.name": 'name = "net1d_small"',
    "EncoderSpec.weights": 'weights = "12_lead_ECGFounder.pth"',
    "EncoderSpec.precision": 'precision = "bf16"',
    "Budget.search_trials": "search_trials = 16",
    "Budget.searches": "searches = 5",
    "SearchTrials.first": "first = 8",
    "SearchTrials.most": "most = 48",
    "SearchTrials.until": 'until = "settled"',
    "Budget.replicates": "replicates = 10",
    "Budget.generation": "generation = 2",
    "Budget.max_attempts": "max_attempts = 1",
    "Budget.updates_ratio": "updates_ratio = 10",
    "Search.sampler": 'sampler = { name = "cmaes", popsize = 8 }',
    "Search.start": "start = [{ params = { ft_lr = 1e-3 } }]",
    "Search.early_stopping": "early_stopping = true",
    "Start.params": "params = { ft_lr = 1e-3 }",
    "Start.arms": 'arms = ["ft", "lp"]',
    "EarlyStopping.eta": "eta = 4",
    "EarlyStopping.first_rung": "first_rung = 2",
    "Objectives.select": 'select = "val_auprc"',
    "ContrastSpec.name": 'name = "lp - ft"',
    "ContrastSpec.arm": 'arm = "lp"',
    "ContrastSpec.baseline": 'baseline = "ft"',
    "ContrastSpec.combination": "combination = { lp_sd = 1.0, lp = -1.0, sd = -1.0, ft = 1.0 }",
    "Margin.auroc": "auroc = 0.01",
    "Margin.auprc": "auprc = 0.02",
    "Inference.alpha": "alpha = 0.01",
    "Inference.reserve": "reserve = 0.5",
    "Inference.auprc": "auprc = 0.25",
    "Inference.later": "later = 0.2",
    "Inference.families": 'families = [{ name = "main", contrasts = ["lp - ft"] }]',
    "Inference.looks": "looks = [5, 10]",
    "Inference.futility": "futility = 0.0",
    "Inference.failures": 'failures = "worst"',
    "FamilySpec.name": 'name = "main"',
    "FamilySpec.contrasts": 'contrasts = ["lp - ft"]',
    "FamilySpec.behind": 'behind = "main"',
    "Design.kind": 'kind = "leave_one_out"',
    "Design.components": "components.sd = { off = { drop_path_rate = 0.0 }, on = { drop_path_rate = 0.3 } }",
    "Component.off": "off = { probe_epochs = 0 }",
    "Component.on": "on = { probe_epochs = { low = 5, high = 40 } }",
}
OPENING = """# The study file

*Written by `python docs/study_file.py` from the models that read a study file; do not edit it by hand.*

A study file is [TOML](https://toml.io). It lies in `studies/NAME.toml` of the working folder, or anywhere:
`ablate run NAME` or `ablate run path/to/file.toml`. A wrong key or value is one line that names file, key, value and
remedy. `--set key=value` (repeatable, such as `--set budget.replicates=3`) changes a key for one command and makes
another study, with a name of its own. The words are explained in the [glossary](glossary.md).

## A whole one

```toml
{study}```

## What a domain is

The tables `fixed`, `space`, `arms.NAME` and the components of a design give hyper-parameters one of these:

| written | means |
|---|---|
| `ft_lr = 1e-3` | this value and no other |
| `ft_lr = {{ low = 1e-4, high = 3e-3, log = true }}` | a range, ends included; `log` searches the logarithm |
| `probe_epochs = {{ low = 0, high = 40 }}` | a range of whole numbers, where the hyper-parameter is one |
| `drop_path_mode = {{ choices = ["sample", "batch"] }}` | one of a few, without an order |

An arm may only name what `space` names, and stay within it. Beside that an arm or a component may have a
`title = "fine-tuning"`, by which people call it, and an arm may train another encoder or see the records otherwise, by
the keys of `[arms.NAME]` below; those may stand in `context` too, as lists of values. Blocks stay paired: the same
patients, subset and order.

## Hyper-parameters

What one trial is trained with; each may stand in `fixed`, `space`, an arm or `context`. A [routine of your
own](own_routine.md) declares others.

{params}
"""


def page() -> str:
    """The whole document."""
    study = (PAGE.parents[1] / "studies" / "sd_vs_lp.toml").read_text(encoding="utf-8")
    parts = [OPENING.format(study=study, params=_params_table())]
    parts += [f"## {heading}\n\n{_summary(model)}\n\n{_keys_table(model)}\n" for heading, model in TABLES]
    return "\n".join(parts)


def keys() -> list[str]:
    """Every key that a study file may have, as ``Model.key``."""
    return [f"{model.__name__}.{key}" for _, model in TABLES for key, *_ in _keys(model)]


def _params_table() -> str:
    rows = ["| name | may be | default | meaning | example |", "|---|---|---|---|---|"]
    for name, domain in DOMAINS.items():
        default = getattr(Params(), name)
        unit = f" ({domain.unit})" if domain.unit else ""
        rows.append(f"| `{name}` | {domain}{unit} | `{_toml(default)}` | {domain.meaning} | `{_example(domain)}` |")
    return "\n".join(rows)


def _example(domain: Domain) -> str:
    """The domain where most studies would search, as a file writes it."""
    if domain.choices:
        return f"{domain.name} = {{ choices = {_toml(list(domain.choices))} }}"
    low, high = _SEARCHED[domain.name]
    return f"{domain.name} = {{ low = {low}, high = {high}{', log = true' if domain.log else ''} }}"


_SEARCHED = {
    "data_fraction": ("0.05", "1.0"),
    "probe_epochs": ("0", "40"),
    "probe_lr": ("5e-4", "5e-2"),
    "probe_weight_decay": ("0.0", "0.3"),
    "ft_epochs": ("5", "30"),
    "ft_lr": ("1e-4", "3e-3"),
    "head_lr_ratio": ("1.0", "30.0"),
    "layer_decay": ("0.65", "1.0"),
    "min_lr_ratio": ("0.0", "0.1"),
    "weight_decay": ("0.0", "0.2"),
    "drop_path_rate": ("0.0", "0.5"),
    "dropout": ("0.0", "0.5"),
    "batch_size": ("16", "256"),
    "warmup_fraction": ("0.0", "0.3"),
    "label_smoothing": ("0.0", "0.1"),
    "grad_clip": ("0.0", "10.0"),
}


def _keys_table(model: type) -> str:
    meanings = _meanings(model)
    rows = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for key, type_, default in _keys(model):
        example = EXAMPLES.get(f"{model.__name__}.{key}", "")
        rows.append(f"| `{key}` | {type_} | {default} | {meanings.get(key, '')} | `{example}` |")
    return "\n".join(rows)


def _keys(model: type) -> Iterator[tuple[str, str, str]]:
    """Key, type and default of each field that a file may give."""
    if issubclass(model, BaseModel):
        for key, field in model.model_fields.items():
            if (model.__name__, key) not in COMPUTED:
                default = field.get_default(call_default_factory=True)
                yield key, _type(field.annotation, field.metadata), _default(default, PydanticUndefined)
        return
    assert is_dataclass(model)
    for each in fields(model):
        yield each.name, _type(each.type, []), _default(each.default, MISSING)


def _default(default: object, missing: object) -> str:
    if default is missing:
        return "needed"
    if default is None or default in ({}, ()):
        return "none"
    if isinstance(default, BaseModel | Columns | Form):
        return "as below"
    return f"`{_toml(getattr(default, 'name', default))}`"


def _type(annotation: Any, metadata: list[Any]) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each, metadata) for each in arguments if each is not type(None))
    if origin is Literal:
        return " or ".join(f"`{_toml(value)}`" for value in arguments)
    if origin is tuple:
        kind = "whole numbers" if arguments[0] is int else "tables" if _is_model(arguments[0]) else "text"
        return f"list of {kind}"
    if annotation in _NUMBERS:
        return _NUMBERS[annotation] + _limits(metadata)
    return _NAMED.get(getattr(annotation, "__name__", ""), "table")


_NUMBERS = {float: "number", int: "whole number"}
_NAMED = {
    "str": "text",
    "bool": "true or false",
    "EarlyStopping": "true, false or table",
    "Sampler": "text or table",
}
_LIMITS = {Ge: ("ge", "from"), Gt: ("gt", "above"), Le: ("le", "to"), Lt: ("lt", "below")}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _limits(metadata: list[Any]) -> str:
    known = [(*_LIMITS[type(each)], each) for each in metadata if type(each) in _LIMITS]
    told = [f"{word} {getattr(each, name):g}" for name, word, each in known]
    return ", " + " ".join(told) if told else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"{value!r}"


def _summary(model: type) -> str:
    return _plain((inspect.getdoc(model) or "").partition("\n\n")[0])


def _meanings(model: type) -> dict[str, str]:
    """What the model's docstring says of each of its fields."""
    _, _, listed = re.split(r"\n\n((?:Attributes|Args):\n)", inspect.getdoc(model) or "", maxsplit=1)
    entries = re.split(r"\n {4}(?=\w+: )", "\n" + listed.partition("\n\n")[0])
    return {key: _plain(text) for key, _, text in (entry.partition(": ") for entry in entries if entry)}


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
