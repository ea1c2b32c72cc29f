"""A real trainer process whose GPU fails in mid-trial answers, says whose fault it was, and ends."""

from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from ablate.model.encoder import EncoderSpec
from ablate.worker.fork_server import ForkServer
from ablate.worker.message import Failed, Ready, TrialRequest, Unusable
from ablate.worker.trainer import Trainer
from ablate.worker.trial_runner import TrialRunner


class FailingRunner(TrialRunner):
    """The runner of a process to which the driver says what it says after an Xid."""

    def recognise(self, request: TrialRequest) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


def lost(*, connection: Connection, fork_server: ForkServer, device: str, n_threads: int) -> int | None:
    fork_server.close()
    Trainer(connection, FailingRunner(device="cpu", n_threads=n_threads)).serve()
    return 0


def on_cuda(*, connection: Connection, fork_server: ForkServer, device: str, n_threads: int) -> int | None:
    fork_server.close()
    Trainer(connection, TrialRunner(device="cuda", n_threads=n_threads)).serve()
    return 0


def heard(connection: Connection) -> Failed | Ready | Unusable:
    assert connection.poll(60)
    return connection.recv()


@pytest.fixture
def request_for_a_trial(tmp_path: Path) -> TrialRequest:
    return TrialRequest(
        ticket=1, key="k", seed=1, params={}, cohort=tmp_path, task="superdiagnostic",
        encoder=EncoderSpec("net1d_small"), known=frozenset({"x"}),
    )  # fmt: skip


def test_trainer_answers_once_and_ends(fork_server: ForkServer, request_for_a_trial: TrialRequest) -> None:
    child = fork_server.fork("test_lost_gpu:lost", device="cpu", n_threads=1)
    assert isinstance(heard(child.connection), Ready)
    child.connection.send(request_for_a_trial)
    child.connection.send(request_for_a_trial)
    answer = heard(child.connection)
    assert isinstance(answer, Failed)
    assert (answer.at_fault, answer.message) == ("device", "CUDA error: unspecified launch failure")
    with pytest.raises((EOFError, ConnectionResetError)):  # reset where it ended before it had taken the second one
        heard(child.connection)
    assert child.exit_code(timeout_s=30) == 0


@pytest.mark.skipif(torch.version.cuda is not None, reason="needs a torch that was built for the processor")
def test_a_build_for_the_processor_says_so_in_one_line(fork_server: ForkServer) -> None:
    child = fork_server.fork("test_lost_gpu:on_cuda", device="cuda", n_threads=1)
    answer = heard(child.connection)
    assert isinstance(answer, Unusable)
    assert "was built for the processor" in answer.message
    assert "\n" not in answer.message
