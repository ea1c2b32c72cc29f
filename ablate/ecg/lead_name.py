"""Names of leads as devices write them: any case, with a word before them or a maker's code."""

import re
from collections.abc import Sequence
from functools import lru_cache

from ablate.ecg.source import LEADS

_BY_KEY = {lead.upper(): lead for lead in LEADS}
_PREFIX = re.compile(r"^(?:MDC_ECG_LEAD_|ECG[ _-]|EKG[ _-]|LEAD[ _-]?|D(?=I{1,3}$))+", re.IGNORECASE)
_SUFFIX = re.compile(r"\s*\(.*\)$|[ _-]?(?:REF|LEAD)$", re.IGNORECASE)


@lru_cache(maxsize=1024)
def lead_of(name: str) -> str | None:
    """The lead of ``LEADS`` that ``name`` means, None for any other channel.

    ``ii``, ``Lead II``, ``ECG aVF``, ``DII``, ``MDC_ECG_LEAD_V1`` and ``Lead I (Einthoven)`` are such names.
    """
    plain = _SUFFIX.sub("", _PREFIX.sub("", name.strip()))
    return _BY_KEY.get(plain.strip().upper())


def lead_positions(names: Sequence[str]) -> dict[str, int]:
    """Position of each lead of ``LEADS`` among ``names``, which may hold others too.

    Raises:
        ValueError: two channels have the name of one lead; its message names it.
    """
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        lead = lead_of(name)
        if lead is not None and lead in positions:
            raise ValueError(lead)
        if lead is not None:
            positions[lead] = position
    return positions
