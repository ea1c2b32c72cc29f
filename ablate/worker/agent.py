"""The agent: claims slots of a study, lets its trainer fill them, and loses nothing whatever happens to either.

Two threads: this one serves the trainer and never waits for the store; the store thread serves the store and never
waits for the trainer. The agent stops on SIGINT, SIGTERM and SIGUSR1 (Slurm and clouds send them before they take the
machine), when somebody stops the study, and when the launcher that started it vanishes: the trial is checkpointed and
its slot given back. So it does where several agents share a GPU that has no memory left, unless it has the first seat,
and where a GPU fails its trainer twice in a row. A second Ctrl-C ends it at once; its leases run out, and others fill
the slots.
"""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ablate import errors
from ablate.ecg.view import View
from ablate.errors import AblateError, LaunchError, OutOfMemory, TrainerKilled, TrialError
from ablate.study.plan import CONFIRM
from ablate.study.routine import routine_log
from ablate.study.space import POST_TRAINING
from ablate.study.spec import Spec
from ablate.worker.agent_options import AgentOptions, Ending
from ablate.worker.assignment import Assignment
from ablate.worker.checkpoint_folder import CheckpointFolder
from ablate.worker.message import (
    Failed,
    Filled,
    FromTrainer,
    Halt,
    Halted,
    Progressed,
    Ready,
    Recognised,
    TrialRequest,
    Unusable,
)
from ablate.worker.outbox import Fail, Release, Reuse
from ablate.worker.spool import SpooledResult
from ablate.worker.store_thread import StoreThread
from ablate.worker.trainer_process import TrainerProcess
from ablate.worker.wakeup import Wakeup

_log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 1.0  # between two looks at whether the trainer hangs
_AHEAD_S = 0.3  # before the end of a trial the next slot is claimed
_HALT_S = 60.0  # for an epoch's end after Halt; then the trainer is killed
_OWN_HALT_S = 5.0  # the same for a routine of the user's own, which has no checkpoint to finish
_CLOSE_S = 10.0  # for the store to hear the last words; they are in the spool otherwise
_OUTCOMES = {"Diverged": "diverged", "OutOfMemory": "out_of_memory"}
_DEVICE_LOST = "device_lost"  # an outcome that does not count against max_attempts
_MOST_DEVICE_LOSSES = 2  # in a row, the second in a fresh process: this GPU is broken


@dataclass
class _RunningTrial:
    """The trial that the trainer works on."""

    assignment: Assignment
    ticket: int
    micro_batch: int | None
    want_at: float = math.inf  # when to claim the next slot; not earlier, since others may be waiting for it
    halt_until: float | None = None  # once it was told to halt


