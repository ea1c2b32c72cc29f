"""A search with early stopping against a competent script that trains the same trials to their ends.

    python benchmarks/peers/search.py [--study sd_vs_lp_ptbxl] [--data DIR] [--trials 16] [--share 4] [--out FILE]

Three runs over the same trials, whose params come from a Latin hypercube and so depend on no score:

1. ``ablate``, early stopping on: timed, preparation and start-up included;
2. the competent script (b) on every ``--share``-th trial: timed; what comes before its first slot counts once, its
   slots ``--share`` times, since they are equally many in each arm;
3. ``ablate``, early stopping off: not timed, it says what the best params would have been.

Where an arm's best params differ, both are trained on the study's paired blocks and scored on the test fold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from slots import described

import ablate
from ablate.study.file import load_spec

HERE = Path(__file__).parent
SCORE = "val_auroc"


def run_study(study: str, sets: list[str], home: Path, *words: str) -> float:
    """``ablate run`` with the overrides; seconds from its start to its end."""
    begun = time.perf_counter()
    overrides = [word for each in sets for word in ("--set", each)]
    command = [sys.executable, "-m", "ablate", "run", "--study", study, *overrides, "--quiet", *words]
    subprocess.run(command, check=True, env={**os.environ, "ABLATE_HOME": str(home)})
    return time.perf_counter() - begun


def look(study: str, sets: list[str], home: Path) -> Any:
    """The study's tables, and the server stopped afterwards."""
    os.environ["ABLATE_HOME"] = str(home)
    try:
        return ablate.load_study(None, load_spec(study, overrides=sets).name)
    finally:
        subprocess.run([sys.executable, "-m", "ablate", "storage", "stop"], check=True, stdout=subprocess.DEVNULL)


def script_s(about: dict[str, Any], place: Path, share: int) -> float:
    """Seconds that the competent script needs for ``share`` times the slots of ``about``."""
    (place / "slots.json").write_text(json.dumps(about))
    use = place / "use.json"
    command = [sys.executable, str(HERE / "competent.py"), str(place / "slots.json"), str(place / "results.json")]
    subprocess.run([sys.executable, str(HERE / "meter.py"), str(use), "--", *command], check=True)
    taken = json.loads(use.read_text())
    found = json.loads((place / "results.json").read_text())
    before_s = min(slot["begun_at"] for slot in found) - taken["begun_at"]
    return before_s + share * (taken["wall_s"] - before_s)


def searched(tables: Any) -> Any:
    """Search slots with their arm and score; the score of a stopped trial is none."""
    rows = tables.slots[tables.slots.phase == "search"].set_index("slot_id")
    scores = tables.scores[SCORE].reindex(rows.index).where(rows.stopped_epoch.isna())
    return rows.assign(score=scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="sd_vs_lp_ptbxl")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--trials", type=int, default=16, help="of each arm")
    parser.add_argument("--share", type=int, default=4, help="the script trains one in so many")
    parser.add_argument("--out", type=Path, help="write the figures there, under the key search")
    asked = parser.parse_args()
    if asked.data:
        os.environ["ABLATE_DATA"] = str(asked.data.absolute())
    common = [f"budget.search_trials={asked.trials}", "budget.generation=4", "search.sampler='latin'"]
    early, whole = [*common, "search.early_stopping=true"], common
    with tempfile.TemporaryDirectory(prefix="search") as folder:
        Path(folder).chmod(0o755)
        places = {name: Path(folder) / name for name in ("early", "whole", "script")}
        for place in places.values():
            place.mkdir()
        early_s = run_study(asked.study, early, places["early"], "--phase", "search")
        stopping = look(asked.study, early, places["early"])
        trials = searched(stopping)
        print(f"ablate, early stopping on: {early_s:.0f} s", flush=True)
        part = [slot for _, rows in trials.groupby("arm") for slot in rows.index[:: asked.share]]
        chosen = [(trials.key[slot], int(trials.seed[slot]), stopping.params.loc[slot].to_dict()) for slot in part]
        about = described(load_spec(asked.study, overrides=early), chosen, cache=places["early"] / "prepared")
        peer_s = script_s(about, places["script"], asked.share)
        print(f"competent script: {peer_s:.0f} s for all, from {len(part)} of {len(trials)}", flush=True)
        run_study(asked.study, whole, places["whole"], "--phase", "search")
        everything = look(asked.study, whole, places["whole"])
        found = {
            "study": asked.study,
            "trials": len(trials),
            "stopped": int(trials.stopped_epoch.notna().sum()),
            "epochs_share": round(fine_tuned(stopping) / fine_tuned(everything), 3),
            "early_s": round(early_s, 1),
            "script_s": round(peer_s, 1),
            "script_over_early": round(peer_s / early_s, 2),
            "best": best(trials, searched(everything)),
        }
        differing = [arm for arm, pair in found["best"].items() if pair["early"] != pair["whole"]]
        if differing:
            for name, sets in (("early", early), ("whole", whole)):
                run_study(asked.study, sets, places[name])
            tables = [look(asked.study, sets, places[name]) for name, sets in (("early", early), ("whole", whole))]
            found["test_auroc_early_minus_whole"] = {arm: paired(arm, *tables) for arm in differing}
    print(json.dumps(found, indent=1))
    if asked.out:
        before = json.loads(asked.out.read_text()) if asked.out.exists() else {}
        asked.out.write_text(json.dumps(before | {"search": found}, indent=1) + "\n")


def fine_tuned(tables: Any) -> int:
    """Epochs of fine-tuning in the search."""
    of_search = set(tables.slots[tables.slots.phase == "search"].slot_id)
    return int((tables.epochs.slot_id.isin(of_search) & (tables.epochs.stage == "finetune")).sum())


def best(stopping: Any, everything: Any) -> dict[str, dict[str, Any]]:
    """The trial that each search would choose, by arm, and the score that it has when trained whole."""
    score_of = everything.set_index("key").score

    def chosen(trials: Any, arm: str) -> dict[str, Any]:
        key = trials.key[trials[trials.arm == arm].score.idxmax()]
        return {"slot": key, SCORE: round(float(score_of[key]), 5)}

    return {arm: {"early": chosen(stopping, arm), "whole": chosen(everything, arm)} for arm in stopping.arm.unique()}


def paired(arm: str, early: Any, whole: Any) -> dict[str, float]:
    """Mean difference over the paired blocks with its 95 % t interval."""
    both = [
        tables.slots[(tables.slots.phase == "confirm") & (tables.slots.arm == arm)].set_index("index").slot_id
        for tables in (early, whole)
    ]
    difference = np.array(
        [early.scores.test_auroc[both[0][i]] - whole.scores.test_auroc[both[1][i]] for i in both[0].index]
    )
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
    mean = float(difference.mean())
    return {"mean": round(mean, 5), "low": round(mean - half, 5), "high": round(mean + half, 5), "n": len(difference)}


if __name__ == "__main__":
    main()
