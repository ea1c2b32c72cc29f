"""The post-training routine: preview linear probing, then fine-tuning; one trial from its params to its outcome.

Source: arXiv 2509.12991 (stochastic depth and preview linear probing for ECGFounder). Where that paper is silent the
choices are ours and are described where they are made: ``param_group`` for rates and weight decay, ``probe``,
``finetune`` and ``epoch_plan``.

To follow one epoch read ``stage.train_stage``, then ``finetune.FineTune.train``, then ``epoch_plan.plan_epoch``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ablate import digest, seeds
from ablate.ecg.split import TaskData, fraction, lost_classes, with_val_part
from ablate.model.checkpoint import packed_weights
from ablate.model.encoder import Classifier, Encoder, EncoderSpec, require_input
from ablate.model.window import WindowMean
from ablate.outcome import Outcome, Progress
from ablate.stats.threshold import best_thresholds
from ablate.train import encoder_cache, provenance
from ablate.train.checkpoint import Checkpoint, Saved
from ablate.train.early_stopping import NO_RUNGS, Rungs
from ablate.train.feature_bank import feature_bank
from ablate.train.feature_cache import FeatureCache
from ablate.train.finetune import FineTune
from ablate.train.machine import Machine, MemoryPeak, memory_errors, prepared
from ablate.train.numerics import lacks_determinism
from ablate.train.params import Params
from ablate.train.probe import Probe
from ablate.train.score import assess
from ablate.train.signals import Signals
from ablate.train.stage import Course, Learner, train_stage, unpacked
from ablate.train.trial import ProgressReporter, Stopped, Trial, smoothed, start_head

__all__ = ["FeatureCache", "Machine", "Outcome", "Progress", "Stopped", "never", "post_train", "silent"]


def never() -> bool:
    """For trials that nobody stops."""
    return False


def silent(progress: Progress) -> None:
    """For trials that nobody watches."""


def post_train(
    encoder_spec: EncoderSpec,
    data: TaskData,
    params: Params,
    *,
    seed: int,
    machine: Machine | None = None,
    report: Callable[[Progress], None] = silent,
    features: FeatureCache | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[], bool] = never,
    rungs: Rungs | None = None,
    keep_weights: bool = False,
) -> Outcome:
    """Probe, fine-tune, choose an epoch on the validation records, and score it.

    Equal arguments give equal bits on equal hardware, in any process and after any number of interruptions. Each source
    of randomness has a stream of its own, so switching one component on does not shift the numbers of another.

    Args:
        encoder_spec: which encoder with which weights; ``params.init = "random"`` overrides the weights.
        data: of one task. With the test fold opened, the chosen and the last epoch are scored on it too.
        params: hyper-parameters.
        seed: of the block: the subset, the head, the order of batches and all noise derive from it.
        machine: where to compute; one CPU thread by default.
        report: called after each epoch; now and then in stages without epochs and, without a training loss, within
            long epochs.
        features: where features of the frozen encoder are kept; None probes through the encoder in every epoch.
        checkpoint: file to go on from, written now and then and when the trial is stopped: a process that is killed
            loses two minutes and one epoch at most. The caller removes it, and files beside it whose names begin with
            its name, when it is done.
        stop: asked at every batch.
        rungs: where fine-tuning ends early, which the outcome says; a trial that goes on from a checkpoint ends there
            too. None trains to the end.
        keep_weights: whether the outcome brings the chosen epoch's network, and thresholds for its probabilities.

    Raises:
        SpecError: the encoder takes other records than ``data`` has, or the device is not there.
        CheckpointError: the encoder's weights cannot be used.
        DataError: the fraction leaves no record, or no class that can be scored on the validation records.
        Diverged: a loss or a probability is not finite.
        OutOfMemory: a smaller ``micro_batch`` may help.
        Stopped: ``stop()`` was true; the same call goes on from ``checkpoint``.
    """
    machine = machine or Machine()
    call = partial(
        _post_train, encoder_spec, data, params, seed=seed, machine=machine, report=report, features=features,
        checkpoint=checkpoint, stop=stop, rungs=rungs or NO_RUNGS, keep_weights=keep_weights,
    )  # fmt: skip
    with memory_errors(machine):
        try:
            return call(strict=True, notes=[])
        except RuntimeError as error:
            if not lacks_determinism(error):
                raise
            reason = str(error).partition("does not have")[0].strip()
        return call(strict=False, notes=[f"{reason} has no deterministic form on {machine.device}: bits may differ"])


def _post_train(
    encoder_spec: EncoderSpec,
    data: TaskData,
    params: Params,
    *,
    seed: int,
    machine: Machine,
    report: Callable[[Progress], None],
    features: FeatureCache | None,
    checkpoint: Path | None,
    stop: Callable[[], bool],
    rungs: Rungs,
    keep_weights: bool,
    strict: bool,
    notes: list[str],
) -> Outcome:
    with prepared(machine, strict=strict) as device:
        peak = MemoryPeak(device)
        spec = _start_of(encoder_spec, params)
        encoder, encoder_digest = encoder_cache.take(spec, seed=seed)
        n_leads, n_samples = data.signals.shape[1:]
        n_taken = data.n_window or n_samples
        require_input(encoder, fs_hz=data.fs_hz, n_leads=n_leads, n_samples=n_taken, any_rate=spec.is_random)
        if n_taken < n_samples:
            encoder, encoder_digest = WindowMean(encoder, n_taken), digest.of_json([encoder_digest, n_taken])
        identity = _identity(params, seed, data, encoder_digest, machine)
        trial = _start(data, params, seed=seed, machine=machine, device=device, report=report, stop=stop, rungs=rungs)
        trial.notes.extend(notes)
        saved = Checkpoint(checkpoint, digest.of_json([identity, strict]), trial.notes)
        network = _Network(encoder, encoder_digest, is_shared=not spec.is_random, features=features)
        try:
            model, learner, course = _train(network, trial, saved)
            outcome = _outcome(learner, course, trial, encoder_cache.digest_of(encoder_spec), peak)
            if keep_weights:
                outcome = _with_weights(outcome, model, learner, course, trial)
        except Stopped:
            saved.flush()
            raise
        finally:
            saved.wait()
        # The result carries the digest of the encoder that was asked for: its random twin differs in every block.
        all_notes = tuple(trial.notes)  # now that nothing is being written, which may have been noted too
        return replace(outcome, fingerprint=_fingerprint(identity), notes=all_notes)


@dataclass(frozen=True)
class _Network:
    encoder: Encoder
    digest: str
    is_shared: bool
    features: FeatureCache | None


def _start(
    data: TaskData,
    params: Params,
    *,
    seed: int,
    machine: Machine,
    device: torch.device,
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
    rungs: Rungs,
) -> Trial:
    positions = fraction(data, data_fraction=params.data_fraction, seed=seeds.derive(seed, "subset"))
    if params.val_fraction == "as data_fraction":
        data = with_val_part(data, data_fraction=params.data_fraction, seed=seeds.derive(seed, "validation subset"))
    signals = Signals(data.signals, device=device, hold=machine.hold_data)
    return Trial(
        data=data,
        params=params,
        seed=seed,
        machine=machine,
        device=device,
        signals=signals,
        train_rows=data.train_rows[positions],
        targets=smoothed(data.train_labels[positions], params.label_smoothing, device),
        lost_classes=lost_classes(data, positions),
        progress_reporter=ProgressReporter(report),
        stop=stop,
        rungs=rungs,
        notes=[signals.note] if signals.note else [],
    )


def _train(network: _Network, trial: Trial, checkpoint: Checkpoint) -> tuple[Classifier, Learner, Course]:
    """Both stages, or what is left of them after ``checkpoint``; the network, the last one's learner and its course."""
    params, saved = trial.params, checkpoint.load()
    model = Classifier(network.encoder, len(trial.data.classes), dropout=params.dropout)
    start_head(model.head, trial.seed)
    model.to(trial.device).eval()
    if saved is not None:
        trial.seconds.update(saved.facts["seconds"])
        trial.earlier.extend(Progress(**epoch) for epoch in saved.facts["earlier"])
    is_tuning = saved is not None and saved.facts["stage"] == FineTune.stage
    if params.probe_epochs and not is_tuning:
        bank = feature_bank(model.encoder, network.digest, trial, network.features, is_shared=network.is_shared)
        learner: Learner = Probe(model.head, bank, trial)
        course = _go_on(learner, saved, trial, checkpoint)
        if not params.ft_epochs:
            return model, learner, course
        trial.earlier.extend(course.epochs)
        saved = None
    learner = FineTune(network.encoder, model, trial)
    return model, learner, _go_on(learner, saved, trial, checkpoint)


