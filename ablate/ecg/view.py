"""A view of the records: what decides the prepared arrays beside the records themselves."""

from collections.abc import Iterable
from dataclasses import dataclass

from ablate.ecg.source import LEADS


@dataclass(frozen=True)
class View:
    """How arms see the records; those with equal views share their prepared arrays.

    Attributes:
        fs_hz: samples a second.
        preprocessing: by its name.
        leads: in the order in which the encoder gets them.
    """

    fs_hz: int = 100
    preprocessing: str = "none"
    leads: tuple[str, ...] = LEADS

    def __str__(self) -> str:
        leads = "" if self.leads == LEADS else f", leads {' '.join(self.leads)}"
        return f"{self.fs_hz} Hz, preprocessing {self.preprocessing}{leads}"


def parse_leads(given: str | Iterable[str]) -> tuple[str, ...]:
    """Leads by their names in any case, from a list or from a text such as ``"I, II, V5"``.

    Raises:
        ValueError: a lead is not known, is named twice, or none is named.
    """
    names = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    by_upper = {lead.upper(): lead for lead in LEADS}
    unknown = [name for name in names if str(name).upper() not in by_upper]
    if unknown or not names:
        raise ValueError(f"{unknown[0]!r} is no lead; expected some of {' '.join(LEADS)}" if unknown else "no lead")
    leads = tuple(by_upper[str(name).upper()] for name in names)
    if len(set(leads)) < len(leads):
        raise ValueError(f"a lead is named twice in {' '.join(leads)}")
    return leads
