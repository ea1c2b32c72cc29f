"""Words that errors share."""

import difflib
from collections.abc import Sequence


def nearest(word: str, words: Sequence[str]) -> str:
    """What the author of ``word`` may have meant, as the end of a sentence."""
    near = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {near[0]!r}?" if near else (f"; known here: {', '.join(words)}" if words else "")