def _go_on(learner: Learner, saved: Saved | None, trial: Trial, checkpoint: Checkpoint) -> Course:
    course = unpacked(saved, learner) if saved else Course()
    train_stage(learner, course, trial, checkpoint)
    return course


def _outcome(learner: Learner, course: Course, trial: Trial, encoder_digest: str, peak: MemoryPeak) -> Outcome:
    assessment = assess(learner, course, trial)
    return Outcome(
        best_epoch=assessment.best_epoch,
        epochs=(*trial.earlier, *course.epochs),
        scores=assessment.scores,
        class_scores=assessment.class_scores,
        val_probabilities=assessment.val_probabilities,
        test_probabilities=assessment.test_probabilities,
        external_probabilities=assessment.external_probabilities,
        seconds=dict(trial.seconds),
        peak_memory_bytes=peak.n_bytes(),
        n_train=len(trial.train_rows),
        n_val=len(trial.data.val_rows),
        n_skipped=trial.data.n_skipped,
        lost_classes=trial.lost_classes,
        digests={
            "data": trial.data.digest,
            "encoder": encoder_digest,
            "code": provenance.code_version(),
            "environment": provenance.environment(),
        },
        device=trial.machine.device,
        precision=trial.machine.precision,
        micro_batch=trial.machine.micro_batch,
        early_stop=trial.rungs.early_stop(course.epochs),
        notes=tuple(trial.notes),
    )


