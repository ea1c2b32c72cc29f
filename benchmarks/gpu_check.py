"""What has to be right on a GPU, as far as a machine shows it: `make test-gpu`.

    python benchmarks/gpu_check.py [--device cuda] [--only NAME …] [--out gpu_check.json] [--list]

Each check runs in a process of its own, so that one which kills its GPU's context or fills its memory spoils no other.
All but the last need neither Postgres nor a network. Without a GPU the same checks run small on the processor, and say
which of them only a GPU can answer. Exit status 1 where one failed.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gpu_trial as small
import torch
import torch.nn.functional as F  # noqa: N812
from gpu_trial import TUNED, Answer, NotHere, bits, require_cuda

from ablate.errors import OutOfMemory
from ablate.launch.packing import measure
from ablate.model.encoder import Classifier, load_encoder
from ablate.outcome import Progress
from ablate.train import signals
from ablate.train.device_error import is_dead_context
from ablate.train.finetune import FineTune
from ablate.train.machine import Machine, prepared
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Stopped, post_train
from ablate.train.signals import Signals
from ablate.worker.device import VISIBLE, visible_devices
from ablate.worker.fork_server import ForkServer
from ablate.worker.message import Filled, TrialRequest
from ablate.worker.packing_pilot import PilotRequest
from ablate.worker.seat import seat_at
from ablate.worker.trainer_process import TrainerProcess

LIMIT_S = 240.0  # of one check
IEEE_BOUND, BF16_BOUND = 1e-5, 0.05
N_LONG = 60  # epochs of a trial that is killed
BOTH = replace(TUNED, probe_epochs=2, probe_lr=0.02)

Figures = dict[str, Any]


# The device and the processes on it


def kernel(device: str) -> Figures:
    """A product and a convolution have the right sums: torch has code for this GPU."""
    a = torch.arange(4096, dtype=torch.float32).reshape(64, 64) % 7
    assert torch.equal((a.to(device) @ a.to(device)).cpu(), a @ a)
    line = torch.ones(1, 1, 9, device=device)
    assert F.conv1d(line, line[..., :3]).flatten().tolist() == [3.0] * 7
    figures: Figures = {"torch": torch.__version__}
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        figures |= {"capability": f"{major}.{minor}", "built_for": " ".join(torch.cuda.get_arch_list())}
        figures["bf16"] = torch.cuda.is_bf16_supported(including_emulation=False)
    return figures


def trainer(device: str) -> Figures:
    """A forked trainer gets ready and fills two requests with the same bits as here; its parent never meets CUDA."""
    begun = time.monotonic()
    process = TrainerProcess(ForkServer.start(), device=device, n_threads=1)
    process.start()
    process.ready(timeout_s=120)
    ready_s = time.monotonic() - begun
    if device.startswith("cuda"):
        assert not torch.cuda.is_initialized(), "the parent of trainers has a CUDA context"
    outcomes = [_fill(process, ticket) for ticket in (1, 2)]
    process.close()
    here = post_train(small.random_encoder("net1d_small"), small.data(), TUNED, seed=3, machine=Machine(device=device))
    assert {bits(outcome) for outcome in outcomes} == {bits(here)}
    return {"ready_s": ready_s}


def names(device: str) -> Figures:
    """Each device that can be named opens in a process that sees only this one."""
    require_cuda(device, "names of devices")
    listed = visible_devices()
    seen = []
    for name in listed:
        code = f"import torch; print(torch.cuda.get_device_properties(torch.zeros(1, device='{'cuda'}').device).name)"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, VISIBLE: name.partition(":")[2]},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr.strip().splitlines()[-1:]}"
        seen.append(done.stdout.strip())
    return {"devices": len(listed), "names": "; ".join(seen)}


# Numbers


def agreement(device: str) -> Figures:
    """Features, loss, gradients and probabilities of each encoder agree with the processor's within stated bounds."""
    figures: Figures = {}
    for name in small.encoders():
        here, there = _one_step(name, "cpu"), _one_step(name, device)
        for what in here:
            gap = float((here[what] - there[what]).abs().max() / here[what].abs().max().clamp_min(1e-12))
            figures[f"{name}_{what}"] = gap
            assert gap <= 10 * IEEE_BOUND, f"{name}: {what} differ by {gap:.1e}"
        assert figures[f"{name}_features"] <= IEEE_BOUND, f"{name}: {figures[f'{name}_features']:.1e}"
        figures[f"{name}_trial"] = _gap_of_trials(name, device, "fp32")
        assert figures[f"{name}_trial"] <= 1e-3
        figures[f"{name}_bf16"] = _gap_of_trials(name, device, "bf16")
        assert figures[f"{name}_bf16"] <= BF16_BOUND
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        loose, exact = _features("net1d_small", device), _features("net1d_small", "cpu")
        figures["tf32_features"] = float((loose - exact).abs().max() / exact.abs().max())  # recorded, not bounded
    return figures


