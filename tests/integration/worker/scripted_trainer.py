"""Trainers that train nothing: each speaks as a real one does, over the same pipe, and misbehaves in its own way."""

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Never

import numpy as np
from sample_outcome import progress, result

from ablate.outcome import Progress
from ablate.worker.fork_server import ForkServer
from ablate.worker.message import Failed, Filled, Halt, Halted, Progressed, Ready, Recognised, TrialRequest, Unusable

Answer = Filled | Failed | Recognised | None


def told(epoch: int = 1) -> Progress:
    return progress(epoch, val_auroc=0.5)


def score_of(seed: int) -> float:
    return (seed % 1000) / 1000


def filled(request: TrialRequest) -> Filled:
    """A result that follows from the request alone."""
    score = score_of(request.seed)
    tested = None if request.permit is None else np.full((2, 2), score, dtype=np.float32)
    outcome = result(
        score, test_probabilities=tested, epochs=(told(),), micro_batch=request.micro_batch,
        fingerprint=f"print of {request.seed}", digests={"code": "now, sources code"},
    )  # fmt: skip
    return Filled(request.ticket, outcome)


def answering(answer: Callable[[TrialRequest, Connection], Answer]) -> Callable[..., int | None]:
    """An entry point that answers each request with ``answer(request, connection)``."""

    def main(*, connection: Connection, fork_server: ForkServer, device: str, n_threads: int) -> int | None:
        fork_server.close()
        connection.send(Ready("code", "version", "environment"))
        try:
            while True:
                message = connection.recv()
                if isinstance(message, TrialRequest):
                    connection.send(Progressed(message.ticket, told(), last=True))
                    reply = answer(message, connection)
                    if reply is not None:
                        connection.send(reply)
                elif isinstance(message, Halt):
                    connection.send(Halted(message.ticket))
        except (EOFError, OSError):
            return 0

    return main


def _first_attempt(request: TrialRequest) -> bool:
    """Whether nobody has tried this slot before."""
    mark = request.checkpoint.with_suffix(".tried")
    mark.parent.mkdir(parents=True, exist_ok=True)
    is_first = not mark.exists()
    mark.touch()
    return is_first


def _note_size(request: TrialRequest) -> None:
    """Keep what was asked for beside the folder of checkpoints."""
    with (request.checkpoint.parents[1] / "sizes").open("a") as file:
        print(request.micro_batch or request.params["batch_size"], file=file)


def _short_of_memory(request: TrialRequest, _: Connection) -> Answer:
    _note_size(request)
    fits = request.micro_batch is not None and request.micro_batch <= 8
    return filled(request) if fits else Failed(request.ticket, "OutOfMemory", f"{request.micro_batch} do not fit")


def _without_memory(request: TrialRequest, _: Connection) -> Answer:
    _note_size(request)
    return Failed(request.ticket, "OutOfMemory", "nothing fits")


def _losing_its_gpu(request: TrialRequest, connection: Connection) -> Never:
    """Answers that its GPU is gone, and ends, as a trainer does."""
    connection.send(Failed(request.ticket, "AcceleratorError", "CUDA error: unspecified launch failure", "device"))
    raise EOFError


def _losing_its_gpu_once(request: TrialRequest, connection: Connection) -> Answer:
    mark = request.checkpoint.parents[1] / "lost"
    if mark.exists():
        return filled(request)
    mark.touch()
    return _losing_its_gpu(request, connection)


def _dying(request: TrialRequest, _: Connection) -> Answer:
    if _first_attempt(request):
        os.kill(os.getpid(), signal.SIGKILL)
    return filled(request)


def _hanging(request: TrialRequest, _: Connection) -> Answer:
    return None if _first_attempt(request) else filled(request)


def _recognising(request: TrialRequest, _: Connection) -> Answer:
    """Trains only what it is not told to be known."""
    own = f"print of {request.seed}"
    return Recognised(request.ticket, own) if own in request.known else filled(request)


def _diverged(request: TrialRequest) -> Answer:
    return Failed(request.ticket, "Diverged", "loss is nan")


def _slow(request: TrialRequest, connection: Connection) -> Answer:
    """Longer than a short lease."""
    for epoch in range(8):
        time.sleep(0.2)
        connection.send(Progressed(request.ticket, told(epoch)))
    return filled(request)


def _unhurried(request: TrialRequest, connection: Connection) -> Answer:
    """Long enough for something to happen meanwhile."""
    for epoch in range(3):
        time.sleep(0.1)
        connection.send(Progressed(request.ticket, told(epoch)))
    return filled(request)


def _talkative(request: TrialRequest, connection: Connection) -> Answer:
    """Many signs of life in one long last epoch."""
    for _ in range(20):
        time.sleep(0.02)
        connection.send(Progressed(request.ticket, told(), last=True))
    return filled(request)


def _responding(request: TrialRequest, _: Connection) -> Answer:
    """A result that follows from the params, with several summits along the range of drop_path_rate."""
    score = 0.8 + 0.1 * math.sin(25 * request.params["drop_path_rate"])
    answer = filled(request)
    return replace(answer, outcome=replace(answer.outcome, scores={"val_auroc": score, "val_auprc": score}))


recognising = answering(_recognising)
responding = answering(_responding)
sd_diverging = answering(lambda request, _: _diverged(request) if "/sd/" in request.key else filled(request))
filling = answering(lambda request, _: filled(request))
short_of_memory = answering(_short_of_memory)
without_memory = answering(_without_memory)
losing_its_gpu = answering(_losing_its_gpu)
losing_its_gpu_once = answering(_losing_its_gpu_once)
diverging = answering(lambda request, _: _diverged(request))
unlucky = answering(lambda request, _: _diverged(request) if request.key.endswith("/0") else filled(request))
dying = answering(_dying)
hanging = answering(_hanging)
slow = answering(_slow)
unhurried = answering(_unhurried)
talkative = answering(_talkative)
waiting = answering(lambda *_: None)
without_data = answering(lambda request, _: Failed(request.ticket, "DataError", "signals.npy: damaged", "machine"))


def unusable(*, connection: Connection, fork_server: ForkServer, device: str, n_threads: int) -> None:
    connection.send(Unusable("--device cuda:0: cannot be used (no driver)"))


def stillborn(*, connection: Connection, fork_server: ForkServer, device: str, n_threads: int) -> int:
    return 7
