"""The spec: a question, what is searched, what is compared, and how much may be spent.

A frozen model that knows every key; ``file`` reads it from TOML and words its errors.
"""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from ablate import digest
from ablate.domain import Domain, Scalar, is_number
from ablate.ecg.form import Form
from ablate.ecg.public_set import PUBLIC_SETS
from ablate.ecg.record_table import Columns
from ablate.ecg.source import DURATION_S, LEADS, LEAST_HZ, MOST_HZ
from ablate.ecg.task import OWN_TASK, TASKS
from ablate.ecg.view import View, parse_leads
from ablate.model.catalogue import EncoderSpec
from ablate.study.design import Design
from ablate.study.inference import Inference
from ablate.study.routine import RoutineSpec
from ablate.study.sampler import LATIN, Sampler, parse_sampler
from ablate.study.space import POST_TRAINING, Domains, HyperParameters
from ablate.study.subject import OF_ROUTINE, SUBJECT_KEYS, ArmSubject, Subject, moved
from ablate.study.wording import nearest
from ablate.train.early_stopping import EarlyStopping, given


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class ExternalSpec(_Frozen):
    """Records of another collection, of which nothing is learned.

    Attributes:
        source: ``table``, or a public set by its name.
        folder: where it lies.
        table: file with a line for each record, within the folder; with ``source = "table"``.
        columns: what its columns are called.
        form: what its records are, and what may be done to them.
        mapping: CSV file with columns ``statement`` and ``class``, by which its labels become classes of the study.
    """

    source: Literal["table", "cinc2021", "code15", "mimic_iv_ecg"]
    folder: str
    table: str | None = None
    columns: Columns = Columns()
    form: Form = Form()
    mapping: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "ExternalSpec":
        problems = [f"form.{complaint}" for complaint in self.form.complaints()]
        if (self.table is None) == (self.source == "table"):
            problems.append("table: belongs to source = 'table', and is needed there, such as table = 'records.csv'")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class DataSpec(_Frozen):
    """Which records and labels.

    Attributes:
        source: ``synthetic``, a simulated cohort that needs no files; ``ptbxl``; ``table``, your own records; or a
            public set in the folder of ``--data``, ``cinc2021``, ``code15`` or ``mimic_iv_ecg``.
        task: which statements are labels: all, diagnostic, subdiagnostic, superdiagnostic, form or rhythm; all
            sources but the first two have their own, ``labels``.
        fs_hz: samples a second of the prepared arrays, 25 to 1000; files of another rate are resampled.
        preprocessing: ``none``, or ``ecgfounder`` for that encoder's filters; each lead is scaled either way.
        leads: which leads the encoder gets, in this order, as a list or a text; all twelve where left out.
        window_s: seconds that the encoder takes at once; the whole record where left out. Training takes a window
            anywhere in a record, evaluation means over windows that cover it.
        n_records: size of the synthetic cohort; only and always with ``source = "synthetic"``.
        seed: of the synthetic cohort; of the folds where a table has none.
        skip_damaged: leave out records that are damaged, and count them in the report; otherwise they are an error.
        table: CSV or parquet file with a line for each record, in the folder of ``--data`` or the working folder.
        columns: what its columns are called.
        form: what its records are, and what may be done to bring them to ten seconds of twelve leads.
        mapping: CSV file with columns ``statement`` and ``class``, by which labels are joined to classes.
        external: records of another collection, scored once after the seal and told in a section of their own.
    """

    source: Literal["synthetic", "ptbxl", "table", "cinc2021", "code15", "mimic_iv_ecg"]
    task: str
    fs_hz: int = Field(default=100, ge=LEAST_HZ, le=MOST_HZ)
    preprocessing: Literal["none", "ecgfounder"] = "none"
    leads: Annotated[tuple[str, ...], BeforeValidator(parse_leads)] = LEADS
    window_s: float | None = Field(default=None, ge=0.5, le=DURATION_S, strict=False)
    n_records: int | None = Field(default=None, ge=200, le=100_000)
    seed: int = Field(default=1, ge=0)
    skip_damaged: bool = False
    table: str | None = None
    columns: Columns = Columns()
    form: Form = Form()
    mapping: str | None = None
    external: ExternalSpec | None = None

    def has_labels_of(self, other: "DataSpec") -> bool:
        """Whether both name the same test labels, whatever else is done to the records."""
        mine, theirs = (
            (one.source, one.task, one.n_records, one.seed, one.table, one.columns, one.mapping)
            for one in (self, other)
        )
        return mine == theirs

    @model_serializer(mode="wrap")
    def _document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is usual as before there was any of it: a study that the store holds keeps its digest."""
        document: dict[str, Any] = handler(self)
        document["leads"] = list(self.leads)
        usual = {
            "skip_damaged": False,
            "table": None,
            "columns": Columns(),
            "form": Form(),
            "mapping": None,
            "external": None,
            "leads": LEADS,
            "window_s": None,
        }
        return {name: value for name, value in document.items()
                if name not in usual or getattr(self, name) != usual[name]}  # fmt: skip

    @property
    def view(self) -> View:
        """What decides the prepared arrays beside the records themselves."""
        return View(self.fs_hz, self.preprocessing, self.leads)

    @property
    def n_samples(self) -> int:
        """Samples that an encoder gets at once."""
        return round(self.fs_hz * (self.window_s or DURATION_S))

    @model_validator(mode="before")
    @classmethod
    def _with_own_task(cls, raw: Any) -> Any:
        """Records with labels of their own have one task, which need not be written."""
        if isinstance(raw, dict) and raw.get("source") in LISTED and "task" not in raw:
            return {**raw, "task": OWN_TASK}
        return raw

    @model_validator(mode="after")
    def _check(self) -> "DataSpec":
        problems = []
        tasks = (OWN_TASK,) if self.source in LISTED else TASKS
        if self.task not in tasks:
            problems.append(f"task: {self.task!r} is unknown; there are: {', '.join(tasks)}")
        if (self.n_records is None) == (self.source == "synthetic"):
            problems.append("n_records: belongs to source = 'synthetic', and is needed there")
        if (self.table is None) == (self.source == "table"):
            problems.append("table: belongs to source = 'table', and is needed there, such as table = 'records.csv'")
        if self.source != "table" and self.columns != Columns():
            problems.append("columns: belongs to source = 'table'")
        if self.source not in LISTED:
            problems += [f"{key}: belongs to records of your own" for key in ("form", "mapping")
                      if getattr(self, key) != DataSpec.model_fields[key].default]  # fmt: skip
        problems += [f"form.{complaint}" for complaint in self.form.complaints()]
        if problems:
            raise ValueError("\n".join(problems))
        return self


LISTED = ("table", *PUBLIC_SETS)  # sources whose records are listed, with labels of their own


def _trials(value: object) -> object:
    """What a study file may write: a number from 0, or a table that says until when."""
    if isinstance(value, Mapping):
        return SearchTrials.model_validate(dict(value))
    if isinstance(value, SearchTrials):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10_000:
        raise ValueError(f"{value!r} is no number of trials; expected 0 to 10000, or {{first, most, until}}")
    return value


class SearchTrials(_Frozen):
    """A search that goes on, one generation after another, until it is settled.

    Attributes:
        first: trials before anybody looks.
        most: trials at which it ends unsettled, which every result then says.
        until: settled is a search whose expected remaining gain is below a quarter of the margin.
    """

    first: int = Field(default=8, ge=4, le=10_000)
    most: int = Field(default=64, ge=4, le=10_000)
    until: Literal["settled"]

    @model_validator(mode="after")
    def _check(self) -> "SearchTrials":
        if self.first > self.most:
            raise ValueError(f"first: {self.first} is above most, {self.most}")
        return self


class Budget(_Frozen):
    """How many trials: ``search_trials`` for each arm and context, then ``replicates`` paired blocks.

    Attributes:
        search_trials: for each tuned arm in each context, a number or the rule by which a search ends; 0 takes the
            usual params instead of a search.
        searches: independent searches for each arm and context. The blocks are dealt out among them, so that the
            verdict is about the recipe with its tuning, not about the params that one search happened to choose.
        replicates: blocks of the confirmation, each one seed shared by all arms; 0 leaves the test fold closed.
        generation: search trials of one arm that are proposed from the same knowledge. A later generation waits for the
            earlier one, so proposals do not depend on how many workers there are.
        max_attempts: how often a slot that fails for its own fault is tried.
        updates_ratio: how many times the updates of another arm an arm may get before ``ablate plan`` warns.
    """

    search_trials: Annotated[int | SearchTrials, BeforeValidator(_trials)] = 0
    searches: int = Field(default=1, ge=1, le=100)
    replicates: int = Field(default=0, ge=0, le=1_000)
    generation: int = Field(default=4, ge=1)
    max_attempts: int = Field(default=3, ge=1, le=10)
    updates_ratio: float = Field(default=4.0, ge=1, strict=False)

    @property
    def first_trials(self) -> int:
        """Trials of each search that are planned at once."""
        return self.search_trials if isinstance(self.search_trials, int) else self.search_trials.first

    @property
    def most_trials(self) -> int:
        """Trials of each search at most."""
        return self.search_trials if isinstance(self.search_trials, int) else self.search_trials.most

    @property
    def is_until_settled(self) -> bool:
        """Whether a search ends by what it has found."""
        return isinstance(self.search_trials, SearchTrials)

    @model_validator(mode="after")
    def _check(self) -> "Budget":
        if self.searches > 1 and self.replicates and self.searches > self.replicates:
            raise ValueError(
                f"searches: {self.searches} searches need as many blocks at least; replicates = {self.replicates}"
            )
        if self.searches > 1 and not self.most_trials:
            raise ValueError(f"searches: {self.searches} searches without a trial; set search_trials")
        return self

    @model_serializer(mode="wrap")
    def _document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is usual as before there was any: a study that the store holds keeps its digest."""
        document: dict[str, Any] = handler(self)
        usual = {"searches": 1, "updates_ratio": 4.0}
        return {key: value for key, value in document.items() if value != usual.get(key)}