def same_bits(device: str) -> Figures:
    """Each encoder, twice in two processes, once beside a neighbour that computes all the time: the same bits."""
    figures: Figures = {}
    for name in small.encoders():
        alone = _in_another_process("trial", device, name)
        with _neighbour(device):
            crowded = _in_another_process("trial", device, name)
        assert alone == crowded, f"{name}: {alone} and {crowded}"
        figures[name] = alone
    return figures


def resumption(device: str) -> Figures:
    """A trial that is stopped, and one that is killed by signal 9, go on to the bits of the whole one."""
    params = replace(BOTH, ft_epochs=4)
    whole = bits(_trial(device, params=params))
    reports: list[Progress] = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "trial"
        try:
            _trial(device, params=params, checkpoint=file, report=reports.append, stop=lambda: _is_at(reports, 2))
        except Stopped:
            assert bits(_trial(device, params=params, checkpoint=file)) == whole
        else:
            raise AssertionError("the trial did not stop")
    long = replace(BOTH, ft_epochs=N_LONG)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "trial"
        child = _start("long", device, str(file))
        assert child.stdout is not None
        assert any(line.strip() == f"finetune {N_LONG // 4}" for line in child.stdout), "it never came so far"
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL, "it was over before it could be killed"
        reports.clear()
        resumed = bits(_trial(device, params=long, checkpoint=file, report=reports.append))
    assert (reports[0].stage, reports[0].epoch) > (FineTune.stage, 1), "it began anew"
    assert resumed == bits(_trial(device, params=long))
    return {"bits": whole, "killed_after_epoch": reports[0].epoch - 1}


def waits(device: str) -> Figures:
    """Within a step the host never waits for the device: torch raises where it would."""
    require_cuda(device, "waits of the host")
    step = FineTune._step
    n_steps = 0

    def guarded(self: FineTune, batch: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(self, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    FineTune._step = guarded  # type: ignore[method-assign]
    for mode in small.MODES:
        for hold_data in (True, False):
            _trial(device, params=replace(TUNED, drop_path_mode=mode), hold_data=hold_data)
    return {"steps": n_steps}


def determinism(device: str) -> Figures:
    """Which encoders and modes have an operation without a deterministic form; their trials say so in a note."""
    exceptions = []
    for name in small.encoders():
        for precision in ("fp32", "bf16"):
            outcome = _trial(device, name, params=replace(TUNED, ft_epochs=1), precision=precision)
            exceptions += [f"{name} {precision}: {note}" for note in outcome.notes if "deterministic" in note]
    return {"exceptions": "; ".join(exceptions) or "none"}


# Memory


def memory(device: str) -> Figures:
    """Too large a batch is known as such, half of it fits in the end, and nothing stays behind."""
    require_cuda(device, "a full device")
    torch.cuda.init()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.6 * 2**30 / total), device)
    size, tried = 4096, []
    while size >= 1:
        tried.append(size)
        try:
            _trial(device, "vit_small", params=replace(TUNED, ft_epochs=1, batch_size=4096), micro_batch=size)
            break
        except OutOfMemory:
            size //= 2
    assert len(tried) > 1, "nothing was too large for 0.6 GiB"
    assert size >= 1, "not even one record fits"
    signals.release()
    torch.cuda.empty_cache()
    left = torch.cuda.memory_allocated(device)
    assert left < 32 << 20, f"{left} bytes are still held"
    return {"fits": size, "tried": " ".join(map(str, tried)), "left_mib": left / 2**20}


