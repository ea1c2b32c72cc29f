"""How many trainers share a device follows from what was measured, level by level."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ablate.launch.packing import Level, Packing, choose, request_for
from ablate.study.file import load_spec
from ablate.study.spec import Spec

GIB = 2**30


def levels(*paces: int, used: Sequence[float] = (), total: float = 80) -> list[Level]:
    used = used or [2 * (i + 1) for i in range(len(paces))]
    return [
        Level(n_trainers=i + 1, steps_per_s=pace, used_bytes=taken * GIB, total_bytes=total * GIB)
        for i, (pace, taken) in enumerate(zip(paces, used, strict=True))
    ]


@pytest.mark.parametrize(
    ("measured", "n_most", "expected"),
    [
        (levels(100), 8, None),
        (levels(100, 180), 8, None),
        (levels(100, 180, 190), 8, (2, "1.06 times")),
        (levels(100, 90), 8, (1, "0.90 times")),
        (levels(100, 180), 2, (2, "want of cores")),
        (levels(100), 1, (1, "want of cores")),
        (levels(100, used=[45]), 8, (1, "memory")),
        (levels(100, 190, used=[25, 49]), 8, (2, "memory")),
        (levels(100, 190, used=[30, 49]), 8, None),  # the first one's share holds what all of them use
    ],
)
def test_trainers_are_added_until_another_is_not_worth_it(
    measured: list[Level], n_most: int, expected: tuple[int, str] | None
) -> None:
    found = choose(measured, n_most=n_most)
    assert (found is None) == (expected is None)
    if expected:
        assert found[0] == expected[0]
        assert expected[1] in found[1]


def test_a_packing_survives_the_store() -> None:
    packing = Packing(gpu="NVIDIA H100", levels=tuple(levels(100, 180, 190)), n_trainers=2, why="enough")
    assert Packing.from_document(packing.document()) == packing


def test_the_pilot_trains_the_largest_batch_of_the_study() -> None:
    document = load_spec("sd_vs_lp").document()
    document["fixed"] = {"ft_epochs": 0}
    document["space"]["batch_size"] = {"low": 16, "high": 512}
    spec = Spec.from_document(document)
    params = request_for(spec, {spec.data.view: Path("cohort")}).params
    assert params == {"batch_size": 512, "probe_epochs": 0, "ft_epochs": 1}
