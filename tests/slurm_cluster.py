"""A Slurm of one node, started from the system's packages in a folder of its own."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
_CONF = """\
ClusterName=ablate
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """Its daemons live from ``start`` to ``stop``; the submitting commands need ``environment``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    @staticmethod
    def missing() -> str | None:
        """Why there can be none here."""
        if os.geteuid() != 0:
            return "needs root"
        absent = [name for name in PROGRAMS if shutil.which(name) is None]
        return f"needs {', '.join(absent)}: apt-get install slurm-wlm munge" if absent else None

    def start(self, *, timeout_s: float = 60.0) -> None:
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = {"controller_port": _free_port(), "node_port": _free_port()}
        (folder / "slurm.conf").write_text(_CONF.format(host=host, folder=folder, **ports))
        (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu Count=2 File=/dev/zero,/dev/null\n")
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        self._call(
            "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        self._call("slurmctld", "-c")
        self._call("slurmd", "-N", host)
        until = time.monotonic() + timeout_s
        while "idle" not in self._call("sinfo", "--noheader", "--format=%T", check=False):
            if time.monotonic() > until:
                raise RuntimeError((folder / "slurmctld.log").read_text()[-2000:])
            time.sleep(0.2)

    def stop(self, *, timeout_s: float = 60.0) -> None:
        """End what is in the queue, then the daemons; what outlived them nobody would end."""
        user, until = f"--user={os.geteuid()}", time.monotonic() + timeout_s
        self._call("scancel", user, check=False)
        while self._call("squeue", "--noheader", user, check=False).strip() and time.monotonic() < until:
            time.sleep(0.2)
        for name in ("slurmd", "slurmctld", "munged"):
            pid_file = self.folder / f"{name}.pid"
            if pid_file.exists():
                _end(int(pid_file.read_text()))

    def _call(self, *command: str, check: bool = True) -> str:
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if check and done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}")
        return done.stdout


def _end(pid: int, *, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    try:
        os.kill(pid, 15)
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
