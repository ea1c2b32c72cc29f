"""``ablate export`` and ``ablate predict``: take a model or its predictions home, and use it there."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.option import (
    DataOption,
    JsonOption,
    QuietOption,
    SkipOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    ThreadsOption,
    open_store,
    stored_study,
)
from ablate.cli.output import emit_json, say, stderr
from ablate.errors import OptionError, StoreError

if TYPE_CHECKING:
    from ablate.outcome import Progress
    from ablate.report.study_record import StudyRecord
    from ablate.report.take_home import TakenModel
    from ablate.report.taken_manifest import Training
    from ablate.store.store import Store

DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("export")(export)
    app.command("predict")(predict)


def export(
    study: StudyArgument = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the model, to be made.")] = None,
    arm: Annotated[
        str | None, typer.Option("--arm", help="By default the one with the best mean validation score.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", help="factor=value; needed where the study has several.")
    ] = None,
    replicate: Annotated[
        int | None, typer.Option("--replicate", help="From 0; by default the one with the best validation score.")
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train anew by the sealed params, on all training folds.")
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="FILE.csv or .parquet for all confirmed trials' probabilities.")
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "cpu",
    storage: StorageOption = None,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Write a model of a study, with all that is needed to use it, or the probabilities of every confirmed trial."""
    from ablate.exported.folder import check_out
    from ablate.exported.table import check_suffix

    if out is None and predictions is None:
        raise OptionError("what shall be written? --out DIR takes a model, --predictions FILE.parquet probabilities")
    if out is None and (arm or context or replicate is not None or retrain):
        raise OptionError("--arm, --context, --replicate and --retrain choose a model; --out DIR says where it goes")
    if out is not None:
        check_out(out)
    if predictions is not None:
        check_suffix(predictions, "--predictions")
    store = open_store(storage)
    name = stored_study(store, study, study_option)
    said: dict[str, object] = {"study": name}
    if predictions is not None:
        said |= _export_predictions(store, name, predictions, quiet=as_json)
    if out is not None:
        said |= _export_model(
            store, name, out, arm=arm, context=context or (), replicate=replicate, retrain=retrain, data=data,
            device=device, quiet=as_json,
        )  # fmt: skip
    if as_json:
        emit_json(said)


def _export_predictions(store: "Store", name: str, file: Path, *, quiet: bool) -> dict[str, object]:
    from ablate.exported.table import write_table
    from ablate.report.prediction_table import prediction_frame
    from ablate.report.study_record import StudyRecord

    frame = prediction_frame(StudyRecord.of(store.tables(name)))
    write_table(file, frame)
    n_slots = frame["slot"].nunique()
    if not quiet:
        say(f"{file}: {len(frame)} rows, probabilities of {n_slots} confirmed trials")
    return {"predictions": str(file), "rows": len(frame), "trials": n_slots}


def _export_model(
    store: "Store",
    name: str,
    out: Path,
    *,
    arm: str | None,
    context: "list[str] | tuple[str, ...]",
    replicate: int | None,
    retrain: bool,
    data: Path | None,
    device: str,
    quiet: bool,
) -> dict[str, object]:
    from ablate.exported.folder import write_folder
    from ablate.report.evidence import weigh
    from ablate.report.model_card import model_card
    from ablate.report.take_home import take
    from ablate.report.taken_manifest import Training, code_of, manifest_of
    from ablate.store.artifact import WEIGHTS

    evidence = weigh(store.tables(name))
    study = evidence.study
    holders = frozenset() if retrain else store.slots_with(name, WEIGHTS)
    taken = take(study, arm=arm, context=context, replicate=replicate, among=holders)
    code = code_of(study, taken)
    if retrain:
        training = _retrained(study, taken, data=data, device=device, quiet=quiet)
    else:
        _check_kept(study, taken, holders)
        training = Training.kept(store, name, taken)
    manifest = manifest_of(study, taken, training)
    write_folder(out, manifest, training.weights, model_card(evidence, manifest), code=code)
    if not quiet:
        score = study.spec.objectives.select
        which = "retrained on all training folds, seed of replicate" if retrain else "replicate"
        say(
            f"{out}: {taken.arm}, {which} {taken.replicate} of {name}; {score} {manifest.scores[score]:.4f}, "
            f"{len(training.weights):,} bytes of weights",
            f"use it: ablate predict {out} records.csv --out probabilities.csv",
        )
    return {"folder": str(out), "model": manifest.model_dump(mode="json")}


def _check_kept(study: "StudyRecord", taken: "TakenModel", holders: frozenset[int]) -> None:
    """See that the store has the weights of the trial that was chosen."""
    if taken.slot_id not in holders:
        name = study.spec.name
        what = "kept no weights" if not holders else f"kept none for replicate {taken.replicate} of {taken.arm}"
        raise StoreError(
            f"study {name}: {what}; `ablate export {name} --arm {taken.arm} --retrain --out DIR` trains the arm anew "
            'by the sealed params; keep = "best" in the study file would have kept them'
        )


def _retrained(study: "StudyRecord", taken: "TakenModel", *, data: Path | None, device: str, quiet: bool) -> "Training":
    from ablate.exported.retraining import retrain, retrained_params
    from ablate.report.taken_manifest import Training

    def report(progress: "Progress") -> None:
        if not quiet and progress.train_loss is not None:
            say(
                f"{progress.stage} epoch {progress.epoch} of {progress.n_epochs}: val_auroc {progress.val_auroc:.4f}",
                to=stderr,
            )

    params = retrained_params(taken.params)
    outcome = retrain(
        study.spec, taken.arm, taken.context.values, params, seed=taken.seed, data_dir=data, device=device,
        report=report, n_processes=os.cpu_count() or 1,
    )  # fmt: skip
    return Training.anew(outcome, params)


def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `ablate export` wrote.")],
    records: Annotated[
        str,
        typer.Argument(metavar="RECORDS", help="A table with a column of paths, or a source such as ptbxl."),
    ],
    out: Annotated[Path, typer.Option("--out", help="FILE.csv or FILE.parquet.")],
    data: DataOption = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of [data], such as columns.path=file; repeatable.")
    ] = None,
    skip_damaged: SkipOption = False,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="FILE.py:FUNCTION, for a model whose encoder is somebody's code.")
    ] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write an exported model's probabilities for records; no database is needed."""
    from ablate.cli.progress_bar import progress_bar
    from ablate.exported.model import load_model
    from ablate.exported.prediction import predict_source, records_of
    from ablate.exported.table import check_suffix, write_table

    check_suffix(out, "--out")
    model = load_model(folder, encoder=encoder, device=device, n_threads=threads)
    source = records_of(model.manifest, records, data_dir=data, overrides=tuple(set_ or ()))
    with progress_bar("reading", shown=not (quiet or as_json)) as advance:
        predicted = predict_source(
            model, source, skip_damaged=skip_damaged, n_processes=os.cpu_count() or 1, progress=advance
        )
    write_table(out, predicted.frame())
    if as_json:
        left_out = {str(number): why for number, why in predicted.left_out.items()}
        emit_json({"file": str(out), "records": len(predicted.record), "left_out": left_out})
        return
    if not quiet:
        say(*(f"left out: record {number}: {why}" for number, why in predicted.left_out.items()), to=stderr)
    say(f"{out}: {len(predicted.record)} records, {len(model.classes)} classes; {len(predicted.left_out)} left out")
