"""Packing: how many trainers share one GPU, chosen by a pilot.

Trainers are added one by one; each level is measured for some seconds. Adding ends where a further trainer brings
less than ``WORTH`` in all, where it would not find memory, or where the processor has no core left for it.

Why no formula: whether trainers share well depends on the size of their kernels, on the driver and on whether MPS
runs, which we use where it does and never start. Agents that meet a full GPU all the same make room, see
``ablate.worker.agent``.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.ecg.view import View
from ablate.errors import LaunchError
from ablate.store.store import Store
from ablate.study.spec import Spec
from ablate.study.subject import Subject
from ablate.worker.device import gpu_name, visible_device
from ablate.worker.fork_server import Child, ForkServer
from ablate.worker.packing_pilot import ENTRY, PilotRequest, Refusal, Sign

WORTH = 1.1  # throughput with a further trainer over that without it
FULL = 0.9  # share of a device's memory that trainers may take; the rest is for peaks that the pilot did not meet
WARM_STEPS = 20  # of each trainer before anything is measured: kernels are chosen, memory pools grow
SPAN_S = 8.0  # that each level is measured for
_FAREWELL_S = 10.0  # for a trainer to notice that we have hung up
_PATIENCE_S = 600.0  # for a trainer's next sign: a large encoder comes from a slow disk


@dataclass(frozen=True, kw_only=True)
class Level:
    """So many trainers side by side.

    Attributes:
        steps_per_s: of all of them.
        used_bytes: of the device's memory, by whomever.
    """

    n_trainers: int
    steps_per_s: float
    used_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What a pilot found.

    Attributes:
        gpu: what its maker calls the device; "cpu" for the processor.
        levels: as measured, from one trainer on.
        n_trainers: that should share the device.
        why: no more than these, in words.
    """

    gpu: str
    levels: Sequence[Level]
    n_trainers: int
    why: str

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "levels": [asdict(level) for level in self.levels]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Packing":
        """The packing that ``document`` was made of."""
        return cls(**{**document, "levels": tuple(Level(**level) for level in document["levels"])})


def request_for(spec: Spec, cohorts: Mapping[View, Path]) -> PilotRequest:
    """The heaviest trial of a study, as far as memory goes: its largest batch, fine-tuned on all of its data.

    Of several encoders the one with the most parameters times samples is taken.

    Raises:
        LaunchError: the routine is the user's own, whose steps nobody counts.
    """
    if spec.routine is not None:
        raise LaunchError(
            f"study {spec.name}: how many trainers of an own routine a device is good for is not measured; "
            "say it with --workers"
        )
    subjects = list(spec.all_subjects())
    subject = max(subjects, key=_size) if len(subjects) > 1 else subjects[0]
    params = {name: value for name, domain in spec.fixed.items() if (value := domain.point) is not None}
    sizes = spec.space.get("batch_size", spec.fixed.get("batch_size"))
    if sizes is not None:
        params["batch_size"] = max(map(int, sizes.extremes))
    assert subject.encoder is not None
    params |= {"probe_epochs": 0, "ft_epochs": max(1, int(params.get("ft_epochs", 1)))}
    return PilotRequest(
        encoder=subject.encoder,
        cohort=cohorts[subject.view],
        task=subject.data.task,
        window_s=subject.data.window_s,
        params=params,
    )


def _size(subject: Subject) -> int:
    """Parameters times samples: the order of what a trial needs, without building or timing it."""
    import torch  # noqa: PLC0415 - only a study of several encoders needs it here

    from ablate.model.encoder import build  # noqa: PLC0415

    with torch.device("meta"):
        assert subject.encoder is not None
        network = build(subject.encoder.name)
    return subject.data.n_samples * sum(parameter.numel() for stage in network.stages() for parameter in stage)


def choose(levels: Sequence[Level], *, n_most: int) -> tuple[int, str] | None:
    """How many trainers should share the device and why no more, or None while another level is worth a try.

    Args:
        levels: as far as they are measured, from one trainer on.
        n_most: trainers for which the processor has cores.
    """
    last = levels[-1]
    if len(levels) > 1:
        gain = last.steps_per_s / levels[-2].steps_per_s
        if gain < WORTH:
            return last.n_trainers - 1, f"one more makes it {gain:.2f} times as fast in all"
    if last.n_trainers >= n_most:
        return last.n_trainers, "no more were tried, for want of cores"
    each = last.used_bytes - levels[-2].used_bytes if len(levels) > 1 else last.used_bytes
    if last.used_bytes + each > FULL * last.total_bytes:
        return last.n_trainers, "one more would not find memory"
    return None