def hog(device: str) -> Figures:
    """A GPU full of somebody else's work is told in one line by a trainer that cannot start there."""
    require_cuda(device, "a GPU full of somebody else's work")
    with _process("hog", device):
        process = TrainerProcess(ForkServer.start(), device=device, n_threads=1)
        process.start()
        try:
            process.ready(timeout_s=120)
        except Exception as error:
            assert "\n" not in str(error)
            return {"said": str(error)}
        finally:
            process.kill()
            process.close()
    return {"said": "it started beside the hog"}


def held_once(device: str) -> Figures:
    """Two trials of one process share one copy of the records."""
    require_cuda(device, "records on the device")
    cohort = small.data().signals
    with prepared(Machine(device=device)) as place:
        before = torch.cuda.memory_allocated(place)
        first = Signals(cohort, device=place)
        once = torch.cuda.memory_allocated(place) - before
        second = Signals(cohort, device=place)
        twice = torch.cuda.memory_allocated(place) - before
    assert len(first) == len(second)
    assert once == twice >= cohort.nbytes, f"{once} and {twice} bytes for {cohort.nbytes}"
    return {"mib": once / 2**20}


def pilot(device: str) -> Figures:
    """A pilot measures its levels, chooses, and is gone before anybody else starts."""
    request = PilotRequest(
        encoder=small.random_encoder("net1d_small"), cohort=small.folder(), task=small.TASK,
        params={"batch_size": 16, "ft_epochs": 5},
    )  # fmt: skip
    free = torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else 0
    packing = measure(request, device=device, gpu=device, n_most=3, span_s=3.0)
    left = free - torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else 0
    assert left < 64 << 20, f"{left} bytes are missing after the pilot"
    levels = {f"steps_per_s_{level.n_trainers}": level.steps_per_s for level in packing.levels}
    return {"chosen": packing.n_trainers, **levels, "mps": _mps()}


# Faults


def dead_context(device: str) -> Figures:
    """An assertion on the device ends the process that it killed, and a fresh one trains as if nothing had been."""
    require_cuda(device, "an assertion on the device")
    said = _in_another_process("assertion", device)
    assert said == "dead", said
    _in_another_process("trial", device, "net1d_small")
    return {"then": "a fresh process trains"}


def neighbour_killed(device: str) -> Figures:
    """A process that is killed by signal 9 leaves its neighbour on the device its bits."""
    alone = bits(_trial(device, params=replace(TUNED, ft_epochs=6)))
    with _neighbour(device) as child:
        killed: list[float] = []

        def kill(progress: Progress) -> None:
            if progress.epoch == 2 and not killed:
                child.send_signal(signal.SIGKILL)
                killed.append(time.monotonic())

        beside = bits(_trial(device, params=replace(TUNED, ft_epochs=6), report=kill))
    assert killed
    assert alone == beside
    return {"bits": alone, "mps": _mps()}


def seats(device: str) -> Figures:
    """Agents that meet at one GPU get seats of their own, whoever starts them; the first one never leaves."""
    gpu_id = f"check-{hashlib.sha256(device.encode()).hexdigest()[:8]}"
    with tempfile.TemporaryDirectory() as scratch:
        with seat_at(gpu_id, folder=Path(scratch)) as first, seat_at(gpu_id, folder=Path(scratch)) as second:
            assert (first, second) == (0, 1)
        with seat_at(gpu_id, folder=Path(scratch)) as again:
            assert again == 0
    return {}


def features(device: str) -> Figures:
    """A probe on kept features is the probe through the encoder, to the last bit."""
    params = Params(probe_epochs=3, ft_epochs=0, batch_size=16)
    through = _trial(device, params=params)
    with tempfile.TemporaryDirectory() as scratch:
        kept = post_train(
            small.random_encoder("net1d_small"), small.data(), params, seed=3,
            machine=Machine(device=device), features=FeatureCache(Path(scratch)),
        )  # fmt: skip
    assert bits(through) == bits(kept)
    return {"bits": bits(kept)}


