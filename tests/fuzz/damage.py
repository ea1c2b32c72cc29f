"""What happens to files: bytes lost, repeated, exchanged, flipped, and words put where they do not belong."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.errors import AblateError

_HANG_S = 30
_EXAMPLES = 60  # of one round
_WORDS = [word.encode() for word in (
    "", "\0", "\n", "\r\n", ",", '"', "'", "{", "}", "[", "]", "=", "{}", "[[]]", "true", "ä", "-1", "0", "1e999",
    "nan", "inf", "-inf", "99999999999999999999", "../../etc/passwd", "__import__('os')",
)] + [b"\xff\xfe"]  # fmt: skip

_place = st.floats(0, 1)
_edit = st.one_of(
    st.tuples(st.just("cut"), _place, st.integers(1, 64)),
    st.tuples(st.just("end"), _place, st.just(0)),
    st.tuples(st.just("repeat"), _place, st.integers(1, 64)),
    st.tuples(st.just("flip"), _place, st.integers(0, 7)),
    st.tuples(st.just("insert"), _place, st.sampled_from(_WORDS) | st.binary(max_size=12)),
    st.tuples(st.just("replace"), _place, st.sampled_from(_WORDS) | st.binary(max_size=12)),
)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """``whole`` after one to six edits."""

    def apply(edits: list[tuple[str, float, int | bytes]]) -> bytes:
        content = bytearray(whole)
        for kind, place, what in edits:
            at = int(place * len(content))
            match kind, what:
                case "cut", int():
                    del content[at : at + what]
                case "end", _:
                    del content[at:]
                case "repeat", int():
                    content[at:at] = content[at : at + what]
                case "flip", int():
                    if at < len(content):
                        content[at] ^= 1 << what
                case "insert", bytes():
                    content[at:at] = what
                case "replace", bytes():
                    content[at : at + len(what)] = what
        return bytes(content)

    return st.lists(_edit, min_size=1, max_size=6).map(apply)


@dataclass(frozen=True)
class Patience:
    """Damages something again and again: one round, or rounds until ``seconds`` have passed."""

    seconds: float

    def spend(self, examples: st.SearchStrategy[bytes], use: Callable[[bytes], object]) -> int:
        """Use every example; an error of ours is an answer, anything else is a fault. How many there were."""
        n_used = 0

        @settings(max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(examples)
        def one_round(content: bytes) -> None:
            nonlocal n_used
            n_used += 1
            signal.setitimer(signal.ITIMER_REAL, _HANG_S)
            try:
                use(content)
            except AblateError as error:
                assert str(error)
                assert "\n" not in str(error), "a user error is one line"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

        before = signal.signal(signal.SIGALRM, _hung)
        try:
            until = time.monotonic() + self.seconds
            one_round()
            while time.monotonic() < until:
                one_round()
        finally:
            signal.signal(signal.SIGALRM, before)
        return n_used


def _hung(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no answer within {_HANG_S} s")
