"""Which hyper-parameters matter: shares of the objective's variance over the search space, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from jaxtyping import Float
from optuna.importance import PedAnovaImportanceEvaluator

from ablate.distribution import to_distribution
from ablate.domain import Domain, Scalar
from ablate.errors import DataError, SpecError
from ablate.stats.axis import functions, grid
from ablate.stats.surrogate import DesignMatrix, Posterior, design_matrix, effect_variances, refit, sample

MIN_TRIALS = 10
_COUNTS = 0.05  # a smaller share takes no part in the ranking that has to be stable
_NOTHING = 0.001  # an interval that begins below it includes no effect
_STABLE = 0.9  # of the resamples must show the same ranking


@dataclass(frozen=True)
class Share:
    """Share of the variance, 0 to 1: posterior mean and 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The objective along one parameter, averaged over all others, with a 95 % band."""

    values: tuple[Any, ...]
    mean: Float[np.ndarray, "point"]
    low: Float[np.ndarray, "point"]
    high: Float[np.ndarray, "point"]


@dataclass(frozen=True)
class Importances:
    """Functional ANOVA of one objective over one search space.

    Attributes:
        main: each parameter alone; with ``pairs`` they sum to 1.
        pairs: what two parameters do beyond the sum of both.
        explained: share of the trials' variance that main effects and pairs explain; the rest is noise or finer.
        ped_anova: PED-ANOVA, normalised: what gets a trial into the best tenth. It answers another question.
        left_out: parameters without a share, and why.
        stability: share of resampled trials with the same ranking; ``stable`` if 90 % or more; ``statement`` says it.
    """

    n_trials: int
    main: Mapping[str, Share]
    pairs: Mapping[tuple[str, str], Share]
    explained: Share
    ped_anova: Mapping[str, float]
    left_out: Mapping[str, str]
    stability: float
    stable: bool
    statement: str
    curves: Mapping[str, Curve]


def importance(
    params: pd.DataFrame,
    values: Float[np.ndarray, "trial"],
    space: Mapping[str, Domain],
    *,
    n_draws: int = 600,
    n_resamples: int = 100,
    seed: int = 0,
) -> Importances:
    """Shares of ``values``' variance over ``space``, as if every point of it were equally likely.

    One arm and one context at a time: a parameter that only some of the trials have cannot be compared with one that
    all have. Columns without any value belong to other arms and are left out.

    Args:
        params: a row for each finished trial, a column for each parameter.
        values: objective, larger is better.

    Raises:
        SpecError: a parameter has a value outside its range, or only in some of the trials.
        DataError: fewer than 10 trials, values that are not finite, or all the same.

    Source:
        Hutter, Hoos, Leyton-Brown 2014, ICML, for the question; Watanabe et al. 2023, IJCAI, for PED-ANOVA.
    """
    values = np.asarray(values, dtype=float)
    _check(params, values)
    used, left_out = _varying(params, space)
    if not used:
        raise SpecError(
            f"space: none of {', '.join(space) or 'no parameter'} varies among the trials; nothing to attribute"
        )
    of = design_matrix(params, used)
    posterior = sample(of, values, n_draws=n_draws, seed=seed)
    variances = effect_variances(of, posterior.coefficients)
    total = variances.sum(axis=1)
    shares = {effect: _share(variances[:, i] / total) for i, effect in enumerate(of.effects)}
    main = {effect[0]: share for effect, share in shares.items() if len(effect) == 1}
    stability, statement = _stability(of, values, posterior, main, n_resamples=n_resamples, seed=seed)
    return Importances(
        n_trials=len(values),
        main=main,
        pairs={(effect[0], effect[1]): share for effect, share in shares.items() if len(effect) == 2},
        explained=_share(total / (total + posterior.noise_variance)),
        ped_anova=ped_anova(params, values, used),
        left_out=left_out,
        stability=stability,
        stable=stability >= _STABLE,
        statement=statement,
        curves={name: _curve(of, posterior, domain) for name, domain in used.items()},
    )


def ped_anova(
    params: pd.DataFrame, values: Float[np.ndarray, "trial"], space: Mapping[str, Domain]
) -> dict[str, float]:
    """Optuna's PED-ANOVA for getting into the best tenth of the trials, normalised to sum to 1."""
    distributions = {name: to_distribution(domain) for name, domain in space.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: _plain(row[name], space[name]) for name in space},
                    distributions=distributions,
                    value=value,
                )
                for (_, row), value in zip(params.iterrows(), values.tolist(), strict=True)
            ]
        )
        importances = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(importances[name]) for name in space}