def study(device: str) -> Figures:
    """A whole study with every arm, two agents, on the managed Postgres: each slot filled, nothing failed."""
    text = f"""
question = "Does everything run on this device?"
data = {{source = "synthetic", task = "{small.TASK}", n_records = {small.N_RECORDS}}}
encoder = {{name = "net1d_small", weights = "random"}}
fixed = {{ft_epochs = 1, batch_size = 16}}
context = {{data_fraction = [0.5]}}
budget = {{search_trials = 2, replicates = 2, generation = 2}}
[space]
drop_path_rate = {{low = 0.0, high = 0.5}}
drop_path_mode = {{choices = ["sample", "batch", "fixed"]}}
probe_epochs = {{low = 0, high = 2}}
[arms]
ft = {{drop_path_rate = 0.0, probe_epochs = 0, drop_path_mode = "sample"}}
sample = {{probe_epochs = 0, drop_path_mode = "sample"}}
batch = {{probe_epochs = 0, drop_path_mode = "batch"}}
fixed = {{probe_epochs = 0, drop_path_mode = "fixed"}}
lp = {{drop_path_rate = 0.0, drop_path_mode = "sample", probe_epochs = {{low = 1, high = 2}}}}
"""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # the managed Postgres does not serve as root
        file = Path(scratch) / "check.toml"
        file.write_text(text)
        environment = {**os.environ, "ABLATE_HOME": str(Path(scratch) / "home")}
        command = [sys.executable, "-m", "ablate"]
        try:
            run = [*command, "run", str(file), "--workers", "2", "--device", device, "--quiet"]
            done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S)
            assert done.returncode == 0, done.stderr.strip()[-500:]
            show = [*command, "status", "check", "--json"]
            standing = json.loads(subprocess.run(show, env=environment, capture_output=True, check=True).stdout)
        finally:
            subprocess.run([*command, "storage", "stop"], env=environment, capture_output=True, check=False, timeout=60)
    phases = standing["phases"]
    assert not any(phase[state] for phase in phases for state in ("waiting", "leased", "failed")), phases
    return {"slots": sum(phase["done"] for phase in phases)}


CHECKS: tuple[Callable[[str], Figures], ...] = (
    kernel, trainer, names, agreement, same_bits, resumption, waits, determinism, features, memory, hog, held_once,
    pilot, dead_context, neighbour_killed, seats, study,
)  # fmt: skip


# What the checks are made of


def _trial(
    device: str,
    name: str = "net1d_small",
    *,
    params: Params = TUNED,
    precision: str = "fp32",
    hold_data: bool = True,
    micro_batch: int | None = None,
    **options: Any,
) -> Any:
    machine = Machine(device=device, precision=precision, hold_data=hold_data, micro_batch=micro_batch)  # type: ignore[arg-type]
    return post_train(small.random_encoder(name), small.data(), params, seed=3, machine=machine, **options)


def _gap_of_trials(name: str, device: str, precision: str) -> float:
    params = replace(TUNED, ft_epochs=1, dropout=0.0)
    here = _trial("cpu", name, params=params)
    there = _trial(device, name, params=params, precision=precision)
    return float(abs(here.val_probabilities - there.val_probabilities).max())


def _features(name: str, device: str) -> torch.Tensor:
    encoder = load_encoder(small.random_encoder(name), seed=3)
    assert isinstance(encoder, torch.nn.Module)
    encoder.to(device).eval()
    x = torch.from_numpy(small.data().signals[:8]).float().to(device)
    with torch.inference_mode():
        return encoder(x).cpu()


def _one_step(name: str, device: str) -> dict[str, torch.Tensor]:
    with prepared(Machine(device=device)) as place:
        figures = {"features": _features(name, device)}
        torch.manual_seed(0)
        model = Classifier(load_encoder(small.random_encoder(name), seed=3), 5).to(place).eval()
        x = torch.from_numpy(small.data().signals[:8]).float().to(place)
        loss = F.binary_cross_entropy_with_logits(model(x), torch.ones(8, 5, device=place))
        loss.backward()
        gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        return {**figures, "loss": loss.detach().cpu().reshape(1), "gradients": torch.cat(gradients).cpu()}


def _fill(process: TrainerProcess, ticket: int) -> Any:
    request = TrialRequest(
        ticket=ticket, key=f"check/{ticket}", seed=3, params=TUNED.document(), cohort=small.folder(), task=small.TASK,
        encoder=small.random_encoder("net1d_small"),
    )  # fmt: skip
    process.send(request)
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        connection = process.connection
        assert connection is not None
        connection.poll(1.0)
        for message in process.messages():
            if isinstance(message, Filled):
                return message.outcome
    raise TimeoutError("the trainer gave no result")


def _is_at(reports: list[Progress], epoch: int) -> bool:
    return any(report.stage == FineTune.stage and report.epoch == epoch for report in reports)


