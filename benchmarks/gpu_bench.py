"""What a GPU takes for a step, an epoch and several trials at once: `make bench-gpu`.

    python benchmarks/gpu_bench.py [--device cuda] [--encoder ecgfounder net1d_small] [--out gpu_bench.json]

Medians of interleaved repeats, each after a warm-up and closed by a synchronisation. On the processor everything runs
small, which shows that it runs and nothing else. CUDA graphs and ``torch.compile`` are measured here only: the routine
trains eagerly until these figures say that another way is worth its cost.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gpu_trial as small
import torch
import torch.nn.functional as F  # noqa: N812
from gpu_trial import TUNED, Answer
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ablate.launch.packing import measure
from ablate.model.catalogue import CATALOGUE
from ablate.model.encoder import Classifier, load_encoder
from ablate.model.net1d import Net1D
from ablate.outcome import Progress
from ablate.train.machine import Machine
from ablate.train.numerics import declared_numerics
from ablate.train.routine import post_train
from ablate.worker.packing_pilot import PilotRequest

N_CLASSES = 5
WAYS = ("eager", "graph", "compile")


@dataclass(frozen=True)
class Setting:
    """One way to compute a step.

    Attributes:
        numerics: "fp32" (IEEE), "tf32" or "bf16".
        layout: "contiguous" or "channels_last".
        way: of ``WAYS``.
    """

    encoder: str
    batch: int
    numerics: str
    layout: str
    way: str
    is_strict: bool = True

    @property
    def name(self) -> str:
        """For tables."""
        freedom = "" if self.is_strict else ", any kernel"
        return f"{self.encoder}, batch {self.batch}, {self.numerics}, {self.layout}, {self.way}{freedom}"


class Step:
    """Forward, backward, clipping and AdamW on one fixed batch: what the routine does, without its records."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self._setting, self._device = setting, device
        encoder = load_encoder(small.random_encoder(setting.encoder), seed=1)
        if isinstance(encoder, Net1D):  # it has a layout of its own for each precision; here both are tried
            layout = torch.channels_last if setting.layout == "channels_last" else torch.contiguous_format
            encoder._format_for = lambda _: layout  # type: ignore[method-assign]
        model: nn.Module = Classifier(encoder, N_CLASSES).to(device)
        self.model = model.train()
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        is_cuda = device.type == "cuda"
        self._optimizer = torch.optim.AdamW(self._parameters, lr=1e-4, fused=True, capturable=is_cuda)
        takes = CATALOGUE[setting.encoder].input
        n_samples = takes.n_samples or 10 * takes.fs_hz
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(setting.batch, takes.n_leads, n_samples, generator=generator).to(device)
        self._targets = torch.zeros(setting.batch, N_CLASSES, device=device)
        self._forward: Callable[[Tensor], Tensor] = torch.compile(model) if setting.way == "compile" else model

    def __call__(self) -> None:
        """One update."""
        self._optimizer.zero_grad(set_to_none=False)
        is_bf16 = self._setting.numerics == "bf16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=is_bf16):
            logits = self._forward(self.x)
        F.binary_cross_entropy_with_logits(logits.float(), self._targets).backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()

    def captured(self) -> Callable[[], None]:
        """The update as a CUDA graph, after a warm-up on a side stream."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self()
        return graph.replay

    def parameters(self) -> Tensor:
        """All of them, for a comparison of bits."""
        return torch.cat([parameter.detach().flatten() for parameter in self._parameters])


def synchronised(device: torch.device) -> float:
    """Seconds, when all that was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def median_s(action: Callable[[], object], device: torch.device, *, n: int, n_warm: int = 3) -> float:
    """Median seconds of ``action``."""
    for _ in range(n_warm):
        action()
    seconds = []
    for _ in range(n):
        begun = synchronised(device)
        action()
        seconds.append(synchronised(device) - begun)
    return statistics.median(seconds)


