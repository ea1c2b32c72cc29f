"""Whether a routine of the user's own does what a study relies on, tried on a few simulated records before anything
is trained.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ablate.ecg.cohort import open_cohort
from ablate.ecg.preparation import prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.view import View
from ablate.errors import AblateError, SpecError
from ablate.outcome import Probabilities
from ablate.own_code import PinnedCode
from ablate.train import own_routine
from ablate.train.machine import Machine
from ablate.train.own_routine import Part
from ablate.train.routine import never, silent

_N_RECORDS = 200  # eight tenths of them to train
_TASK = "superdiagnostic"
_PERMIT = Permit("check", "check")  # of simulated records: nothing is learned from them
_ATOL = 1e-6  # sums of several threads round otherwise each time


def faults(
    code: PinnedCode, params_of_arms: Mapping[str, Mapping[str, Any]], *, view: View, log: Path | None = None
) -> list[str]:
    """What is wrong with a routine, a line each; nothing where it can be run.

    It is called once with the params of each arm, and for the first arm once more, as a confirmation calls it.

    Args:
        code: of its function.
        params_of_arms: every hyper-parameter, by arm.
        view: how the study's records are seen.
        log: folder for what it prints, a file for each arm.
    """
    try:
        function = own_routine.load(code)
    except AblateError as error:
        return [str(error)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare(
            Synthetic(_N_RECORDS, 1), fs_hz=view.fs_hz, preprocessing=view.preprocessing, leads=view.leads,
            cache_dir=Path(scratch),
        )  # fmt: skip
        cohort = open_cohort(folder)
        data = load_task(cohort, _TASK)
        sealed = own_routine.sealed_parts(load_task(cohort, _TASK, permit=_PERMIT))
        found: dict[str, str] = {}  # what is wrong, by what it says without its log; several arms may say the same
        for place, (arm, params) in enumerate(params_of_arms.items()):
            file = None if log is None else log / f"{arm}.log"
            ask = partial(_ask, function, code, data, params, log=file)
            try:
                first = ask({})
                if not place:
                    _refuse_chance(first, ask(sealed), partial(ask, {}), code)
            except AblateError as error:
                found.setdefault(str(error).replace(str(file), ""), f"{f'arms.{arm}: ' if place else ''}{error}")
    return list(found.values())


def _ask(
    function: Callable[..., Any],
    code: PinnedCode,
    data: TaskData,
    params: Mapping[str, Any],
    beside: Mapping[str, Part],
    *,
    log: Path | None,
) -> Probabilities:
    given = own_routine.ask(
        function, code, data, params, beside, seed=0, machine=Machine(), report=silent, stop=never, log=log
    )
    return given.probabilities["val"]


def _refuse_chance(
    first: Probabilities, confirming: Probabilities, again: Callable[[], Probabilities], code: PinnedCode
) -> None:
    """See that the validation records get the same probabilities each time, and beside the test fold too.

    Raises:
        SpecError: they do not.
    """
    if np.allclose(first, confirming, rtol=0, atol=_ATOL):
        return
    where = f"routine.entry = {code.entry!r}: "
    if np.allclose(first, again(), rtol=0, atol=_ATOL):
        raise SpecError(f"{where}gives val other probabilities where test stands beside it; records must not mix")
    raise SpecError(f"{where}gives other probabilities each time with the same seed; draw from the seed alone")