class Start(_Frozen):
    """Params that are known to be good, tried first; what they leave out has its usual start value.

    Attributes:
        params: value of each; those that an arm does not search are passed over.
        arms: whose search starts so; all where left out, each with those of the params that it searches.
    """

    params: dict[str, Scalar]
    arms: tuple[str, ...] | None = Field(default=None, strict=False)


class Search(_Frozen):
    """How trials are proposed: ``latin`` covers the space evenly, others maximise the selection objective.

    Attributes:
        sampler: ``posterior``, ``latin``, or any of Optuna's by its name, such as ``tpe``, as a table with arguments.
        start: params to begin with.
        early_stopping: ``true`` or a table ends trials that fall behind earlier ones of their arm and context; never
            in the confirmation.
    """

    sampler: Annotated[Sampler, BeforeValidator(parse_sampler), PlainSerializer(Sampler.document)] = Sampler()
    start: tuple[Start, ...] = Field(default=(), strict=False)
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(given)] = None

    @model_serializer(mode="wrap")
    def _document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is left out as before there was any: a study that the store holds keeps its digest."""
        document: dict[str, Any] = handler(self)
        return {key: value for key, value in document.items() if key == "sampler" or value}


class Objectives(_Frozen):
    """What an arm's params are chosen by.

    Attributes:
        select: the validation score that is maximised.
    """

    select: Literal["val_auroc", "val_auprc"] = "val_auroc"


class ContrastSpec(_Frozen):
    """A declared comparison: ``arm`` minus ``baseline``, or a weighted ``combination`` of arms.

    Attributes:
        name: by which the report calls it.
        arm: what is expected to be better; with ``baseline``, instead of ``combination``.
        baseline: what it is compared with.
        combination: weight of each arm; they sum to 0. Such as an interaction, (both - first) - (second - neither).
    """

    name: str
    arm: str | None = None
    baseline: str | None = None
    combination: dict[str, float] | None = None

    def weights(self) -> dict[str, float]:
        """Weight of each arm; they sum to zero."""
        if self.combination is not None:
            return dict(self.combination)
        return {str(self.arm): 1.0, str(self.baseline): -1.0}

    @model_validator(mode="after")
    def _check(self) -> "ContrastSpec":
        pair = self.arm is not None and self.baseline is not None
        if pair == (self.combination is not None) or (self.arm is None) != (self.baseline is None):
            raise ValueError("give either arm and baseline, or combination = {arm = weight, …}")
        if abs(sum(self.weights().values())) > 1e-9:
            raise ValueError("the weights of a combination must sum to 0")
        if pair and self.arm == self.baseline:
            raise ValueError(f"arm and baseline are both {self.arm!r}")
        return self


class Margin(_Frozen):
    """Differences smaller than these count as equivalent.

    Attributes:
        auroc: of the macro AUROC.
        auprc: of the macro AUPRC.
    """

    auroc: float = Field(default=0.005, gt=0, lt=0.5)
    auprc: float = Field(default=0.01, gt=0, lt=0.5)


class Spec(_Frozen):
    """One study, checked.

    Attributes:
        name: of the study; a file's is its file name, with a mark behind ``@`` where ``--set`` changes it.
        question: what it asks, for people.
        notes: what it needs, costs and shows, for people.
        seed: from which every other seed of the study follows.
        keep: ``best`` keeps the weights of each confirmed trial's chosen epoch in the store, for `ablate export`;
            ``none`` keeps no weights. `ablate plan` says what they take.
        routine: a function of your own that trains, instead of post-training.
        data: which records and labels.
        encoder: what is post-trained; not with a routine of your own.
        fixed: hyper-parameters with one value in every trial; what is named nowhere has its default.
        space: hyper-parameters that are searched, and within which limits.
        arms: by name, restrictions of the space that are tuned and compared; the first is the baseline.
        design: generates arms and contrasts; instead of ``arms``.
        context: hyper-parameters with a list of values, each of which is crossed with every arm.
        budget: how many trials.
        search: how trials are proposed.
        objectives: what an arm's params are chosen by.
        contrasts: declared comparisons; where there are none, every other arm minus the first.
        margin: what counts as equivalent.
        claims: a paper whose stated improvements the report sets beside this study's, for a study that asks its
            question.
        inference: how often the study may err, in which order it asks, and when it looks.
        titles: of arms and components, as people name them; a study file writes each as ``title`` beside what the arm
            or component is.
        subjects: what each arm trains otherwise than ``data`` and ``encoder`` say; a study file has it in the arm.
    """

    name: str
    question: str
    notes: str = ""
    seed: int = Field(default=0, ge=0)
    keep: Literal["none", "best"] = "none"
    routine: RoutineSpec | None = None  # before all that names hyper-parameters
    data: DataSpec
    encoder: EncoderSpec | None
    fixed: Domains = Field(default_factory=dict)
    space: Domains
    arms: dict[str, Domains] = Field(default_factory=dict)
    design: Design | None = None
    context: dict[str, Annotated[tuple[Scalar, ...], Field(strict=False)]] = Field(default_factory=dict)
    budget: Budget
    search: Search = Search()
    objectives: Objectives = Objectives()
    contrasts: tuple[ContrastSpec, ...] = Field(default=(), strict=False)
    margin: Margin = Margin()
    claims: Literal["arxiv-2509.12991"] | None = None
    titles: dict[str, str] = Field(default_factory=dict)
    subjects: dict[str, ArmSubject] = Field(default_factory=dict)
    inference: Inference = Inference()

    @model_serializer(mode="wrap")
    def _document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is usual as before it could be declared: a study that the store holds keeps its digest."""
        document: dict[str, Any] = handler(self)
        document["subjects"] = {arm: own.given() for arm, own in self.subjects.items()}
        usual = {
            "inference": self.inference == Inference(),
            "subjects": not self.subjects,
            "keep": self.keep == "none",
            "routine": self.routine is None,
            "encoder": self.encoder is None,
        }
        return {key: value for key, value in document.items() if not usual.get(key)}

    @property
    def hyper_parameters(self) -> HyperParameters:
        """What the study's routine can be told."""
        return POST_TRAINING if self.routine is None else self.routine.hyper_parameters

    def subject(self, arm: str, context: Mapping[str, Any]) -> Subject:
        """What ``arm`` trains in ``context``: which encoder, and how it sees the records."""
        own = self.subjects.get(arm, ArmSubject()).given()
        here = {name: value for name, value in context.items() if name in SUBJECT_KEYS}
        return Subject(self.data, self.encoder).with_changes(own | here)

    def all_subjects(self) -> dict[Subject, str]:
        """Every different subject of the study, with the arm and context that has it first."""
        places: dict[Subject, str] = {}
        for arm, context in product(self.arms, self.contexts()):
            where = ", ".join(f"{name} = {value}" for name, value in context.items() if name in SUBJECT_KEYS)
            places.setdefault(self.subject(arm, context), f"arms.{arm}" + (f" with {where}" if where else ""))
        return places

    def point(self, arm: str, name: str) -> Scalar | None:
        """The one value that a hyper-parameter has in ``arm``; None where it is searched or crossed."""
        domain = {**self.fixed, **self.arm_space(arm)}.get(name)
        if name in self.context:
            return self.context[name][0] if len(self.context[name]) == 1 else None
        value: Scalar | None = self.hyper_parameters.usual[name] if domain is None else domain.point
        return value

    def most(self, arm: str, name: str) -> float:
        """The largest value that a number has in any trial of ``arm``."""
        domain = {**self.fixed, **self.arm_space(arm)}.get(name)
        usual = self.hyper_parameters.usual
        values = self.context.get(name) or ((usual[name],) if domain is None else domain.extremes)
        return max(float(value) for value in values)

    def contexts(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of the context's values, as declared."""
        for values in product(*self.context.values()):
            yield dict(zip(self.context, values, strict=True))

    def arm_space(self, arm: str) -> dict[str, Domain]:
        """What the sampler may choose from in ``arm``, fixed values of the arm included."""
        return self.hyper_parameters.restrict(self.space, self.arms[arm])

    def starts(self, arm: str) -> list[dict[str, Scalar]]:
        """Params with which the search of ``arm`` begins, by what it searches."""
        searched = {name: domain for name, domain in self.arm_space(arm).items() if domain.point is None}
        return [
            {name: searched[name].typed(value) if is_number(value) else value  # type: ignore[arg-type]
             for name, value in start.params.items() if name in searched}
            for start in self.search.start
            if start.arms is None or arm in start.arms
        ]  # fmt: skip

    def document(self) -> dict[str, Any]:
        """As stored: plain JSON values, every default written out."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Digest of everything that decides results or verdicts; prose may be mended later."""
        prose = {"question", "notes", "claims", "titles"}
        return digest.of_json({key: value for key, value in self.document().items() if key not in prose})

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Spec":
        """The spec that the store holds."""
        generated = {"arms"} if document.get("design") else set()
        return cls.model_validate({key: value for key, value in document.items() if key not in generated})

    def ft_epochs(self, arm: str, context: Mapping[str, Any]) -> int | None:
        """Epochs of fine-tuning of every trial of ``arm`` in ``context``; None where they are searched."""
        domain = {**self.fixed, **self.arm_space(arm)}.get("ft_epochs")
        value = context.get("ft_epochs", POST_TRAINING.usual["ft_epochs"] if domain is None else domain.point)
        return None if value is None else int(value)

    def title(self, arm: str) -> str:
        """The arm as people name it: its own title, or those of the components that are on."""
        parts = self.design.components_of(arm) if self.design else ()
        return " ".join(f"+ {self.titles.get(name, name)}" for name in parts) or self.titles.get(arm, arm)

    def most_ft_epochs(self, arm: str, context: Mapping[str, Any]) -> int:
        """Epochs of fine-tuning of the longest trial of ``arm`` in ``context``."""
        fixed = self.ft_epochs(arm, context)
        return int(max(self.arm_space(arm)["ft_epochs"].extremes)) if fixed is None else fixed

    def tuned_arms(self) -> list[str]:
        """Arms that have a search of their own; the steps of an ablation path take theirs from its two ends."""
        return list(self.design.endpoints() if self.design and self.design.kind == "path" else self.arms)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        raw = _with_titles(raw)
        if "routine" in raw:
            raw = {"encoder": None, **raw}  # which it has not got, and need not say
        if isinstance(raw.get("arms"), Mapping):
            arms, subjects = moved(raw["arms"], raw.get("subjects", {}))
            raw = {**raw, "arms": arms, **({"subjects": subjects} if subjects else {})}
        if "design" not in raw or not isinstance(raw["design"], dict):
            return raw
        if "arms" in raw:
            raise ValueError("design: generates the arms; write either [arms] or [design]")
        design = _design(raw["design"], raw.get("routine"))
        arms, contrasts = design.expand()
        return {"contrasts": contrasts, **raw, "design": design, "arms": arms}

    @model_validator(mode="after")
    def _check(self) -> "Spec":
        problems = []
        for check in _CHECKS:
            try:
                check(self)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        if not self.contrasts and len(self.arms) > 1:
            baseline, *others = self.arms
            pairs = tuple(ContrastSpec(name=f"{arm} - {baseline}", arm=arm, baseline=baseline) for arm in others)
            object.__setattr__(self, "contrasts", pairs)  # the one default that depends on other keys
        self.inference.check_against([contrast.name for contrast in self.contrasts], self.budget.replicates)
        return self


def _design(given: Mapping[str, Any], routine: Any) -> Design:
    """The design, which must be read before the arms that it makes, and its routine before both; their errors say
    where in the study they are.
    """
    own = None
    if routine is not None:
        with _errors_of("routine"):
            own = RoutineSpec.model_validate(routine)
    with _errors_of("design"):
        return Design.model_validate(given, strict=False, context={"routine": own})


@contextlib.contextmanager
def _errors_of(key: str) -> Iterator[None]:
    """Let the errors of a table that is read before the others say that they are of ``key``."""
    try:
        yield
    except ValidationError as error:
        details = [
            InitErrorDetails(type=each["type"], loc=(key, *each["loc"]), input=each["input"], ctx=each.get("ctx") or {})
            for each in error.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data(key, details) from error


def _with_titles(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Titles in one place, away from the domains of arms and components."""
    titles, moved = dict(raw.get("titles", {})), dict(raw)
    design = raw.get("design")
    if isinstance(design, Mapping) and isinstance(design.get("components"), Mapping):
        moved["design"] = {**design, "components": _without_titles("design.components", design["components"], titles)}
    if isinstance(raw.get("arms"), Mapping):
        moved["arms"] = _without_titles("arms", raw["arms"], titles)
    return {**moved, "titles": titles} if titles else moved


def _without_titles(place: str, tables: Mapping[str, Any], titles: dict[str, str]) -> dict[str, Any]:
    plain = {}
    for name, table in tables.items():
        plain[name] = table
        if isinstance(table, Mapping) and "title" in table:
            if not isinstance(table["title"], str) or not table["title"].strip():
                raise ValueError(f"{place}.{name}.title: {table['title']!r}; expected a few words")
            titles[name] = table["title"]
            plain[name] = {key: value for key, value in table.items() if key != "title"}
    return plain


def _check_space(spec: Spec) -> None:
    if not spec.space:
        raise ValueError("space: is empty; name at least one hyper-parameter to search, such as drop_path_rate")
    twice = set(spec.space) & set(spec.fixed)
    if twice:
        raise ValueError(f"fixed.{min(twice)}: is in [space] too; keep one of them")
    for name, domain in spec.fixed.items():
        if domain.point is None:
            raise ValueError(f"fixed.{name}: has several values, {domain}; give one, or move it to [space]")
    if "val_fraction" in spec.space:
        raise ValueError(
            "space.val_fraction: scores on unlike validation records cannot be compared; give one value in [fixed]"
        )
    if "data_fraction" in spec.space and (spec.search.sampler.name != LATIN or spec.budget.replicates):
        raise ValueError(
            "space.data_fraction: may be covered but not maximised over; "
            "set search.sampler = 'latin' and budget.replicates = 0, or move it to [context]"
        )


def _check_arms(spec: Spec) -> None:
    if not spec.arms:
        raise ValueError("arms: there is none; write at least one, such as [arms.all]")
    for arm, domains in spec.arms.items():
        if not arm.replace("_", "").replace("+", "").replace("-", "").isalnum():
            raise ValueError(f"arms.{arm}: a name has letters, digits, _, + and - only")
        for name, domain in domains.items():
            if name not in spec.space:
                raise ValueError(f"arms.{arm}.{name}: is not in [space]; an arm restricts the space, so add it there")
            if not domain.is_within(spec.space[name]):
                raise ValueError(f"arms.{arm}.{name}: {domain} is outside the space, {spec.space[name]}")


def _check_context(spec: Spec) -> None:
    for name, values in spec.context.items():
        if name in spec.space or name in spec.fixed:
            raise ValueError(f"context.{name}: is in [space] or [fixed] too; keep one of them")
        if not values or len(set(values)) != len(values):
            raise ValueError(f"context.{name}: expected a list of one or more different values")
        if name in SUBJECT_KEYS:
            _check_subject_factor(spec, name, values)
            continue
        domain = spec.hyper_parameters.domain(name)
        for value in values:
            if value not in domain:
                raise ValueError(f"context.{name}: {value!r} is outside what {name} may be: {domain}")


def _check_routine(spec: Spec) -> None:
    """What belongs to post-training is refused beside a routine of the user's own, all of it."""
    if spec.routine is None:
        return
    has = {
        "encoder": spec.encoder is not None,
        "keep": spec.keep != "none",
        "data.window_s": spec.data.window_s is not None,
        "search.early_stopping": spec.search.early_stopping is not None,
        "claims": spec.claims is not None,
        **{f"arms.{arm}.{key}": True for arm, own in spec.subjects.items() for key in own.given() if key in OF_ROUTINE},
        **{f"context.{key}": True for key in spec.context if key in OF_ROUTINE},
    }
    problems = [
        f"{key}: belongs to post-training; a routine of your own has none, remove it" for key, is_given in has.items()
        if is_given
    ]  # fmt: skip
    if problems:
        raise ValueError("\n".join(problems))


def _check_subject_factor(spec: Spec, name: str, values: tuple[Scalar, ...]) -> None:
    for arm, own in spec.subjects.items():
        if name in own.given():
            raise ValueError(f"context.{name}: is in arms.{arm} too; keep one of them")
    for value in values:
        try:
            Subject(spec.data, spec.encoder).with_changes({name: value})
        except ValueError as error:
            raise ValueError(f"context.{name}: {value!r}: {_reason(error)}") from error


def _check_subjects(spec: Spec) -> None:
    for arm, own in spec.subjects.items():
        if arm not in spec.arms:
            raise ValueError(f"subjects.{arm}: no arm {arm!r}{nearest(arm, list(spec.arms))}")
        for name, value in own.given().items():
            try:
                Subject(spec.data, spec.encoder).with_changes({name: value})
            except ValueError as error:
                raise ValueError(f"arms.{arm}.{name}: {value!r}: {_reason(error)}") from error


def _reason(error: ValueError) -> str:
    """What a part of a subject should be, without pydantic's own words around it."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))


def _check_path(spec: Spec) -> None:
    if spec.design is None or spec.design.kind != "path":
        return
    covered = {name for component in spec.design.components.values() for name in component.on}
    if loose := sorted(set(spec.space) - covered):
        raise ValueError(f"space.{loose[0]}: belongs to no component of the path; add it to one, off and on alike")
    if not spec.budget.most_trials:
        raise ValueError("budget.search_trials: is 0, but the ends of an ablation path must be tuned")


def _check_budget(spec: Spec) -> None:
    if not spec.budget.most_trials + spec.budget.replicates:
        raise ValueError("budget: search_trials and replicates are both 0, so there is nothing to do")
    if spec.budget.is_until_settled and "margin" not in spec.model_fields_set:
        raise ValueError(
            "budget.search_trials: until = 'settled' ends a search by the margin, and there is no [margin]; "
            "write it, such as auroc = 0.005"
        )
    if spec.budget.is_until_settled and spec.search.sampler.name == LATIN:
        raise ValueError(
            "budget.search_trials: 'latin' covers the space with a fixed number of trials; "
            "give that number, or take another sampler"
        )


def _check_early_stopping(spec: Spec) -> None:
    early, budget = spec.search.early_stopping, spec.budget
    if early is None:
        return
    if "data_fraction" in spec.space:
        raise ValueError(
            "search.early_stopping: trials on unequal data cannot be compared epoch by epoch; "
            "remove it, or move data_fraction to [context]"
        )
    n_earlier = max(budget.most_trials - 1, 0) // budget.generation * budget.generation
    if n_earlier < early.eta:
        raise ValueError(
            f"search.early_stopping: needs {early.eta} earlier trials (eta), and no trial would have more than "
            f"{n_earlier} with search_trials = {budget.most_trials} and generation = {budget.generation}; "
            "remove it, or search more"
        )
    for arm, values in product(spec.tuned_arms(), product(*spec.context.values())):
        n_epochs = spec.most_ft_epochs(arm, dict(zip(spec.context, values, strict=True)))
        if not early.rungs(n_epochs):
            raise ValueError(
                f"search.early_stopping: first_rung = {early.first_rung} must come before the last epoch of "
                f"fine-tuning, ft_epochs = {n_epochs}"
            )


def _check_starts(spec: Spec) -> None:
    for place, start in enumerate(spec.search.start):
        for arm in start.arms or ():
            if arm not in spec.arms:
                raise ValueError(f"search.start.{place}.arms: no arm {arm!r}{nearest(arm, list(spec.arms))}")
        for name, value in start.params.items():
            if name not in spec.space:
                raise ValueError(
                    f"search.start.{place}.params.{name}: is not in [space]{nearest(name, list(spec.space))}"
                )
            for arm in start.arms or spec.arms:
                domain = spec.arm_space(arm).get(name)
                if domain is not None and value not in domain and (start.arms or domain.point is None):
                    raise ValueError(
                        f"search.start.{place}.params.{name}: {value!r} is outside the space of arm {arm}, {domain}; "
                        "change it, or name the arms that it is meant for in `arms`"
                    )
    n_most = spec.budget.most_trials
    for arm in spec.arms:
        if len(spec.starts(arm)) > n_most:
            raise ValueError(
                f"search.start: {len(spec.starts(arm))} for arm {arm}, but search_trials = {n_most}; "
                "search more, or remove some"
            )


def _check_contrasts(spec: Spec) -> None:
    names = [contrast.name for contrast in spec.contrasts]
    if len(set(names)) != len(names):
        raise ValueError("contrasts: two have the same name")
    for contrast in spec.contrasts:
        for arm in contrast.weights():
            if arm not in spec.arms:
                raise ValueError(f"contrasts.{contrast.name}: no arm {arm!r}{nearest(arm, list(spec.arms))}")


_CHECKS = (
    _check_routine,
    _check_space,
    _check_arms,
    _check_subjects,
    _check_context,
    _check_path,
    _check_budget,
    _check_early_stopping,
    _check_starts,
    _check_contrasts,
)
