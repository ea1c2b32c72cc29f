"""The wakeup: whoever waits on it wakes."""

import os
import select
import signal
import subprocess
import sys
from contextlib import closing

from ablate.worker.wakeup import Wakeup


def is_rung(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])


def test_rung_until_it_is_hushed() -> None:
    with closing(Wakeup()) as wakeup:
        wakeup.ring()
        wakeup.ring()
        assert is_rung(wakeup)
        wakeup.hush()
        assert not is_rung(wakeup)


def test_signal_rings_and_is_counted_instead_of_killing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with closing(Wakeup()) as wakeup, wakeup.on_signals():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert is_rung(wakeup)
        assert (wakeup.n_signals, wakeup.signal_name) == (2, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_ringing_when_nobody_waits_any_more_does_nothing() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.ring()


SECOND_CTRL_C = """
import os, signal
from ablate.worker.wakeup import Wakeup
with Wakeup().on_signals():
    os.kill(os.getpid(), signal.SIGINT)
    print("once", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("twice", flush=True)
"""


def test_second_ctrl_c_ends_the_process_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SECOND_CTRL_C], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("once\n", 130)
