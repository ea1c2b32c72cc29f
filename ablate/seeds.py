"""Seeds: each source of randomness draws from its own stream, named by what it is for.

Why: two arms of one block must see the same data subset, head, batch order and drop-path noise, and adding a
component must not shift the random numbers of another. Streams named by purpose guarantee both.
"""

import hashlib


def derive(*parts: str | int) -> int:
    """A seed in [0, 2**63) for the stream that ``parts`` name; equal parts give equal seeds on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
