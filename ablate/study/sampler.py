"""Samplers: Optuna's, by their names, with the arguments that a study file gives them; and two of our own.

A proposal follows from the finished generations alone, in any process. Samplers that look at nothing but finished
trials are shown these. The others carry a state from one proposal to the next (CMA-ES its covariance, quasi-Monte Carlo
its place in the sequence): for them the search is played again from its first generation, which gives the same state.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ablate.distribution import to_distribution
from ablate.domain import Domain, Scalar
from ablate.store.slot import Past
from ablate.study.wording import nearest

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study

LATIN = "latin"  # ours: covers the space evenly, whatever the scores
POSTERIOR = "posterior"  # ours: see ``thompson``
_OURS = (LATIN, POSTERIOR)
_SEES_TRIALS_ONLY = frozenset({"tpe", "gp", "random", "bruteforce"})
_DEFAULTS: Mapping[str, Any] = {  # for those that have them; we start each search ourselves
    "n_startup_trials": 0,
    "multivariate": True,
    "warn_independent_sampling": False,
    "warn_asynchronous_seeding": False,
}


@dataclass(frozen=True)
class Sampler:
    """A sampler and its arguments.

    Attributes:
        name: ``posterior``, ``latin``, or one of Optuna's in lower case without "Sampler", such as ``tpe`` and ``gp``.
        arguments: of the constructor of Optuna's class.
    """

    name: str = POSTERIOR
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_state(self) -> bool:
        """Whether it carries more from one proposal to the next than the finished trials."""
        return self.name not in _SEES_TRIALS_ONLY

    def document(self) -> str | dict[str, Any]:
        """As a study file writes it."""
        return {"name": self.name, **self.arguments} if self.arguments else self.name

    def built(self, seed: int) -> "BaseSampler":
        """Optuna's sampler of this name.

        Raises:
            ValueError: it cannot be made with these arguments, or needs a package that is not installed.
        """
        parameters = inspect.signature(_optuna_class(self.name).__init__).parameters
        given = {key: value for key, value in _DEFAULTS.items() if key in parameters} | dict(self.arguments)
        with _quiet():
            try:
                sampler: BaseSampler = _optuna_class(self.name)(**given, seed=seed % 2**32)
            except ImportError as error:
                raise ValueError(f"{self.name} needs a package that is not installed: {error}") from error
            except (TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"{self.name} cannot be made with {dict(self.arguments)}: {error}") from error
        return sampler


def parse_sampler(given: object) -> Sampler:
    """What a study file writes: a name, or a table with the name and arguments.

    Raises:
        ValueError: no such sampler or argument, with the nearest name, or one that cannot be made so.
    """
    if isinstance(given, Sampler):
        return given
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise ValueError("expected the name of a sampler, or a table { name = ..., argument = ... }")
    name = table["name"].removesuffix("Sampler").lower()
    arguments = {str(key): value for key, value in table.items() if key != "name"}
    if name in (*_OURS, "tpe") and not arguments:
        return Sampler(name)  # the usual ones without the half second of importing Optuna
    if name in _OURS:
        raise ValueError(f"{min(arguments)}: {name} takes no arguments")
    if name not in (names := sampler_names()):
        raise ValueError(f"no sampler {table['name']!r}{nearest(name, names)}")
    _check_arguments(name, arguments)
    sampler = Sampler(name, arguments)
    sampler.built(0)
    return sampler


def sampler_names() -> list[str]:
    """Every sampler that a study file may name."""
    from optuna import samplers  # noqa: PLC0415  (0.5 s that reading a spec need not wait for)

    classes = [name for name in samplers.__all__ if name.endswith("Sampler") and not name.startswith("Base")]
    return [*_OURS, *(name.removesuffix("Sampler").lower() for name in classes)]


def ask(
    sampler: Sampler,
    searched: Mapping[str, Domain],
    history: Sequence[Past],
    diverged: Sequence[Mapping[str, Any]] = (),
    *,
    select: str,
    n_before: int,
    n_started: int,
    place: int,
    seed: int,
) -> dict[str, Scalar]:
    """What ``sampler`` proposes for trial ``place`` of a generation, given what finished before it.

    Args:
        sampler: one of Optuna's.
        searched: domains.
        history: finished trials of earlier generations.
        diverged: params of those whose training diverged; a sampler that carries a state is told that they failed.
        select: the score that is maximised.
        n_before: trials of earlier generations, finished or not.
        n_started: of these, the first ones, which the sampler did not propose.
        place: from 0; the sampler is asked for those before it too, so that it keeps them apart.
        seed: for a sampler that carries a state the same in the whole search.
    """
    import optuna  # noqa: PLC0415

    distributions = {name: to_distribution(domain) for name, domain in searched.items()}
    with _quiet():
        study = optuna.create_study(direction="maximize", sampler=sampler.built(seed))
        for each in history:
            if each.index < n_started or not sampler.has_state:
                study.add_trial(_finished(each, searched, distributions, select))
        for params in () if sampler.has_state else diverged:
            study.add_trial(_cut_short(params, searched, distributions))
        if sampler.has_state:
            past = {each.index: each for each in history}
            for index in range(n_started, n_before):
                _play(study, distributions, past.get(index), select)
        for _ in range(place):
            study.ask(distributions)
        return dict(study.ask(distributions).params)


def _play(study: "Study", distributions: Mapping[str, Any], past: Past | None, select: str) -> None:
    """Ask for a trial of before again, and tell how it ended."""
    from optuna.trial import TrialState  # noqa: PLC0415

    trial = study.ask(dict(distributions))
    if past is None:
        study.tell(trial, state=TrialState.FAIL)
    elif past.stopped_epoch is None:
        study.tell(trial, past.scores[select])
    else:
        trial.report(past.scores[select], past.stopped_epoch)
        study.tell(trial, state=TrialState.PRUNED)


def _finished(past: Past, searched: Mapping[str, Domain], distributions: Mapping[str, Any], select: str) -> Any:
    """A trial of before as Optuna keeps it; stopped early, it counts as worse than all that were not."""
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    values: dict[str, Any] = {"value": past.scores[select]}
    if past.stopped_epoch is not None:
        values = {"state": TrialState.PRUNED, "intermediate_values": {past.stopped_epoch: past.scores[select]}}
    params = {name: past.params[name] for name in searched}
    return create_trial(params=params, distributions=dict(distributions), **values)


def _cut_short(params: Mapping[str, Any], searched: Mapping[str, Domain], distributions: Mapping[str, Any]) -> Any:
    """A trial that diverged as Optuna keeps it: ended without any score, which it ranks below all others."""
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    searched_params = {name: params[name] for name in searched}
    return create_trial(params=searched_params, distributions=dict(distributions), state=TrialState.PRUNED)


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    names = [key for key in inspect.signature(_optuna_class(name).__init__).parameters if key not in ("self", "seed")]
    for key in arguments:
        if key == "seed":
            raise ValueError("seed: comes from the study's own seed; remove it")
        if key not in names:
            raise ValueError(f"{name} has no argument {key!r}{nearest(key, names)}")


def _optuna_class(name: str) -> Any:
    from optuna import samplers  # noqa: PLC0415

    return next(getattr(samplers, each) for each in samplers.__all__ if each.removesuffix("Sampler").lower() == name)


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna  # noqa: PLC0415

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