def _start(part: str, device: str, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--device", device, "--part", part, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _in_another_process(part: str, device: str, *words: str) -> str:
    said, complaint = _start(part, device, *words).communicate(timeout=LIMIT_S)
    assert said.strip(), f"{part}: {complaint.strip()[-300:]}"
    return said.strip().splitlines()[-1]


@contextmanager
def _process(part: str, device: str) -> "Iterator[subprocess.Popen[str]]":
    """A process of that part, which has begun its work; it is gone afterwards."""
    child = _start(part, device)
    try:
        assert child.stdout is not None and child.stderr is not None
        begun = child.stdout.readline()
        assert begun, child.stderr.read()[-300:]
        yield child
    finally:
        child.kill()
        child.communicate()


def _neighbour(device: str) -> Any:
    return _process("neighbour", device)


def _mps() -> str:
    return "on" if Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")).exists() else "off"


def part_trial(device: str, name: str) -> None:
    print(bits(_trial(device, name)))


def part_long(device: str, file: str) -> None:
    def show(progress: Progress) -> None:
        if progress.train_loss is not None:
            print(progress.stage, progress.epoch, flush=True)

    _trial(device, params=replace(BOTH, ft_epochs=N_LONG), checkpoint=Path(file), report=show)


def part_neighbour(device: str) -> None:
    a = torch.randn(1024, 1024, device=device)
    print("begun", flush=True)
    while True:
        a = torch.nn.functional.normalize(a @ a)


def part_hog(device: str) -> None:
    free, _ = torch.cuda.mem_get_info(device)
    held = []
    while free > 1 << 20:
        try:
            held.append(torch.empty(free, dtype=torch.uint8, device=device))
        except torch.OutOfMemoryError:
            free //= 2
    print("begun", flush=True)
    signal.pause()


def part_assertion(device: str) -> None:
    table = torch.zeros(4, device=device)
    try:
        table[torch.tensor([9], device=device)]
        torch.cuda.synchronize()
    except RuntimeError as error:
        print("dead" if is_dead_context(error) else f"not known as dead: {error}")


PARTS = {
    "trial": part_trial, "long": part_long, "neighbour": part_neighbour, "hog": part_hog,
    "assertion": part_assertion,
}  # fmt: skip


def answered(check: Callable[[str], Figures], device: str) -> Answer:
    """What ``check`` says here."""
    answer, begun = Answer(check.__name__), time.monotonic()
    try:
        answer.figures = check(device)
    except NotHere as error:
        answer.state, answer.said = "not here", str(error)
    except Exception as error:
        answer.state, answer.said = "failed", " ".join(f"{type(error).__name__}: {error}".split())[:300]
    answer.seconds = time.monotonic() - begun
    return answer


def asked_of_a_process(name: str, device: str) -> Answer:
    """The answer of a check that runs in a process of its own, which may die."""
    command, begun = [sys.executable, __file__, "--device", device, "--check", name], time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S + 60)
        return Answer(**json.loads(done.stdout.strip().splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return Answer(name, "failed", f"not over after {LIMIT_S + 60:g} s", seconds=time.monotonic() - begun)
    except (ValueError, TypeError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return Answer(name, "failed", f"its process died: {last[0][:300]}", seconds=time.monotonic() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", nargs="+", choices=[check.__name__ for check in CHECKS])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--list", action="store_true", help="the checks, a line each")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    by_name = {check.__name__: check for check in CHECKS}
    if asked.list:
        print("\n".join(f"{name}: {(check.__doc__ or '').splitlines()[0]}" for name, check in by_name.items()))
        return 0
    if asked.part:
        PARTS[asked.part[0]](asked.device, *asked.part[1:])
        return 0
    if asked.check:
        print(json.dumps(asdict(answered(by_name[asked.check], asked.device))))
        return 0
    answers = []
    for name in asked.only or by_name:
        answers.append(asked_of_a_process(name, asked.device))
        print(f"{name}: {answers[-1].state} {answers[-1].said} ({answers[-1].seconds:.1f} s)", file=sys.stderr)
    print(small.table(answers))
    if asked.out is not None:
        facts = small.machine_facts(asked.device)
        asked.out.write_text(json.dumps({**facts, "checks": [asdict(answer) for answer in answers]}, indent=1) + "\n")
    return int(any(answer.state == "failed" for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
