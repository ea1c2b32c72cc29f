"""``ablate run`` and ``ablate worker``: fill the slots of a study."""

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate import settings
from ablate.cli.completion import remember_studies
from ablate.cli.launcher_option import KUBERNETES, LOCAL, engine
from ablate.cli.option import (
    DataOption,
    JsonOption,
    QuietOption,
    SetOption,
    SkipOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    named_study,
    open_store,
    spec_of,
    storage_address,
    study_name,
)
from ablate.cli.output import console, emit_json, say, stderr
from ablate.cli.subject_check import check_subjects
from ablate.errors import LaunchError, OptionError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ablate.ecg.view import View
    from ablate.launch.launcher import AgentStatus, Launcher
    from ablate.launch.local import LocalLauncher
    from ablate.store.store import Store
    from ablate.study.spec import Spec
    from ablate.worker.agent_options import AgentOptions

PhaseOption = Annotated[str | None, typer.Option(help="search or confirm; both, one after the other, by default.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; by turns over the GPUs if there are any.")]
LeaseOption = Annotated[float, typer.Option("--lease", help="Seconds of silence after which a slot is taken back.")]
ReuseOption = Annotated[bool, typer.Option("--reuse", help="Take what other studies of the store have trained.")]
MixedOption = Annotated[bool, typer.Option("--allow-mixed", help="Go on with other code than it was begun with.")]

