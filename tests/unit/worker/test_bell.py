"""The bell: whoever waits on it wakes."""

import os
import select
import signal
import subprocess
import sys
from contextlib import closing

from ablate.worker.bell import Bell


def is_rung(bell):
    return bool(select.select([bell], [], [], 0)[0])


def test_rung_until_it_is_hushed():
    with closing(Bell()) as bell:
        bell.ring()
        bell.ring()
        assert is_rung(bell)
        bell.hush()
        assert not is_rung(bell)


def test_signal_rings_and_is_counted_instead_of_killing():
    before = signal.getsignal(signal.SIGTERM)
    with closing(Bell()) as bell, bell.on_signals():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert is_rung(bell)
        assert (bell.n_signals, bell.signal_name) == (2, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_ringing_when_nobody_waits_any_more_does_nothing():
    bell = Bell()
    bell.close()
    bell.ring()


SECOND_CTRL_C = """
import os, signal
from ablate.worker.bell import Bell
with Bell().on_signals():
    os.kill(os.getpid(), signal.SIGINT)
    print("once", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("twice", flush=True)
"""


def test_second_ctrl_c_ends_the_process_at_once():
    done = subprocess.run([sys.executable, "-c", SECOND_CTRL_C], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("once\n", 130)
