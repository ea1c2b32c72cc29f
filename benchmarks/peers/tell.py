"""What a study of (d) or (e) found, written as the scripts write it: python tell.py STUDY RESULTS.json."""

import json
import sys
from pathlib import Path

import ablate


def main(name: str, results: Path) -> None:
    study = ablate.load_study(None, name)
    begun = study.attempts.groupby("slot_id").started_at.min()
    seconds = study.seconds.pivot_table(index="slot_id", columns="stage", values="seconds", fill_value=0.0)
    found = [
        {
            "key": slot.key,
            "scores": study.scores.loc[slot.slot_id, ["val_auroc", "val_auprc", "test_auroc", "test_auprc"]].to_dict(),
            "seconds": seconds.loc[slot.slot_id].to_dict(),
            "begun_at": begun[slot.slot_id].timestamp(),
        }
        for slot in study.slots.itertuples()
    ]
    results.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