class Agent:
    """Serves one study with one trainer until nothing is left to do."""

    def __init__(
        self,
        options: AgentOptions,
        *,
        seat: int = 0,
        spec: Spec,
        cohorts: Mapping[View, Path],
        store_thread: StoreThread,
        trainer: TrainerProcess,
        checkpoint_folder: CheckpointFolder,
        wakeup: Wakeup,
        lifeline: Connection | None,
    ) -> None:
        """Nothing is done before ``serve``; ``seat`` is the agent's number among those that share its device."""
        self._options, self._seat, self._spec, self._cohorts = options, seat, spec, cohorts
        self._store_thread, self._trainer, self._checkpoint_folder = store_thread, trainer, checkpoint_folder
        self._wakeup, self._lifeline = wakeup, lifeline
        self._tickets = count(1)
        self._trial: _RunningTrial | None = None
        self._is_stopping = self._makes_room = False
        self._error: AblateError | None = None
        self._n_device_losses = 0  # in a row
        self._fits: int | None = None  # records in memory at once, of the last trial that had to be cut up
        self._too_large: dict[int, int] = {}  # the same, by slot: the least that did not fit

    def serve(self) -> Ending:
        """Fill slots until none is left or somebody wants the agent to stop.

        Raises:
            AblateError: no trial can be done on this machine, or the store refuses.
        """
        self._store_thread.start()
        self._store_thread.want()
        try:
            while not self._is_done():
                self._hand_out()
                self._wait()
                self._hear()
                self._watch()
        except LaunchError as error:  # no trainer can be started any more
            self._leave(error)
        finally:
            self._trainer.close()
            self._store_thread.close(timeout_s=_CLOSE_S)
        if self._error is not None:
            raise self._error
        if self._makes_room:
            return Ending.MADE_ROOM
        return Ending.STOPPED if self._is_stopping else Ending.OVER

    def _is_done(self) -> bool:
        if self._store_thread.error is not None:
            raise self._store_thread.error
        return self._trial is None and (self._is_stopping or self._store_thread.is_over)

    def _hand_out(self) -> None:
        """Give the idle trainer the slot that was claimed for it."""
        if self._trial is not None or self._is_stopping:
            return
        self._trainer.start()
        assignment = self._store_thread.take()
        if assignment is None:
            self._store_thread.want()
        else:
            self._begin(assignment)

    def _micro_batch(self, assignment: Assignment) -> int | None:
        """The largest part of the trial's batch that is not known to be too large; None for all of it."""
        whole = self._batch_size(assignment)
        n_short = assignment.claim.outcomes.count("out_of_memory")  # of any agent
        too_large = self._too_large.get(assignment.claim.slot.id, 2 * whole)
        most = min(whole >> n_short, too_large // 2, self._fits or whole)
        size = whole
        while size > max(1, most):
            size //= 2
        return None if size == whole else size

    def _begin(self, assignment: Assignment) -> None:
        slot, micro_batch = assignment.claim.slot, self._micro_batch(assignment)
        subject, routine = self._spec.subject(slot.arm, slot.context), self._spec.routine
        self._trial = _RunningTrial(assignment, next(self._tickets), micro_batch)
        self._trainer.send(
            TrialRequest(
                ticket=self._trial.ticket,
                key=slot.key,
                seed=slot.seed,
                params=self._spec.hyper_parameters.complete(assignment.params) if routine else assignment.params,
                cohort=self._cohorts[subject.view],
                task=subject.data.task,
                encoder=subject.encoder,
                routine=routine.pinned if routine else None,
                window_s=subject.data.window_s,
                permit=assignment.permit,
                rungs=assignment.rungs,
                known=frozenset(assignment.twins),
                micro_batch=micro_batch,
                checkpoint=self._checkpoint_folder.path(slot),
                test_fold=assignment.wants_test_fold,
                keep_weights=slot.phase == CONFIRM and self._spec.keep == "best",
                log=routine_log(self._spec.name, slot.key) if routine else None,
            )
        )

    def _wait(self) -> None:
        """Sleep until the trainer speaks, the store thread has something, a signal comes or the launcher vanishes."""
        connections = [end for end in (self._trainer.connection, self._lifeline) if end is not None]
        until_want_s = self._trial.want_at - time.monotonic() if self._trial else math.inf
        ready = wait([*connections, self._wakeup.fileno()], min(_LONGEST_WAIT_S, max(0.0, until_want_s)))
        self._wakeup.hush()
        if self._lifeline in ready:
            self._lifeline = None  # it never says anything: this is its end
            self._stop("the launcher has gone")
        if self._wakeup.n_signals:
            self._stop(f"{self._wakeup.signal_name} was received")
        if self._store_thread.stop_requested:
            self._stop("the study was stopped")

    def _stop(self, why: str) -> None:
        if not self._is_stopping:
            _log.info("stopping: %s", why)
            self._is_stopping = True
            self._halt()

    def _halt(self) -> None:
        if self._trial is not None and self._trial.halt_until is None:
            self._trial.halt_until = time.monotonic() + (_HALT_S if self._spec.routine is None else _OWN_HALT_S)
            self._trainer.send(Halt(self._trial.ticket))

    def _hear(self) -> None:
        try:
            for message in self._trainer.messages():
                self._on(message)
        except TrialError as error:  # the trainer has died
            if self._trial is not None:
                self._on_failure(error, counted_as="killed" if isinstance(error, TrainerKilled) else "crashed")

    def _on(self, message: FromTrainer) -> None:
        trial = self._trial
        if isinstance(message, Unusable):
            self._leave(LaunchError(message.message))
            return
        if isinstance(message, Ready) or trial is None or message.ticket != trial.ticket:
            return
        claim = trial.assignment.claim
        match message:
            case Progressed():
                self._store_thread.note(claim, message.progress)
                if message.last:
                    trial.want_at = time.monotonic() + max(0.0, message.progress.seconds - _AHEAD_S)
            case Filled():
                self._note_success(trial)
                self._hand_out()  # first, so that the trainer does not wait for the disk
                self._store_thread.tell(SpooledResult(claim, message.outcome, message.test_fold))
            case Recognised():
                self._trial = None
                self._hand_out()
                self._store_thread.tell(Reuse(claim, trial.assignment.twins[message.fingerprint]))
            case Halted():
                kept = "; its checkpoint is kept" if self._spec.routine is None else ""
                self._end(Release(claim, f"halted{kept}"))
            case Failed(at_fault="machine"):
                self._leave(getattr(errors, message.kind)(message.message))
            case Failed(at_fault="device"):
                self._on_device_loss(message.message)
            case Failed():
                error = OutOfMemory(message.message) if message.kind == "OutOfMemory" else TrialError(message.message)
                self._on_failure(error, counted_as=_OUTCOMES.get(message.kind, "crashed"))

    def _note_success(self, trial: _RunningTrial) -> None:
        self._trial = None
        self._n_device_losses = 0
        self._too_large.pop(trial.assignment.claim.slot.id, None)
        if trial.micro_batch is not None:
            self._fits = trial.micro_batch

    def _leave(self, error: AblateError) -> None:
        """No trial can be done here: give the slot back and end with ``error``."""
        self._error, self._is_stopping = error, True
        if self._trial is not None:
            self._end(Release(self._trial.assignment.claim, str(error)))

    def _on_device_loss(self, said: str) -> None:
        """The trainer's hold on its GPU is dead: one fresh process may try again, then the GPU is left alone."""
        device = self._options.device
        self._n_device_losses += 1
        self._trainer.kill()
        if self._trial is not None:
            self._end(Fail(self._trial.assignment.claim, _DEVICE_LOST, f"{device}: {said}"))
        if self._n_device_losses >= _MOST_DEVICE_LOSSES:
            self._leave(
                LaunchError(
                    f"--device {device}: failed a trial, and the next one in a fresh process too ({said}); the agent "
                    "leaves it alone, see `nvidia-smi` and the kernel's log for an Xid error"
                )
            )

    def _on_failure(self, error: TrialError, *, counted_as: str) -> None:
        """Short of memory: make room, or at once again with half the micro-batch; else it is the store's to decide."""
        trial = self._trial
        if trial is None:
            return
        _log.warning("%s: %s", trial.assignment.claim.slot.key, error)
        if isinstance(error, OutOfMemory) and self._seat and self._options.device.startswith("cuda"):
            self._makes_room = self._is_stopping = True
            self._end(Release(trial.assignment.claim, f"{error}; made room for others on {self._options.device}"))
            return
        size = trial.micro_batch or self._batch_size(trial.assignment)
        if isinstance(error, OutOfMemory):
            self._too_large[trial.assignment.claim.slot.id] = size
        if isinstance(error, OutOfMemory) and self._is_stopping:
            self._end(Release(trial.assignment.claim, str(error)))
        elif isinstance(error, OutOfMemory) and size > 1:
            self._trainer.start()
            self._begin(trial.assignment)
        else:
            kind = "out_of_memory" if isinstance(error, OutOfMemory) else counted_as
            self._end(Fail(trial.assignment.claim, kind, str(error)))

    def _batch_size(self, assignment: Assignment) -> int:
        """Records of a batch; one where it cannot be cut up, as that of an own routine cannot."""
        if self._spec.routine is not None:
            return 1
        return int(assignment.params.get("batch_size", POST_TRAINING.usual["batch_size"]))

    def _end(self, telling: Fail | Release) -> None:
        self._trial = None
        self._store_thread.tell(telling)

    def _watch(self) -> None:
        """See that the trial is still ours and that the trainer makes progress."""
        trial = self._trial
        if trial is None:
            return
        now = time.monotonic()
        if now >= trial.want_at and not self._is_stopping:
            trial.want_at = math.inf
            self._store_thread.want()
        if self._store_thread.has_lost(trial.assignment.claim):
            self._halt()
        if trial.halt_until is not None and now > trial.halt_until:
            self._trainer.kill()
            self._end(Release(trial.assignment.claim, "the trainer did not halt and was killed"))
        elif now - self._trainer.heard_at > self._options.hang_s:
            self._trainer.kill()
            hung = f"no progress for {self._options.hang_s:g} s; the trainer was killed"
            self._end(Fail(trial.assignment.claim, "hung", hung))