def measure(
    request: PilotRequest,
    *,
    device: str,
    gpu: str,
    n_most: int,
    span_s: float = SPAN_S,
) -> Packing:
    """Add trainers to ``device`` one by one until another is not worth it.

    Args:
        request: what they train.
        device: "cpu", "cuda" or "cuda:N".
        gpu: its name, for the record.
        n_most: at most so many trainers.
        span_s: seconds that each level is measured for.

    Raises:
        LaunchError: not even one trainer can train.
    """
    levels: list[Level] = []
    with _agent_group(request, device) as agent_group:
        while True:
            try:
                agent_group.add()
                levels.append(agent_group.measure(span_s))
            except _DeviceFull as error:
                if not levels:
                    raise LaunchError(f"pilot on {device}: {error}") from error
                choice = levels[-1].n_trainers, "one more ran out of memory"
                break
            chosen = choose(levels, n_most=n_most)
            if chosen is not None:
                choice = chosen
                break
    return Packing(gpu=gpu, levels=tuple(levels), n_trainers=choice[0], why=choice[1])


def packing_of(
    store: Store,
    spec: Spec,
    cohorts: Mapping[View, Path],
    *,
    device: str,
    n_most: int,
    span_s: float = SPAN_S,
    again: bool = False,
) -> Packing:
    """The packing of a study on this kind of device: as the store has it, or measured now and kept there.

    Args:
        cohorts: folder of the study's prepared arrays for each view of the records.
        again: measure also where the store has one.

    Raises:
        LaunchError: not even one trainer can train.
    """
    gpu = "cpu" if device == "cpu" else gpu_name(device)
    stored = None if again else store.packing(spec.name, gpu)
    if stored is not None:
        return Packing.from_document(stored)
    measured = measure(request_for(spec, cohorts), device=device, gpu=gpu, n_most=n_most, span_s=span_s)
    store.keep_packing(spec.name, measured.document())
    return measured


def cores_for(n_devices: int) -> int:
    """Trainers for each of ``n_devices`` that this machine's processor can feed: one core each."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, n_devices))


class _DeviceFull(Exception):
    """A trainer ran out of the device's memory."""


@dataclass
class _Trainer:
    child: Child
    signs: list[Sign] = field(default_factory=list)

    def hear(self, *, timeout_s: float) -> None:
        """Note its next sign.

        Raises:
            LaunchError: it said why it cannot train, has died or is silent.
            _DeviceFull: the device has no memory for it.
        """
        if not self.child.connection.poll(timeout_s):
            raise LaunchError(f"pilot: a trainer was silent for {timeout_s:g} s; is this machine overloaded?")
        try:
            said = self.child.connection.recv()
        except (EOFError, OSError) as error:
            code = self.child.exit_code(timeout_s=2.0)
            raise LaunchError(f"pilot: a trainer died (exit status {code}); see the lines above") from error
        if isinstance(said, Refusal):
            if said.kind == "OutOfMemory":
                raise _DeviceFull(said.message)
            raise LaunchError(f"pilot: {said.message}")
        self.signs.append(said)


class _AgentGroup:
    """Trainers on one device."""

    def __init__(self, request: PilotRequest, device: str) -> None:
        self._request = request
        self._device, self._environment = visible_device(device)
        self._fork_server = ForkServer.start()
        self._trainers: list[_Trainer] = []

    def add(self) -> None:
        """One more trainer, and wait until it is warm."""
        child = self._fork_server.fork(
            ENTRY, name="ablate pilot", environment=self._environment, request=self._request, device=self._device,
            n_threads=1,
        )  # fmt: skip
        newest = _Trainer(child)
        self._trainers.append(newest)
        while not newest.signs or newest.signs[-1].n_steps < WARM_STEPS:
            newest.hear(timeout_s=_PATIENCE_S)

    def measure(self, span_s: float) -> Level:
        """Throughput of all of them from now on; each sees at least two more signs."""
        begun = time.monotonic()
        for trainer in self._trainers:  # one after another: what the others say meanwhile waits in their pipes
            trainer.signs.clear()
            while len(trainer.signs) < 2 or trainer.signs[-1].at - begun < span_s:
                trainer.hear(timeout_s=_PATIENCE_S)
                trainer.signs = [sign for sign in trainer.signs if sign.at >= begun]
        last = max((trainer.signs[-1] for trainer in self._trainers), key=lambda sign: sign.at)
        return Level(
            n_trainers=len(self._trainers),
            steps_per_s=sum(_pace(trainer.signs) for trainer in self._trainers),
            used_bytes=last.total_bytes - last.free_bytes,
            total_bytes=last.total_bytes,
        )

    def close(self) -> None:
        """End all trainers and wait for it: they hold memory that real ones need."""
        for trainer in self._trainers:
            trainer.child.connection.close()
        for trainer in self._trainers:
            if trainer.child.exit_code(timeout_s=_FAREWELL_S) is None:
                trainer.child.send_signal(signal.SIGKILL)
                trainer.child.exit_code(timeout_s=_FAREWELL_S)
        self._fork_server.close()


@contextmanager
def _agent_group(request: PilotRequest, device: str) -> Iterator[_AgentGroup]:
    agent_group = _AgentGroup(request, device)
    try:
        yield agent_group
    finally:
        agent_group.close()


def _pace(signs: Sequence[Sign]) -> float:
    return (signs[-1].n_steps - signs[0].n_steps) / (signs[-1].at - signs[0].at)
