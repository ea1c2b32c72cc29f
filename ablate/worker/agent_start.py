"""How an agent starts: what it must know of the study and of this machine before it may claim a slot."""

import contextlib
import logging
import os
import socket
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

from ablate import digest, settings
from ablate.errors import AblateError, LaunchError
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.store.study import StudyRow
from ablate.study.cohort import prepare_cohorts
from ablate.study.spec import Spec
from ablate.worker.agent import Agent
from ablate.worker.agent_options import AgentOptions, Ending
from ablate.worker.checkpoint_folder import CheckpointFolder
from ablate.worker.fork_server import ForkServer
from ablate.worker.message import Ready
from ablate.worker.seat import seat_at
from ablate.worker.spool import Spool
from ablate.worker.store_thread import StoreThread
from ablate.worker.trainer_process import TrainerProcess
from ablate.worker.wakeup import Wakeup

_log = logging.getLogger(__name__)

_PATIENCE_S = 2.0  # of the store thread with one call; then it looks whether something else is due
_READY_S = 120.0  # torch may come from a slow network disk
_CODE = "code_digest"  # an artifact of the study: of the code that it was begun with


def main(*, connection: Connection, fork_server: ForkServer, agent_options: AgentOptions) -> int:
    """An agent as a child of a launcher's fork server; it stops when ``connection`` ends."""
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s agent {os.getpid()}: %(message)s")
    try:
        serve(agent_options, fork_server=fork_server, lifeline=connection)
    except AblateError as error:
        with contextlib.suppress(OSError):  # the launcher has gone: nobody is left to tell
            connection.send_bytes(str(error).encode())
        return error.exit_status
    return 0


def serve(
    agent_options: AgentOptions, *, fork_server: ForkServer | None = None, lifeline: Connection | None = None
) -> Ending:
    """Fill slots of a study on this machine until none is left, or until a signal or the end of ``lifeline``.

    Args:
        agent options: which study, where, and how.
        fork server: forks the trainer; one is started where there is none.
        lifeline: whose end says that the launcher has gone.

    Raises:
        LaunchError: trainers cannot be started here, or their code is not the study's.
        StoreError: there is no such study, or the store refuses.
        DataError: the study's records cannot be had on this machine.
    """
    wakeup = Wakeup()
    trainer = TrainerProcess(fork_server, device=agent_options.device, n_threads=agent_options.n_threads)
    store = Store(agent_options.storage)
    with contextlib.closing(wakeup), wakeup.on_signals():
        try:
            trainer.start()  # imports while the rest is done
            row = store.study(agent_options.study)
            spec = Spec.from_document(row.spec)
            cohorts = prepare_cohorts(spec, data_dir=Path(agent_options.data_dir) if agent_options.data_dir else None)
            ready = trainer.ready(timeout_s=_READY_S)
            check_code(store, agent_options, ready)
            checkpoint_folder, card = _checkpoint_folder(row), _card(agent_options, ready)
            store_thread = StoreThread(
                agent_options,
                store=store.patient(_PATIENCE_S),
                spec=spec,
                agent=card,
                spool=_spool(row, agent=card.id),
                checkpoint_folder=checkpoint_folder,
                wake=wakeup.ring,
            )
            with seat_at(ready.gpu_id) as seat:
                agent = Agent(
                    agent_options,
                    seat=seat,
                    spec=spec,
                    cohorts=cohorts,
                    store_thread=store_thread,
                    trainer=trainer,
                    checkpoint_folder=checkpoint_folder,
                    wakeup=wakeup,
                    lifeline=lifeline,
                )
                return agent.serve()
        finally:
            trainer.close()
            store.disconnect()


def _spool(row: StudyRow, *, agent: str) -> Spool:
    return Spool(settings.home() / "spool" / _place(row), agent=agent)


def _checkpoint_folder(row: StudyRow) -> CheckpointFolder:
    return CheckpointFolder(settings.home() / "checkpoints" / _place(row))


def _place(row: StudyRow) -> str:
    """Tells this study from one of the same name in another store, by whatever address the store is reached."""
    return row.id


def _card(agent_options: AgentOptions, ready: Ready) -> AgentCard:
    host = socket.gethostname()
    return AgentCard(
        id=f"{host}-{os.getpid()}-{uuid.uuid4().hex[:4]}",
        host=host,
        pid=os.getpid(),
        device=agent_options.device,
        facts={"code": ready.code, "version": ready.version, "environment": ready.environment, "gpu": ready.gpu},
    )


def check_code(store: Store, agent_options: AgentOptions, ready: Ready) -> None:
    """See that the study's slots are filled by one code.

    Raises:
        LaunchError: the study was begun with other code, and mixing is not allowed.
    """
    if store.put_study_artifact(agent_options.study, _CODE, ready.code.encode()) or agent_options.allow_mixed:
        return
    begun_with = (store.read_artifact(agent_options.study, None, _CODE) or b"").decode()
    if begun_with != ready.code:
        raise LaunchError(
            f"study {agent_options.study}: was begun with code {begun_with[: digest.SHORT]}, "
            f"this machine has {ready.version}; install the same version, or mix them with --allow-mixed"
        )
