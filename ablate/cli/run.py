"""``ablate run`` and ``ablate worker``: fill the slots of a study."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings
from ablate.cli.launcher_option import KUBERNETES, LOCAL, engine
from ablate.cli.option import (
    DataOption,
    JsonOption,
    QuietOption,
    SetOption,
    SkipOption,
    StorageOption,
    StudyOption,
    open_store,
    storage_address,
    study_name,
)
from ablate.cli.output import console, emit_json, stderr
from ablate.cli.progress import progress
from ablate.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ablate.launch.launcher import AgentStatus, Launcher
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
_INTERRUPTED = 130
_UNFILLED = {"failed": "failed", "were cancelled": "cancelled"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("run")(run)
    app.command("worker")(worker)


def run(
    study: StudyOption,
    workers: Annotated[int | None, typer.Option(min=1, help="Agents; by default see `ablate packing`.")] = None,
    data: DataOption = None,
    set_: SetOption = None,
    skip_damaged: SkipOption = False,
    storage: StorageOption = None,
    phase: PhaseOption = None,
    device: DeviceOption = None,
    lease_s: LeaseOption = 60.0,
    reuse: ReuseOption = False,
    allow_mixed: MixedOption = False,
    launcher: Annotated[str, typer.Option(help="local, ray, slurm or kubernetes.")] = LOCAL,
    gpus_per_worker: Annotated[float | None, typer.Option(help="Of the engine; 0.5 lets two agents share.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster; RAY_ADDRESS, or one here.")] = None,
    shared_dir: Annotated[Path | None, typer.Option(help="Folder that all machines see; their ABLATE_HOME.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="key=value for the engine, such as partition=gpu.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Create the Kubernetes Job instead of printing it.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill every slot of a study; run it again to go on where it stopped."""
    from ablate.launch.device import deal
    from ablate.launch.launcher import launch
    from ablate.launch.local import LocalLauncher
    from ablate.study.file import load_spec

    named = {"gpus_per_worker": gpus_per_worker, "address": ray_address, "shared_dir": shared_dir}
    elsewhere = engine(launcher, named=named, pairs=option or ())
    use_data(data)
    phases = _phases(phase)
    spec = load_spec(study, overrides=[*(set_ or ()), *(["data.skip_damaged=true"] if skip_damaged else ())])
    # A launcher before all else: its imports go on while Postgres starts and records are prepared.
    with LocalLauncher() if elsewhere is None else contextlib.nullcontext() as here:
        store = open_store(storage)
        register_study(store, spec)
        if _is_over(store, spec, phases):
            _conclude(store, spec, quiet=quiet, as_json=as_json)
            return
        store.clear_stop(spec.name)
        if not reuse:
            _offer(store, spec, phases)
        agent_options = _agent_options(
            spec.name, storage, phases, lease_s=lease_s, reuse=reuse, allow_mixed=allow_mixed
        )
        n_agents = workers or os.cpu_count() or 1
        if elsewhere is not None and elsewhere.name == KUBERNETES and not apply:
            typer.echo(elsewhere.manifest(agent_options, n_agents=n_agents))
            return
        try:
            if elsewhere is None:
                cohort = prepare_records(spec, quiet=quiet or as_json)
                n_agents = workers or _n_agents_here(store, spec, cohort, device, quiet=quiet or as_json)
            placer: Launcher = elsewhere.launcher() if elsewhere is not None else here or LocalLauncher()
            devices = deal(n_agents, device=device) if here else [agent_options.device] * n_agents
            with progress(store, spec.name, quiet=quiet or as_json) as display:
                statuses = launch(
                    placer,
                    [replace(agent_options, device=each) for each in devices],
                    on_tick=display.tick,
                    on_stop=display.stop,
                )
        except KeyboardInterrupt:
            _say(f"stopped; the same command goes on from here, ablate status --study {spec.name} shows where")
            raise typer.Exit(_INTERRUPTED) from None
        if not _is_over(store, spec, phases):
            _complain(statuses)
        _conclude(store, spec, quiet=quiet, as_json=as_json)


def worker(
    study: StudyOption,
    storage: StorageOption = None,
    data: DataOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    phase: PhaseOption = None,
    lease_s: LeaseOption = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="Of the trainer.")] = 1,
    reuse: ReuseOption = False,
    allow_mixed: MixedOption = False,
) -> None:
    """Fill slots of a study that somebody has registered; one agent, on any machine that reaches the store."""
    from ablate.worker.agent_start import serve
    from ablate.worker.fork_server import ForkServer

    use_data(data)
    agent_options = _agent_options(
        study_name(study),
        storage,
        _phases(phase),
        lease_s=lease_s,
        reuse=reuse,
        allow_mixed=allow_mixed,
        device=device,
        n_threads=threads,
    )
    ending = serve(agent_options, fork_server=ForkServer.start(n_threads=threads))
    _say(f"{agent_options.study}: {ending}")