def roofline(device: torch.device, numerics: str) -> dict[str, float]:
    """The best rate of a large product and of a large copy: what no network can exceed here."""
    size, length = (8192, 1 << 30) if device.type == "cuda" else (768, 1 << 24)
    kind = torch.bfloat16 if numerics == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    source = torch.empty(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return {
        "peak_tflop_per_s": 2 * size**3 / median_s(lambda: a @ b, device, n=5) / 1e12,
        "copy_gb_per_s": 2 * length / median_s(lambda: target.copy_(source), device, n=5) / 1e9,
    }


def step_figures(setting: Setting, device: torch.device, *, n: int) -> dict[str, Any]:
    """Milliseconds of a step, its rate, its share of the roofline and its memory."""
    if setting.numerics == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    top = roofline(device, setting.numerics)
    step = Step(setting, device)
    with FlopCounterMode(display=False) as counter:
        step.model(step.x)
    flop = 3 * counter.get_total_flops()  # the backward pass costs twice the forward one
    action: Callable[[], object] = step.captured() if setting.way == "graph" else step
    seconds = median_s(action, device, n=n)
    figures: dict[str, Any] = {
        "ms": 1e3 * seconds,
        "gflop": flop / 1e9,
        "tflop_per_s": flop / seconds / 1e12,
        "share_of_peak": flop / seconds / 1e12 / top["peak_tflop_per_s"],
        **top,
    }
    if device.type == "cuda":
        figures["memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return figures | _kernels(action, device)


def _kernels(action: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """Launches of a step and where its time goes."""
    is_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    with profile(activities=activities) as seen:
        action()
        synchronised(device)
    spent: Counter[str] = Counter()
    for event in seen.key_averages():
        spent[event.key[:48]] += event.self_device_time_total if is_cuda else event.self_cpu_time_total
    launches = sum(event.count for event in seen.key_averages() if event.key.startswith("cudaLaunchKernel"))
    total = sum(spent.values()) or 1
    return {
        "launches": launches,
        "longest": "; ".join(f"{key} {value / total:.0%}" for key, value in spent.most_common(3)),
    }


def steps(device: torch.device, encoders: Sequence[str], *, is_small: bool) -> list[Answer]:
    """Every setting worth a look, each in turn."""
    n = 3 if is_small else 20
    answers = []
    for setting in settings(device, encoders, is_small=is_small):
        answer, begun = Answer(setting.name), time.monotonic()
        try:
            with declared_numerics(device, strict=False) if setting.is_strict else any_kernel():
                answer.figures = step_figures(setting, device, n=n)
        except Exception as error:
            answer.state, answer.said = "failed", " ".join(f"{type(error).__name__}: {error}".split())[:200]
        answer.seconds = time.monotonic() - begun
        answers.append(answer)
        print(f"{setting.name}: {answer.figures.get('ms', answer.said)}", file=sys.stderr)
    return answers


def settings(device: torch.device, encoders: Sequence[str], *, is_small: bool) -> list[Setting]:
    """Sizes, numerics, layouts and ways for each encoder; few of them on a processor."""
    if is_small:
        names = [name for name in encoders if name != "ecgfounder"]
        return [Setting(name, 8, kind, "contiguous", "eager") for name in names for kind in ("fp32", "bf16")]
    some = []
    for name in encoders:
        batches = (64, 128, 256, 512) if name == "ecgfounder" else (64,)
        for batch in batches:
            some += [Setting(name, batch, kind, "contiguous", "eager") for kind in ("fp32", "tf32", "bf16")]
            some.append(Setting(name, batch, "bf16", "channels_last", "eager"))
        largest = batches[-2] if len(batches) > 1 else batches[0]
        some += [Setting(name, largest, "bf16", layout, way) for layout in ("contiguous", "channels_last")
                 for way in WAYS[1:]]  # fmt: skip
        some += [Setting(name, largest, "fp32", "contiguous", way) for way in WAYS[1:]]
        some.append(Setting(name, largest, "bf16", "channels_last", "eager", is_strict=False))
    return some


def graph_bits(device: torch.device, encoders: Sequence[str]) -> Answer:
    """Whether a captured step gives the bits of the eager one."""
    answer = Answer("a graph's bits are the eager step's")
    if device.type != "cuda":
        answer.state, answer.said = "not here", "needs a GPU"
        return answer
    for name in encoders:
        with declared_numerics(device, strict=False):
            torch.manual_seed(1)
            eager = Step(Setting(name, 16, "fp32", "contiguous", "eager"), device)
            for _ in range(5):
                eager()
            graph = Step(Setting(name, 16, "fp32", "contiguous", "graph"), device)
            replay = graph.captured()  # three warm-up steps; what is captured is not computed
            for _ in range(2):
                replay()
        answer.figures[name] = bool(torch.equal(eager.parameters(), graph.parameters()))
    return answer


def epochs(device: torch.device, *, is_small: bool) -> Answer:
    """Seconds of an epoch of the whole routine by its parts, with and without checkpoints."""
    answer, begun = Answer("an epoch of the routine"), time.monotonic()
    params = replace(TUNED, ft_epochs=2 if is_small else 10, probe_epochs=1, probe_lr=0.01)
    for name, is_kept in (("plain", False), ("checkpointed", True), ("plain again", False)):
        reports: list[tuple[float, Progress]] = []
        with tempfile.TemporaryDirectory() as scratch:
            post_train(
                small.random_encoder("net1d_small"), small.data(), params, seed=1,
                machine=Machine(device=str(device)), checkpoint=Path(scratch) / "trial" if is_kept else None,
                report=lambda progress, reports=reports: reports.append((synchronised(device), progress)),
            )  # fmt: skip
        times = [at for at, progress in reports if progress.stage == "finetune" and progress.train_loss is not None]
        answer.figures[f"{name}_s"] = statistics.median(b - a for a, b in itertools.pairwise(times))
    answer.seconds = time.monotonic() - begun
    return answer


def packing(device: torch.device, *, is_small: bool) -> Answer:
    """Optimizer steps a second of one and more trainers on the device: serial against packed."""
    answer, begun = Answer("packing"), time.monotonic()
    request = PilotRequest(
        encoder=small.random_encoder("net1d_small"), cohort=small.folder(), task=small.TASK,
        params={"batch_size": 64, "ft_epochs": 5},
    )  # fmt: skip
    n_most, span_s = (2, 2.0) if is_small else (8, 5.0)
    found = measure(request, device=str(device), gpu=str(device), n_most=n_most, span_s=span_s)
    answer.figures = {f"steps_per_s_{level.n_trainers}": level.steps_per_s for level in found.levels}
    answer.figures |= {"chosen": found.n_trainers, "why": found.why}
    answer.seconds = time.monotonic() - begun
    return answer


@contextmanager
def any_kernel() -> Iterator[None]:
    """The fastest kernels, whether or not their sums keep their order; as it was afterwards."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = True, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--encoder", nargs="+", default=["ecgfounder", "net1d_small"], choices=sorted(CATALOGUE))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    device, is_small = torch.device(asked.device), not asked.device.startswith("cuda")
    torch.set_num_threads(1)
    folder = small.folder()  # before anything is timed
    assert folder.exists()
    answers = [packing(device, is_small=is_small), epochs(device, is_small=is_small)]
    answers += [graph_bits(device, asked.encoder), *steps(device, asked.encoder, is_small=is_small)]
    print(small.table(answers))
    if asked.out is not None:
        facts = small.machine_facts(asked.device)
        asked.out.write_text(json.dumps({**facts, "timings": [asdict(answer) for answer in answers]}, indent=1) + "\n")
    return int(all(answer.state == "failed" for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
