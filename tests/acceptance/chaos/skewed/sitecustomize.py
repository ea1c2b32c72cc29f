"""Put on the path of one worker: its clock is an hour ahead."""

import time

_AHEAD_S = 3600
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _AHEAD_S
time.time_ns = lambda: _time_ns() + _AHEAD_S * 10**9