def use_data(folder: Path | None) -> None:
    """Let this process and its children find PTB-XL in ``folder``."""
    if folder is not None:
        os.environ["ABLATE_DATA"] = str(settings.data_dir(folder))  # agents and trainers inherit it


def _phases(given: str | None) -> tuple[str, ...]:
    from ablate.study.plan import CONFIRM, SEARCH

    if given not in (None, SEARCH, CONFIRM):
        raise SpecError(f"--phase {given}: expected {SEARCH} or {CONFIRM}")
    return (SEARCH, CONFIRM) if given is None else (given,)


def _agent_options(study: str, storage: str | None, phases: tuple[str, ...], **options: object) -> "AgentOptions":
    from ablate.worker.agent_options import AgentOptions

    return AgentOptions(study=study, storage=storage_address(storage), phases=phases, **options)  # type: ignore[arg-type]


def register_study(store: "Store", spec: "Spec") -> None:
    """Put the study and its slots into the store, unless they are there.

    Raises:
        StoreError: a study of this name has another spec.
    """
    from ablate.study.plan import plan

    slots = plan(spec)
    store.register(
        spec.name, spec.document(), spec.digest(), slots, space=spec.space, max_attempts=spec.budget.max_attempts
    )


def _offer(store: "Store", spec: "Spec", phases: tuple[str, ...]) -> None:
    """Say what other studies have trained already; on standard error, for it is no result."""
    if len(store.studies()) < 2:
        return
    from ablate.study.reuse import offer
    from ablate.train.provenance import CODE_DIGEST

    found = offer(store, spec, code=CODE_DIGEST, phases=phases)
    if found.n_slots:
        n_all = store.counts(spec.name).total()
        stderr.print(
            f"{spec.name}: {found.n_slots} of {n_all} slots are finished in {', '.join(found.studies)} already; "
            "--reuse takes their results, where records, weights and libraries are the same",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def prepare_records(spec: "Spec", *, quiet: bool) -> Path:
    """Folder of the study's prepared arrays; shows how their making gets on.

    Raises:
        DataError: records are missing or damaged, or the arrays cannot be written.
    """
    from rich.progress import Progress

    from ablate.study.cohort import prepare_cohort

    with Progress(console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"preparing {spec.data.source}", total=None)
        return prepare_cohort(
            spec,
            n_processes=os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _n_agents_here(store: "Store", spec: "Spec", cohort: Path, device: str | None, *, quiet: bool) -> int:
    """One for each core, or for each GPU as many as a pilot of this study has found to be worth it."""
    from ablate.launch.device import visible_devices
    from ablate.launch.packing import cores_for, packing_of

    there = visible_devices()
    gpus = there if device in (None, "cuda") else [each for each in there if each == device]
    if not gpus:
        return os.cpu_count() or 1
    with console.status(PILOTING) if not quiet else contextlib.nullcontext():
        packing = packing_of(store, spec, cohort, device=gpus[0], n_most=cores_for(len(gpus)))
    if not quiet:
        _say(f"{packing.n_trainers} agents for each GPU ({packing.gpu}): {packing.why}")
    return packing.n_trainers * len(gpus)


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
    from ablate.cli.summary import show_summary, summary_document
    from ablate.report.evidence import weigh
    from ablate.report.summary import summary
    from ablate.store.slot import SlotState

    store.reconcile(spec.name)
    store.mirror(spec.name)
    counts = store.counts(spec.name)
    if as_json:
        emit_json(summary_document(spec.name, summary(weigh(store.tables(spec.name)))))
    elif not quiet:
        show_summary(spec.name, summary(weigh(store.tables(spec.name))))
        reused = f", {counts.taken()} of them reused from other studies" if counts.taken() else ""
        done = f"{counts.of(SlotState.DONE)} of {counts.total()} slots done{reused}"
        _say(f"{done}; page: ablate report --study {spec.name}")
    if blocked := _obstacles(store, spec):
        stderr.print(f"{spec.name}: not sealed; {'; '.join(blocked)}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_SOME_FAILED)
    unfilled = {word: n for word, state in _UNFILLED.items() if (n := counts.of(SlotState(state)))}
    if unfilled:
        said = ", ".join(f"{n} slots {word}" for word, n in unfilled.items())
        stderr.print(f"{spec.name}: {said}; ablate status --study {spec.name} says why, ablate retry tries them again")
        raise typer.Exit(_SOME_FAILED)


def _obstacles(store: "Store", spec: "Spec") -> list[str]:
    """Why a study whose search is over is not sealed, a sentence for each reason."""
    from ablate.study.confirmation import Step, advance, unchosen
    from ablate.study.tuning import obstacles, tunings

    if advance(store, spec) is not Step.BLOCKED:
        return []
    found = tunings(store, spec, store.slots(spec.name))
    remedy = f"`ablate retry --study {spec.name}`, or `ablate seal --study {spec.name} --accept-incomplete`"
    return unchosen(spec, found) or [*obstacles(found), remedy]


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