def _with_weights(outcome: Outcome, model: Classifier, learner: Learner, course: Course, trial: Trial) -> Outcome:
    """The outcome with the network of the epoch that it scores; where only the head learned, the rest is as it came."""
    learner.model.load_state_dict(course.chosen(trial.params.epoch_choice).weights)
    chosen = best_thresholds(trial.data.val_labels, outcome.val_probabilities)
    thresholds = dict(zip(trial.data.classes, chosen, strict=True))
    return replace(outcome, weights=packed_weights(model, about="ablate classifier"), thresholds=thresholds)


def fingerprint(
    encoder_spec: EncoderSpec, data: TaskData, params: Params, *, seed: int, machine: Machine | None = None
) -> str:
    """What ``post_train`` would give its outcome as ``fingerprint``, without training anything.

    Raises:
        SpecError: the device is not there, or nothing has the encoder's name.
        CheckpointError: the encoder's weights cannot be used.
    """
    machine = machine or Machine()
    _, encoder_digest = encoder_cache.take(_start_of(encoder_spec, params), seed=seed)
    return _fingerprint(_identity(params, seed, data, encoder_digest, machine))


def _start_of(encoder_spec: EncoderSpec, params: Params) -> EncoderSpec:
    return encoder_spec if params.init == "pretrained" else EncoderSpec(encoder_spec.name, "random")


def _fingerprint(identity: str) -> str:
    return digest.of_json([identity, provenance.environment()])


def _identity(params: Params, seed: int, data: TaskData, encoder_digest: str, machine: Machine) -> str:
    """Digest of all that decides a trial's bits, the kind of processor or GPU included."""
    return digest.of_json(
        {
            "params": params.document(),
            "seed": seed,
            "data": data.digest,
            "encoder": encoder_digest,
            "machine": machine.identity(),
            "hardware": provenance.hardware(machine.torch_device),
            "code": provenance.CODE_DIGEST,
        }
    )
