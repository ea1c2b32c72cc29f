"""``make chaos``: many seeds, and the table of faults and outcomes."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from chaos.fault import FAULTS
from chaos.play import Outcome, play, undisturbed
from chaos.scene import N_SLOTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--faults", type=int, default=30)
    arguments = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="ablate-chaos-") as parent:
        expected = undisturbed(_folder(parent, "undisturbed"))
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            outcome = play(_folder(parent, str(seed)), seed=seed, n_faults=arguments.faults, expected=expected)
            outcomes.append(outcome)
            flaws = "; ".join(outcome.flaws) or "as undisturbed"
            print(
                f"seed {seed}: {outcome.faults.total()} faults, {outcome.n_launches} starts of `ablate run`, "
                f"{outcome.seconds:.0f} s: {flaws}",
                flush=True,
            )
    print(table(outcomes))
    return int(any(outcome.flaws for outcome in outcomes))


def table(outcomes: list[Outcome]) -> str:
    """Faults and outcomes, as it stands in the README."""
    struck = sum((outcome.faults for outcome in outcomes), Counter[str]())
    lines = ["| fault | times |", "|---|---|"]
    lines += [f"| {name} | {struck[name]} |" for name in FAULTS]
    n_good = sum(not outcome.flaws for outcome in outcomes)
    lines.append(f"| all | {struck.total()} |")
    lines.append("")
    lines.append(
        f"{n_good} of {len(outcomes)} seeds: {N_SLOTS} slots, each with one result, equal bit for bit to undisturbed."
    )
    return "\n".join(lines)


def _folder(parent: str, name: str) -> Path:
    Path(parent).chmod(0o755)
    folder = Path(parent) / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
