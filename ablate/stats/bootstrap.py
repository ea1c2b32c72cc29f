"""Crossed Bayesian bootstrap: blocks and patients get random weights at once, and every class stays present."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ablate.errors import DataError, SpecError
from ablate.stats.metrics import METRICS
from ablate.stats.weighted_score import Ranking


@dataclass(frozen=True)
class Draws:
    """Scores under random weights.

    Attributes:
        block_weights: sum to 1 in each draw.
        scores: by metric and arm, the score of each block under the draw's patient weights.
    """

    block_weights: Float[np.ndarray, "draw block"]
    scores: Mapping[str, Mapping[str, Float[np.ndarray, "draw block"]]]

    def differences(self, metric: str, weights: Mapping[str, float]) -> Float[np.ndarray, "draw block"]:
        """The weighted combination of arms, for each draw and block."""
        by_arm = self.scores[metric]
        return np.asarray(np.sum([weight * by_arm[arm] for arm, weight in weights.items()], axis=0))

    def mean(self, differences: Float[np.ndarray, "draw block"]) -> Float[np.ndarray, "draw"]:
        """Average over blocks under the draw's block weights."""
        return np.asarray((self.block_weights * differences).sum(axis=1))


def crossed_bootstrap(
    arms: Mapping[str, Sequence[Ranking]],
    patients: Int[np.ndarray, "record"],
    *,
    n_draws: int = 2000,
    seed: int = 0,
) -> Draws:
    """Score all arms and blocks under exponential weights on patients, drawn together with weights on blocks.

    Drawing patients with replacement would lose rare classes in nine draws of ten; weights keep every record.

    Args:
        arms: the ranked predictions of each arm, one for each block, all over the same records.

    Raises:
        SpecError: no arm, no block, or arms with different numbers of blocks.
        DataError: patients do not fit the records.

    Source:
        Rubin 1981, Ann. Stat. 9:130; weights on both ways of a crossed table as Owen and Eckles 2012, Ann. Appl. Stat.
        6:895.
    """
    n_blocks = {len(rankings) for rankings in arms.values()}
    if len(n_blocks) != 1 or n_blocks == {0}:
        raise SpecError(f"blocks of the arms: {sorted(n_blocks)}; expected one number, at least 1, for every arm")
    rng = np.random.default_rng(seed)
    distinct, patient = np.unique(patients, return_inverse=True)
    record_weights = rng.standard_exponential((n_draws, len(distinct)))[:, patient]
    block_weights = rng.standard_exponential((n_draws, n_blocks.pop()))
    scores: dict[str, dict[str, Float[np.ndarray, "draw block"]]] = {metric: {} for metric in METRICS}
    for arm, rankings in arms.items():
        if any(ranking.n_records != len(patients) for ranking in rankings):
            raise DataError(f"arm {arm}: predictions are not over the {len(patients)} records that patients names")
        by_block = [ranking.macro(record_weights) for ranking in rankings]
        for metric in METRICS:
            scores[metric][arm] = np.stack([block[metric] for block in by_block], axis=1)
    return Draws(block_weights / block_weights.sum(axis=1, keepdims=True), scores)