PILOTING = "pilot: how many trainers should share a device?"
_SOME_FAILED = 1
INTERRUPTED = 130
_UNFILLED = {"failed": "failed", "were cancelled": "cancelled"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("run")(run)
    app.command("worker")(worker)


def run(
    study: StudyArgument = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Agents; by default see `ablate packing`.")] = None,
    data: DataOption = None,
    set_: SetOption = None,
    storage: StorageOption = None,
    phase: PhaseOption = None,
    device: DeviceOption = None,
    lease_s: LeaseOption = 60.0,
    reuse: ReuseOption = False,
    allow_mixed: MixedOption = False,
    skip_damaged: SkipOption = False,
    launcher: Annotated[str, typer.Option(help="local, ray, slurm or kubernetes.")] = LOCAL,
    gpus_per_worker: Annotated[float | None, typer.Option(help="Of the engine; 0.5 lets two agents share.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster; RAY_ADDRESS, or one here.")] = None,
    shared_dir: Annotated[Path | None, typer.Option(help="Folder that all machines see; their ABLATE_HOME.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="key=value for the engine, such as partition=gpu.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Create the Kubernetes Job instead of printing it.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Fill every slot of a study; run it again to go on where it stopped."""
    from ablate.launch.local import LocalLauncher

    # Whatever can be refused is refused before anything starts.
    named = {"gpus_per_worker": gpus_per_worker, "address": ray_address, "shared_dir": shared_dir}
    elsewhere = engine(launcher, named=named, pairs=option or ())
    check_device(device, is_here=elsewhere is None)
    use_data(data)
    overrides = [*(set_ or ()), *(["data.skip_damaged=true"] if skip_damaged else ())]
    spec = spec_of(named_study(study, study_option), overrides, storage)
    options = _agent_options(
        spec.name, phase, lease_s=lease_s, reuse=reuse, allow_mixed=allow_mixed, device=device or "cpu"
    )
    check_subjects(spec)
    is_silent = quiet or as_json
    try:
        # A launcher before all else: its imports go on while Postgres starts and records are prepared.
        with LocalLauncher() if elsewhere is None else contextlib.nullcontext() as here:
            store = open_store(storage)
            options = replace(options, storage=storage_address(storage))
            if not _is_filled(store, spec, options.phases):
                if here is not None:
                    _fill_here(store, spec, options, here, workers=workers, device=device, is_silent=is_silent)
                elif elsewhere is not None:
                    n_agents = workers or os.cpu_count() or 1
                    if elsewhere.name == KUBERNETES and not apply:
                        register_study(store, spec)
                        typer.echo(elsewhere.manifest(options, n_agents=n_agents))
                        return
                    with begun(store, spec):
                        _fill(store, spec, elsewhere.launcher(), [options] * n_agents, is_silent=is_silent)
            _conclude(store, spec, quiet=quiet, as_json=as_json)
    except KeyboardInterrupt:
        say(
            f"stopped; the same command goes on from here, `ablate status {spec.name}` shows where",
            to=stderr if is_silent else console,
        )
        raise typer.Exit(INTERRUPTED) from None


def run_here(
    study: str,
    *,
    workers: int | None,
    overrides: "Sequence[str]",
    data: Path | None,
    storage: str | None,
    device: str | None,
) -> str:
    """Fill every slot of a study on this machine without a word, for a notebook; gives the name in the store.

    Raises:
        AblateError: see ``run``.
        KeyboardInterrupt: Ctrl-C, after every agent has ended.
    """
    from ablate.launch.local import LocalLauncher

    check_device(device, is_here=True)
    use_data(data)
    spec = spec_of(study, overrides, storage)
    options = _agent_options(spec.name, None, lease_s=60.0, device=device or "cpu")
    check_subjects(spec)
    with LocalLauncher() as launcher:
        store = open_store(storage)
        options = replace(options, storage=storage_address(storage))
        try:
            if not _is_filled(store, spec, options.phases):
                _fill_here(store, spec, options, launcher, workers=workers, device=device, is_silent=True)
            store.reconcile(spec.name)
            store.mirror(spec.name)
        except typer.Exit as ending:
            raise LaunchError(f"{spec.name}: agents could not go on; what they said stands above") from ending
        finally:
            store.disconnect()
    return spec.name


def worker(
    study: StudyArgument = None,
    storage: StorageOption = None,
    data: DataOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    phase: PhaseOption = None,
    lease_s: LeaseOption = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="Of the trainer.")] = 1,
    reuse: ReuseOption = False,
    allow_mixed: MixedOption = False,
    study_option: StudyOption = None,
) -> None:
    """Fill slots of a study that somebody has registered; one agent, on any machine that reaches the store."""
    from ablate.worker.agent_start import serve
    from ablate.worker.fork_server import ForkServer

    check_device(device, is_here=True)
    use_data(data)
    options = _agent_options(
        study_name(study, study_option),
        phase,
        lease_s=lease_s,
        reuse=reuse,
        allow_mixed=allow_mixed,
        device=device,
        n_threads=threads,
    )
    options = replace(options, storage=storage_address(storage))
    ending = serve(options, fork_server=ForkServer.start(n_threads=threads))
    say(f"{options.study}: {ending}")


def use_data(folder: Path | None) -> None:
    """Let this process and its children find PTB-XL in ``folder``."""
    if folder is not None:
        os.environ["ABLATE_DATA"] = str(settings.data_dir(folder))  # agents and trainers inherit it


def check_device(device: str | None, *, is_here: bool) -> None:
    """See that ``--device`` names a device, and one that is there where agents work on this machine.

    Raises:
        OptionError: it is none.
        LaunchError: it is not there.
    """
    from ablate.worker.device import deal

    if device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise OptionError(f"--device {device}: expected cpu, cuda or cuda:N")
    if is_here:
        deal(1, device=device)


def _agent_options(study: str, phase: str | None, **options: Any) -> "AgentOptions":
    """Everything but the storage, whose address may start a Postgres."""
    from ablate.study.plan import CONFIRM, SEARCH
    from ablate.worker.agent_options import AgentOptions

    if phase not in (None, SEARCH, CONFIRM):
        raise OptionError(f"--phase {phase}: expected {SEARCH} or {CONFIRM}")
    return AgentOptions(study=study, storage="", phases=(SEARCH, CONFIRM) if phase is None else (phase,), **options)


def _fill_here(
    store: "Store",
    spec: "Spec",
    options: "AgentOptions",
    launcher: "LocalLauncher",
    *,
    workers: int | None,
    device: str | None,
    is_silent: bool,
) -> None:
    """Agents on this machine; records are prepared before the study is registered, so a start that fails leaves none.

    Raises:
        AblateError: see ``run``.
    """
    from ablate.worker.device import deal

    cohorts = prepare_records(spec, quiet=is_silent)
    devices = deal(workers, device=device) if workers else []
    with begun(store, spec):  # before a pilot, which keeps what it finds with the study
        devices = devices or _devices_for(store, spec, cohorts, device, quiet=is_silent)
        _fill(store, spec, launcher, [replace(options, device=each) for each in devices], is_silent=is_silent)


def _fill(
    store: "Store", spec: "Spec", launcher: "Launcher", options: "Sequence[AgentOptions]", *, is_silent: bool
) -> None:
    """Let agents work until nothing is left; what they complain of is said once."""
    from ablate.cli.progress import progress
    from ablate.launch.launcher import launch

    store.clear_stop(spec.name)
    if not options[0].reuse:
        _offer(store, spec, options[0].phases)
    with progress(store, spec.name, quiet=is_silent) as display:
        statuses = launch(launcher, options, on_tick=display.tick, on_stop=display.stop)
    if not _is_over(store, spec, options[0].phases):
        _complain(statuses)


@contextlib.contextmanager
def begun(store: "Store", spec: "Spec") -> "Iterator[None]":
    """The study in the store; a new one goes again where its start fails, whatever with, before its first slot.

    An interrupted start stays: the same command goes on from it.
    """
    is_new = register_study(store, spec)
    try:
        yield
    except Exception:
        with contextlib.suppress(StoreError):  # what went wrong first is what is said
            if is_new and not any(slot.attempts for slot in store.slots(spec.name)):
                store.delete(spec.name)
                remember_studies(store.studies())
        raise


def register_study(store: "Store", spec: "Spec") -> bool:
    """Put the study and its slots into the store, unless they are there; whether it is new.

    Raises:
        StoreError: a study of this name has another spec.
    """
    from ablate.study.plan import plan

    is_new = store.register(
        spec.name, spec.document(), spec.digest(), plan(spec), space=spec.space, max_attempts=spec.budget.max_attempts
    )
    if is_new:
        remember_studies(store.studies())
    return is_new


def _offer(store: "Store", spec: "Spec", phases: tuple[str, ...]) -> None:
    """Say what other studies have trained already; on standard error, for it is no result."""
    if len(store.studies()) < 2:
        return
    from ablate.study.reuse import offer
    from ablate.train.provenance import CODE_DIGEST

    offered = offer(store, spec, code=CODE_DIGEST, phases=phases)
    if offered.n_slots:
        n_all = store.counts(spec.name).total()
        stderr.print(
            f"{spec.name}: {offered.n_slots} of {n_all} slots are finished in {', '.join(offered.studies)} already; "
            "--reuse takes their results, where records, weights and libraries are the same",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def prepare_records(spec: "Spec", *, quiet: bool) -> "dict[View, Path]":
    """Folder of the study's prepared arrays for each view of the records; shows how their making gets on, and what
    should be known of the records.

    Raises:
        DataError: records are missing or damaged, or the arrays cannot be written.
    """
    from rich.progress import Progress

    from ablate.ecg.cohort import open_cohort
    from ablate.study.cohort import prepare_cohorts

    with Progress(console=stderr, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"preparing {spec.data.source}", total=None)
        folders = prepare_cohorts(
            spec,
            n_processes=os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    cohorts = [open_cohort(folder) for folder in folders.values()]
    if not quiet:
        said = dict.fromkeys(f"{n} records {change}" for cohort in cohorts for change, n in cohort.changes.items())
        notes = dict.fromkeys(note for cohort in cohorts for note in cohort.notes)
        say(*(f"{spec.data.source}: {text}" for text in said), *(f"note: {text}" for text in notes), to=stderr)
    return folders


def _devices_for(
    store: "Store", spec: "Spec", cohorts: "Mapping[View, Path]", device: str | None, *, quiet: bool
) -> list[str]:
    """A device for each agent: one agent for each core, or on each GPU as many as a pilot found to be worth it.

    A routine of the user's own gets a GPU for itself, unless ``--workers`` says otherwise.
    """
    from ablate.launch.packing import cores_for, packing_of
    from ablate.worker.device import gpu_name, visible_devices

    there = visible_devices()
    gpus = there if device in (None, "cuda") else [each for each in there if each == device]
    if not gpus:
        return ["cpu"] * (os.cpu_count() or 1)
    if spec.routine is not None:
        return gpus
    devices: list[str] = []
    n_trainers: dict[str, int] = {}  # by kind of GPU: unequal ones are not equally good for it
    for gpu in gpus:
        kind = gpu_name(gpu)
        if kind not in n_trainers:
            with console.status(PILOTING) if not quiet else contextlib.nullcontext():
                packing = packing_of(store, spec, cohorts, device=gpu, n_most=cores_for(len(gpus)))
            n_trainers[kind] = packing.n_trainers
            if not quiet:
                say(f"{packing.n_trainers} agents for each {packing.gpu}: {packing.why}", to=stderr)
        devices += [gpu] * n_trainers[kind]
    return devices


def _is_filled(store: "Store", spec: "Spec", phases: tuple[str, ...]) -> bool:
    """Whether the study is in the store with nothing left to do.

    Raises:
        StoreError: it is there with another spec, which is refused before anything follows from it.
    """
    if spec.name not in store.studies():
        return False
    register_study(store, spec)
    return _is_over(store, spec, phases)


def _is_over(store: "Store", spec: "Spec", phases: tuple[str, ...]) -> bool:
    """Whether nothing is left to do; also where the search is over and nobody may seal it but its author."""
    from ablate.study.confirmation import Step, advance

    if advance(store, spec, phases) is Step.BLOCKED:
        return True
    counts = store.counts(spec.name)
    return not sum(counts.unfinished(phase=phase) for phase in phases)


def _complain(statuses: "Sequence[AgentStatus]") -> None:
    """Say once why agents could not go on, and exit as they did; nothing where they were asked to stop."""
    complaints = {status.complaint: status.exit_status or 1 for status in statuses if status.complaint}
    for complaint in complaints:
        stderr.print(f"ablate: {complaint}", style="red", markup=False, highlight=False, soft_wrap=True)
    if complaints:
        raise typer.Exit(max(complaints.values()))


def _conclude(store: "Store", spec: "Spec", *, quiet: bool, as_json: bool) -> None:
    """Say what came out; exit status 1 where slots have failed or were cancelled."""
    from ablate.cli.summary import show_outcome, show_summary
    from ablate.report.document import report_document
    from ablate.report.evidence import weigh
    from ablate.report.summary import summary
    from ablate.store.slot import SlotState

    store.reconcile(spec.name)
    store.mirror(spec.name)
    counts = store.counts(spec.name)
    evidence = weigh(store.tables(spec.name))
    if as_json:
        emit_json(report_document(evidence).model_dump(mode="json"))
    elif quiet:
        show_outcome(spec.name, summary(evidence))
    else:
        show_summary(spec.name, summary(evidence))
        reused = f", {counts.taken()} of them reused from other studies" if counts.taken() else ""
        done = f"{counts.of(SlotState.DONE)} of {counts.total()} slots done{reused}"
        say(f"{done}; page: ablate report {spec.name}")
    if blocked := _obstacles(store, spec):
        say(f"{spec.name}: not sealed; {'; '.join(blocked)}", to=stderr)
        raise typer.Exit(_SOME_FAILED)
    unfilled = {word: n for word, state in _UNFILLED.items() if (n := counts.of(SlotState(state)))}
    if unfilled:
        said = ", ".join(f"{n} slots {word}" for word, n in unfilled.items())
        say(
            f"{spec.name}: {said}; `ablate status {spec.name}` says why, `ablate retry {spec.name}` tries them again",
            to=stderr,
        )
        raise typer.Exit(_SOME_FAILED)


def _obstacles(store: "Store", spec: "Spec") -> list[str]:
    """Why a study whose search is over is not sealed, a sentence for each reason."""
    from ablate.study.confirmation import Step, advance, unchosen
    from ablate.study.tuning import obstacles, tunings

    if advance(store, spec) is not Step.BLOCKED:
        return []
    searches = tunings(store, spec, store.slots(spec.name))
    remedy = f"`ablate retry {spec.name}`, or `ablate seal {spec.name} --accept-incomplete`"
    return unchosen(spec, searches) or [*obstacles(searches), remedy]
