"""The faults: each hurts a scene once and says what it hit, or None where there was nothing to hit."""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil

from ablate.errors import StoreError
from ablate.worker.fork_server import PROCESS_NAME
from chaos.scene import LEASE_S, NOBODY, Scene, resume

Fault = Callable[[Scene, Random], str | None]
STUDY_NAME = "chaos"
SKEWED = Path(__file__).parent / "skewed"


def kill_agent(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, "ablate agent", signal.SIGKILL)


def kill_trainer(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, "ablate trainer", signal.SIGKILL)


def segfault_trainer(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, "ablate trainer", signal.SIGSEGV)


def kill_fork_server(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, PROCESS_NAME, signal.SIGKILL)


def kill_launcher(scene: Scene, random: Random) -> str | None:
    return _signal_launcher(scene, signal.SIGKILL)


def interrupt_launcher(scene: Scene, random: Random) -> str | None:
    return _signal_launcher(scene, signal.SIGINT)


def terminate_launcher(scene: Scene, random: Random) -> str | None:
    return _signal_launcher(scene, signal.SIGTERM)


def preempt_agent(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, "ablate agent", random.choice([signal.SIGTERM, signal.SIGUSR1]))


def preempt_trainer(scene: Scene, random: Random) -> str | None:
    return _signal_one(scene, random, "ablate trainer", random.choice([signal.SIGTERM, signal.SIGUSR1]))


def freeze_agent(scene: Scene, random: Random) -> str | None:
    """Stopped beyond its lease while its trainer goes on; its late result must be fenced off or be as good as any."""
    victims = scene.named("ablate agent")
    if not victims:
        return None
    victim = random.choice(victims)
    with contextlib.suppress(psutil.Error):
        victim.send_signal(signal.SIGSTOP)
    later(scene, LEASE_S * random.uniform(1.2, 2.5), lambda: resume(victim))
    return f"process {victim.pid}"


def stop_server(scene: Scene, random: Random) -> str | None:
    """``pg_ctl stop -m immediate``, and back a little later."""
    return _fell_server(scene, signal.SIGQUIT, random.uniform(0.2, 3))


def kill_server(scene: Scene, random: Random) -> str | None:
    return _fell_server(scene, signal.SIGKILL, random.uniform(0.2, 3))


def long_outage(scene: Scene, random: Random) -> str | None:
    """The server is away for ten lease times."""
    return _fell_server(scene, signal.SIGKILL, 10 * LEASE_S)


def cut_connections(scene: Scene, random: Random) -> str | None:
    return f"{scene.proxy.cut()} connections"


def fill_disk(scene: Scene, random: Random) -> str | None:
    """No byte is left for spooled results and checkpoints for a while."""
    name = random.choice(["spool", "checkpoints"])
    place = scene.small_disk(name)
    if place is None:
        return None
    ballast = place / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    later(scene, random.uniform(1, 4), lambda: ballast.unlink(missing_ok=True))
    return name


def join_skewed(scene: Scene, random: Random) -> str | None:
    """One more worker joins, whose clock is an hour ahead."""
    return f"process {scene.ablate('worker', python_path=SKEWED).pid}"


