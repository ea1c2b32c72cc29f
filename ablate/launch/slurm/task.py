"""What one element of a Slurm array does, on the machine where Slurm has put it."""

import contextlib
import logging
import os
from collections.abc import Sequence
from typing import Any

from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus
from ablate.launch.remote.agent_group import AgentEnvironment, AgentGroup
from ablate.worker.agent_options import AgentOptions

_SIGNAL_VARIABLE = "SUBMITIT_PREEMPT_SIGNAL"
_SIGNAL = "USR1"


class SlurmTask(AgentGroup):
    """What one element of the array does; submitit calls it, and ``checkpoint`` on SIGUSR1."""

    def __call__(self, options: Sequence[AgentOptions], agent_environment: AgentEnvironment) -> list[AgentStatus]:
        """Serve until nothing is left; how the agents ended."""
        logging.basicConfig(level=logging.WARNING)
        agent_environment.unpack()
        return self.serve(options)

    def checkpoint(self, options: Sequence[AgentOptions], agent_environment: AgentEnvironment) -> Any:
        """Let the agents checkpoint and end, then ask for the same again after the requeue."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415

        self.stop()
        with contextlib.suppress(LaunchError):  # told before it had begun
            self.settle()
        return DelayedSubmission(SlurmTask(), options, agent_environment)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # an event cannot be sent, and there is nothing to tell

    def __setstate__(self, _: dict[str, Any]) -> None:
        AgentGroup.__init__(self)


def import_submitit() -> Any:
    """submitit, told which signal Slurm sends before it takes a machine.

    Raises:
        LaunchError: it is not installed.
    """
    os.environ[_SIGNAL_VARIABLE] = _SIGNAL  # read when it is imported, on the nodes too; agents know this signal
    try:
        import submitit  # noqa: PLC0415
        from submitit.core.job_environment import JobEnvironment  # noqa: PLC0415
    except ImportError as error:
        raise LaunchError("--launcher slurm: submitit is not installed; pip install 'ablate-ecg[slurm]'") from error
    JobEnvironment.USR_SIG = _SIGNAL  # somebody may have imported it before
    return submitit