def _check(params: pd.DataFrame, values: Float[np.ndarray, "trial"]) -> None:
    if len(params) != len(values):
        raise DataError(f"params: {len(params)} rows for {len(values)} values; expected one row for each trial")
    if len(values) < MIN_TRIALS:
        raise DataError(f"importance: {len(values)} finished trials; expected at least {MIN_TRIALS}")
    if not np.isfinite(values).all():
        raise DataError(
            f"importance: {int((~np.isfinite(values)).sum())} values are not finite; leave failed trials out"
        )
    if np.ptp(values) == 0:
        raise DataError("importance: all trials have the same value; there is no variance to attribute")


def _varying(params: pd.DataFrame, space: Mapping[str, Domain]) -> tuple[dict[str, Domain], dict[str, str]]:
    used, left_out = {}, {}
    for name, domain in space.items():
        missing = len(params) if name not in params else int(params[name].isna().sum())
        if missing == len(params):
            left_out[name] = "no trial has it"
        elif missing:
            raise SpecError(
                f"{name}: {missing} of {len(params)} trials do not have it; ask within an arm where every trial has it"
            )
        elif params[name].nunique() == 1:
            left_out[name] = "the same in all trials"
        else:
            used[name] = domain
    return used, left_out


def _share(draws: Float[np.ndarray, "draw"]) -> Share:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Share(float(draws.mean()), float(low) if low >= _NOTHING else 0.0, float(high))


def _stability(
    of: DesignMatrix,
    values: Float[np.ndarray, "trial"],
    posterior: Posterior,
    main: Mapping[str, Share],
    *,
    n_resamples: int,
    seed: int,
) -> tuple[float, str]:
    """How often the ranking of the parameters that count is the same when trials get random weights."""
    names = sorted((name for name in main if main[name].mean >= _COUNTS), key=lambda name: -main[name].mean)
    names = names or [max(main, key=lambda name: main[name].mean)]
    weights = np.random.default_rng(seed + 1).standard_exponential((n_resamples, len(values)))
    variances = effect_variances(of, refit(of, values, posterior, list(weights)))[:, : len(main)]
    column = [list(main).index(name) for name in names]
    others = np.delete(variances, column, axis=1).max(axis=1, initial=0.0)
    ladder = np.column_stack([variances[:, column], others])
    stability = float((np.diff(ladder, axis=1) <= 0).all(axis=1).mean())
    order = " > ".join(names)
    held = f"{order} held in {100 * stability:.0f} % of {n_resamples} resamples of {len(values)} trials"
    return stability, f"stable: {held}" if stability >= _STABLE else f"not stable: {held}; more trials are needed"


def _curve(of: DesignMatrix, posterior: Posterior, domain: Domain, *, n_points: int = 41) -> Curve:
    points = grid(domain, n_points)
    chosen = of.effect == of.effects.index((domain.name,))
    along = functions(domain, pd.Series(points))
    lines = posterior.intercept[:, None] + posterior.coefficients[:, chosen] @ along.T
    low, high = np.quantile(lines, [0.025, 0.975], axis=0)
    return Curve(tuple(points), lines.mean(axis=0), low, high)


def _plain(value: Any, domain: Domain) -> Scalar:
    """The value as Optuna's distribution wants it, without numpy's types."""
    if domain.choices:
        return next(choice for choice in domain.choices if choice == value)
    return domain.typed(float(value))