def join_other_account(scene: Scene, random: Random) -> str | None:
    """One more worker joins under another account, with a home of its own."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return None
    os.chown(scene.other_home, NOBODY, NOBODY)
    return f"process {scene.ablate('worker', other_account=True).pid}"


def restart_server(scene: Scene, random: Random) -> str | None:
    """``pg_ctl restart -m fast``, as a package upgrade does."""
    return _fell_server(scene, signal.SIGINT, 0.5)


def kill_pooler(scene: Scene, random: Random) -> str | None:
    """PgBouncer is killed, and comes back a little later."""
    pooler = scene.pooler
    if pooler is None or pooler.pid is None or scene.server_pid() is None:
        return None
    pooler.kill()
    later(scene, random.uniform(0.2, 2), pooler.start)
    return "PgBouncer"


def put_other_store(scene: Scene, random: Random) -> str | None:
    """Another store, with a study of the same name, stands at the address for a while."""
    return _exchange(scene, random, lambda: scene.exchange.put_other(str(scene.spec)), scene.exchange.put_back)


def restore_dump(scene: Scene, random: Random) -> str | None:
    """The store is dumped, and a little later put back to what it was then."""
    return _exchange(scene, random, scene.exchange.dump, scene.exchange.restore)


def cancel_and_retry(scene: Scene, random: Random) -> str | None:
    """All that is not done is given up, and wanted again a little later."""
    try:
        if scene.exchange.is_on or not scene.store.cancel(STUDY_NAME):
            return None
    except StoreError:  # the study is not registered yet
        return None
    later(scene, random.uniform(0.2, 3), lambda: scene.store.retry_failed(STUDY_NAME))
    return "all slots"


def seal_by_hand(scene: Scene, random: Random) -> str | None:
    """Two people want it sealed at the same time as the agents do."""
    for _ in range(2):
        scene.command("seal", STUDY_NAME, "--storage", scene.url)
    return "the study"


FAULTS: dict[str, tuple[Fault, int]] = {
    "agent killed (kill -9)": (kill_agent, 4),
    "trainer killed (kill -9)": (kill_trainer, 4),
    "trainer crashed (SIGSEGV)": (segfault_trainer, 2),
    "fork server killed (kill -9)": (kill_fork_server, 2),
    "`ablate run` killed (kill -9)": (kill_launcher, 2),
    "`ablate run` interrupted (Ctrl-C)": (interrupt_launcher, 1),
    "`ablate run` terminated": (terminate_launcher, 1),
    "agent pre-empted (SIGTERM, SIGUSR1)": (preempt_agent, 2),
    "trainer pre-empted (SIGTERM, SIGUSR1)": (preempt_trainer, 2),
    "agent frozen beyond its lease": (freeze_agent, 3),
    "Postgres stopped (-m immediate)": (stop_server, 2),
    "Postgres killed (kill -9)": (kill_server, 2),
    "Postgres away for 20 s": (long_outage, 1),
    "connections cut": (cut_connections, 4),
    "disk full": (fill_disk, 2),
    "worker with its clock an hour ahead": (join_skewed, 1),
    "worker of another account": (join_other_account, 1),
    "Postgres restarted (-m fast)": (restart_server, 2),
    "PgBouncer killed (kill -9)": (kill_pooler, 2),
    "another store at the address": (put_other_store, 2),
    "an older dump restored": (restore_dump, 2),
    "all cancelled, and retried": (cancel_and_retry, 2),
    "`ablate seal` by two at once": (seal_by_hand, 1),
}
"""Each with its weight in the draw."""

_aftermath: list[threading.Thread] = []


def later(scene: Scene, after_s: float, mend: Callable[[], None]) -> None:
    """Undo a fault after a while; ``settle`` waits for it."""
    timer = threading.Timer(after_s, mend)
    timer.start()
    _aftermath.append(timer)


def settle() -> None:
    """Wait until every fault was undone."""
    while _aftermath:
        _aftermath.pop().join()


def _signal_one(scene: Scene, random: Random, name: str, number: int) -> str | None:
    victims = scene.named(name)
    if not victims:
        return None
    victim = random.choice(sorted(victims, key=lambda process: process.pid))
    with contextlib.suppress(psutil.Error):
        victim.send_signal(number)
    return f"process {victim.pid}"


def _signal_launcher(scene: Scene, number: int) -> str | None:
    launcher = scene.launcher
    if launcher is None:
        return None
    launcher.send_signal(number)
    return f"process {launcher.pid}"


def _fell_server(scene: Scene, number: int, away_s: float) -> str | None:
    pid = scene.server_pid()
    if pid is None or scene.exchange.is_on:
        return None  # it is away already
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    later(scene, away_s, lambda: _raise_server(scene))
    return f"{away_s:.1f} s"


def _raise_server(scene: Scene) -> None:
    """Until it answers: another fault may fell it while it starts."""
    for last_try in (False, False, True):
        try:
            scene.start_server()
        except (StoreError, AssertionError):
            if last_try:
                raise
        else:
            return


def _exchange(scene: Scene, random: Random, away: Callable[[], None], back: Callable[[], None]) -> str | None:
    if not _aftermath_is_over() or scene.server_pid() is None or not scene.exchange.begin():
        return None

    def mend() -> None:
        try:
            back()
        finally:
            scene.exchange.end()

    try:
        away()
    except BaseException:
        scene.exchange.end()
        raise
    away_s = random.uniform(2, 5)
    later(scene, away_s, mend)
    return f"{away_s:.1f} s"


def _aftermath_is_over() -> bool:
    """Whether nothing is to be undone: a server that comes back amidst an exchange would make databases."""
    return not any(timer.is_alive() for timer in _aftermath)
