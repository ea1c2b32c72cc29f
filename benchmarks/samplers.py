"""Which sampler, how many trials, and which of them to choose: searches replayed on the response of real trials.

    PYTHONPATH=. python benchmarks/samplers.py replay RAW [--searches 12] [--most 64] [--generation 4]
    PYTHONPATH=. python benchmarks/samplers.py settle RAW [--searches 50]
    PYTHONPATH=. python benchmarks/samplers.py write RAW

``replay`` and ``settle`` fill RAW one line a search and go on where they were ended; ``write`` makes
``benchmarks/samplers.json`` of it and prints its tables as Markdown. Each search meets a response of its own, one that
the table of trials allows.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from replay import again, luckiest, search, smoothed
from response import ARMS
from surface import MARGINS, Truth, left_out, response

from ablate import seeds
from ablate.study.sampler import Sampler
from ablate.study.settlement import settle

HERE = Path(__file__).parent
BUDGETS = (4, 8, 16, 32, 64)
SAMPLERS = {
    "tpe": Sampler("tpe"),
    "gp": Sampler("gp"),
    "qmc": Sampler("qmc", {"scramble": True}),
    "cmaes": Sampler("cmaes"),
    "random": Sampler("random"),
    "latin": Sampler("latin"),
    "posterior": Sampler("posterior"),
}
TABLES = ("ptbxl_10", "synthetic_10")
LIMITS = (0.25, 0.5, 1.0)  # of the margin: how much may remain when a search calls itself settled


def replayed(path: Path, tables: list[str], n_searches: int, most: int, generation: int, names: list[str]) -> None:
    """Regret at each budget, by sampler and way of choosing."""
    done = {tuple(row["key"]) for row in lines(path)}
    for number, name, table, arm in _turns(tables, n_searches, names):
        key = (name, table, arm, number)
        if key in done:
            continue
        truth = Truth(response(table), arm, seed=seeds.derive("truth", table, arm, number))
        budgets = [n for n in BUDGETS if n <= (16 if name == "gp" and most > 32 else most)]
        begun = time.process_time()
        found: dict[str, Any] = {"key": key, "regret": {}}
        trials = search(truth, SAMPLERS[name], n_trials=budgets[-1], generation=generation, seed=number)
        found["search_cpu_s"] = round(time.process_time() - begun, 3)
        for n in budgets:
            seen = trials[:n]
            if name == "latin" and n < len(trials):  # a cube of its own: a part of a larger one leaves holes
                seen = search(truth, SAMPLERS[name], n_trials=n, generation=generation, seed=number)
            ways = {"luckiest": luckiest(truth, seen), "smoothed": smoothed(truth, seen)}
            if n >= 16:
                ways["again"] = again(truth, seen, seed=number)
            found["regret"][n] = {way: round(truth.regret(params), 6) for way, params in ways.items()}
        append(path, found)


def settled(
    path: Path, tables: list[str], n_searches: int, generation: int, first: int, most: int, names: list[str]
) -> None:
    """Searches that end when they call themselves settled, at several limits of what may remain."""
    done = {tuple(row["key"]) for row in lines(path)}
    for number, name, table, arm in _turns(tables, n_searches, names):
        key = (name, table, arm, number)
        if key in done:
            continue
        truth = Truth(response(table), arm, seed=seeds.derive("truth", table, arm, number))
        margin = MARGINS[truth.score]
        stops: dict[float, dict[str, Any]] = {}

        def enough(trials: Any, *, of: Truth = truth, stops: dict[float, dict[str, Any]] = stops) -> bool:
            if len(trials) < first:
                return False
            found = settle(trials, of.domains, MARGINS[of.score])
            for limit in LIMITS:
                if limit not in stops and (found.remaining_gain < limit * MARGINS[of.score]):
                    stops[limit] = _stop(of, trials, found)
            return all(limit in stops for limit in LIMITS)

        trials = search(truth, SAMPLERS[name], n_trials=most, generation=generation, seed=number, until=enough)
        end = settle(trials, truth.domains, margin)
        for limit in LIMITS:
            stops.setdefault(limit, {**_stop(truth, trials, end), "is_settled": False})
        append(path, {"key": key, "stops": stops})


def _stop(truth: Truth, trials: Any, found: Any) -> dict[str, Any]:
    return {
        "n": len(trials),
        "is_settled": True,
        "smoothed": round(truth.regret(found.params), 6),
        "luckiest": round(truth.regret(luckiest(truth, trials)), 6),
        "gain": round(found.remaining_gain, 6),
        "edges": [edge.name for edge in found.edges],
    }


def _turns(tables: list[str], n_searches: int, names: list[str]) -> Iterator[tuple[int, str, str, str]]:
    for number in range(n_searches):
        for table in tables:
            for arm in ARMS:
                for name in names:
                    yield number, name, table, arm


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def write(raw: Path) -> None:
    """Quantiles over the searches, to print and to keep."""
    found: dict[str, Any] = {"surrogate": {}, "regret": {}, "settled": {}}
    for table in TABLES:
        of = response(table)
        found["surrogate"][table] = {
            **left_out(table), "trial_sd": round(of.trial_sd, 5), "seed_sd": round(of.seed_sd, 5)
        }  # fmt: skip
    for (table, name), group in _grouped(lines(raw / "replay.jsonl"), 1, 0):
        by_budget = found["regret"].setdefault(table, {}).setdefault(name, {})
        for n in group[0]["regret"]:
            for way in group[0]["regret"][n]:
                by_budget.setdefault(n, {})[way] = _quantiles([row["regret"][n][way] for row in group])
    for (table, name, arm), group in _grouped(lines(raw / "settle.jsonl"), 1, 0, 2):
        for limit in group[0]["stops"]:
            stops = [row["stops"][limit] for row in group]
            found["settled"].setdefault(table, {}).setdefault(name, {}).setdefault(arm, {})[limit] = {
                "searches": len(stops),
                "settled": sum(stop["is_settled"] for stop in stops),
                "trials": _quantiles([stop["n"] for stop in stops]),
                "regret": _quantiles([stop["smoothed"] for stop in stops]),
                "regret_settled": _quantiles([stop["smoothed"] for stop in stops if stop["is_settled"]]),
                "regret_luckiest": _quantiles([stop["luckiest"] for stop in stops]),
                "with_edges": sum(bool(stop["edges"]) for stop in stops),
            }
    (HERE / "samplers.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(markdown(found)))


def markdown(found: dict[str, Any]) -> Iterator[str]:
    """Tables for ``benchmarks/samplers.md``."""
    for table, by_sampler in found["regret"].items():
        budgets = [n for n in BUDGETS if any(n in by or str(n) in by for by in by_sampler.values())]
        yield f"\n{table}: median / 90th percentile of the regret, in thousandths\n"
        yield "| sampler | chosen | searches | " + " | ".join(f"{n} trials" for n in budgets) + " |"
        yield "|---|---|---|" + "---|" * len(budgets)
        for name, by_budget in by_sampler.items():
            for way in ("luckiest", "smoothed", "again"):
                cells = [_cell(by_budget.get(n, by_budget.get(str(n), {})).get(way)) for n in budgets]
                n_searches = max(each.get(way, {}).get("n", 0) for each in by_budget.values())
                yield f"| {name} | {way} | {n_searches} | " + " | ".join(cells) + " |"
    for table, by_sampler in found["settled"].items():
        yield f"\n{table}: searches that end when little remains\n"
        yield "| sampler | arm | limit, of the margin | searches | settled by the limit | trials | regret |"
        yield "|---|---|---|---|---|---|---|"
        for name, by_arm in by_sampler.items():
            for arm, by_limit in by_arm.items():
                for limit, of in by_limit.items():
                    trials = f"{of['trials']['median']:g} / {of['trials']['p90']:g}"
                    yield (
                        f"| {name} | {arm} | {limit} | {of['searches']} | {of['settled']} | {trials} | "
                        f"{_cell(of['regret'])} |"
                    )


def _cell(of: dict[str, float] | None) -> str:
    return f"{1000 * of['median']:.1f} / {1000 * of['p90']:.1f}" if of and of.get("n") else ""


def _grouped(rows: list[dict[str, Any]], *places: int) -> Iterator[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row["key"][place] for place in places)

    for each, group in groupby(sorted(rows, key=key), key):
        yield each, list(group)


def _quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    low, high = np.quantile(values, [0.5, 0.9])
    return {"n": len(values), "median": round(float(low), 5), "p90": round(float(high), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("replay", "settle", "write"))
    parser.add_argument("raw", type=Path)
    parser.add_argument("--searches", type=int, default=12, help="of each sampler, table and arm")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--first", type=int, default=8)
    parser.add_argument("--most", type=int, default=64)
    parser.add_argument("--generation", type=int, default=4)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    asked = parser.parse_args()
    if asked.command == "replay":
        replayed(asked.raw / "replay.jsonl", asked.tables, asked.searches, asked.most, asked.generation, asked.samplers)
    elif asked.command == "settle":
        settled(
            asked.raw / "settle.jsonl",
            asked.tables,
            asked.searches,
            asked.generation,
            asked.first,
            asked.most,
            asked.samplers,
        )
    else:
        write(asked.raw)


if __name__ == "__main__":
    main()
