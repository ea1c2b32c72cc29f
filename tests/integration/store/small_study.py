"""Plans and results of small studies."""

from collections.abc import Sequence

from sample_outcome import result, stopped_result

from ablate.store.slot import PlannedSlot
from ablate.study.space import parse_domain

__all__ = ["CONFIRM", "SEARCH", "SPACE", "confirm_slots", "result", "search_slots", "stopped_result"]
SEARCH, CONFIRM = " · search · data_fraction=0.1", " · confirm"  # what Optuna's names add to the study's
SPACE = {
    "ft_lr": parse_domain("ft_lr", {"low": 1e-5, "high": 3e-3, "log": True}),
    "probe_epochs": parse_domain("probe_epochs", {"low": 0, "high": 50}),
    "drop_path_schedule": parse_domain("drop_path_schedule", {"choices": ["linear", "constant"]}),
}


def search_slots(n: int, *, arm: str = "ft", generation_size: int = 1000) -> Sequence[PlannedSlot]:
    return [
        PlannedSlot(
            key=f"search/{arm}/{i}",
            phase="search",
            arm=arm,
            context={"data_fraction": 0.1},
            index=i,
            seed=2**62 + i,
            chain=arm,
            generation=i // generation_size,
            priority=i,
        )
        for i in range(n)
    ]


def confirm_slots(n: int, *, arm: str = "ft") -> Sequence[PlannedSlot]:
    return [
        PlannedSlot(
            key=f"confirm/{arm}/{i}",
            phase="confirm",
            arm=arm,
            context={"data_fraction": 0.1},
            index=i,
            seed=i,
            priority=1000 + i,
        )
        for i in range(n)
    ]
