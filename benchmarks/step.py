"""A training step by its parts and against the measured peak, an epoch against a plain loop, what kept features save.

    python benchmarks/step.py [--encoder net1d_small] [--batch 64] [--records 1000] [--device cpu] [--precision fp32]

One thread, variants interleaved, medians. On a CPU the seconds are those of the processor, so that other processes
disturb them little; on a GPU they are those of the wall.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.catalogue import CATALOGUE, EncoderSpec, Net1DShape
from ablate.model.encoder import Classifier, load_encoder
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Machine, post_train

PARTS = ("fetch", "forward", "backward", "clip", "optimizer")


def now(device: str) -> float:
    """Seconds of this thread's processor, or of the wall where a GPU computes."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(action: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    begun = now(device)
    action()
    return now(device) - begun


def peak_flops(device: str, precision: str) -> float:
    """The best rate of a large matrix product: what no network can exceed here."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 8192 if device != "cpu" else 1536
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / min(timed(lambda: a @ b, device) for _ in range(8))


def step_parts(asked: argparse.Namespace, data: TaskData) -> dict[str, float]:
    """Median milliseconds of the parts of a step, its GFLOP and its share of the peak."""
    device = torch.device(asked.device)
    model = Classifier(load_encoder(EncoderSpec(asked.encoder, "random")), len(data.classes)).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    targets = torch.zeros(asked.batch, len(data.classes), device=device)
    rng = np.random.default_rng(0)
    is_bf16 = asked.precision == "bf16"
    n_samples = CATALOGUE[asked.encoder].input.n_samples or 10 * CATALOGUE[asked.encoder].input.fs_hz
    n_leads = CATALOGUE[asked.encoder].input.n_leads
    stored = np.asarray(rng.normal(size=(256, n_leads, n_samples)), dtype=np.float16)
    held: dict[str, Tensor] = {}

    def fetch() -> None:
        rows = rng.integers(0, len(stored), asked.batch)
        held["x"] = torch.from_numpy(stored[rows]).to(device).float()

    def forward() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bf16):
            held["logits"] = model(held["x"])

    def backward() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(held["logits"].float(), targets).backward()

    actions = (fetch, forward, backward, lambda: nn.utils.clip_grad_norm_(trained, 1.0), optimizer.step)
    fetch()
    with FlopCounterMode(display=False) as counter:  # it miscounts the backward pass of grouped convolutions
        forward()
    found = [[timed(action, asked.device) for action in actions] for _ in range(asked.repeats)]
    parts = {name: 1e3 * statistics.median(row[i] for row in found) for i, name in enumerate(PARTS)}
    best_s = sum(min(row[i] for row in found) for i in range(len(PARTS)))
    peak = peak_flops(asked.device, asked.precision)
    gflop = 3 * counter.get_total_flops() / 1e9  # the backward pass costs twice the forward one
    return {
        **{f"{name}_ms": round(value, 2) for name, value in parts.items()},
        "gflop": round(gflop, 2),
        "best_step_ms": round(1e3 * best_s, 1),
        "gflop_per_s": round(gflop / best_s, 1),
        "peak_gflop_per_s": round(peak / 1e9, 1),
        "share_of_peak": round(gflop * 1e9 / best_s / peak, 3),
    }


class PlainBlock(nn.Module):
    """As in the published code: Conv1d on contiguous tensors, padding by hand, x times sigmoid."""

    def __init__(self, width_in: int, width: int, shape: Net1DShape, *, downsample: bool) -> None:
        super().__init__()
        self.stride = 2 if downsample else 1
        self.width_in, self.width = width_in, width
        self.conv1 = nn.Conv1d(width_in, width, 1)
        self.conv2 = nn.Conv1d(width, width, shape.kernel_size, self.stride, groups=width // shape.group_width)
        self.conv3 = nn.Conv1d(width, width, 1)
        self.fc1, self.fc2 = nn.Linear(width, width // 2), nn.Linear(width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x * torch.sigmoid(x))
        n_samples, kernel = out.shape[-1], self.conv2.kernel_size[0]
        n_pad = max(0, (-(-n_samples // self.stride) - 1) * self.stride + kernel - n_samples)
        out = self.conv2(F.pad(out * torch.sigmoid(out), (n_pad // 2, n_pad - n_pad // 2)))
        out = self.conv3(out * torch.sigmoid(out))
        gate = self.fc1(out.mean(-1))
        gate = torch.sigmoid(self.fc2(gate * torch.sigmoid(gate)))
        out = torch.einsum("abc,ab->abc", out, gate)
        if self.stride == 2:
            x = F.max_pool1d(F.pad(x, (0, x.shape[-1] % 2)), 2)
        if self.width != self.width_in:
            before = (self.width - self.width_in) // 2
            x = F.pad(x.transpose(-1, -2), (before, self.width - self.width_in - before)).transpose(-1, -2)
        return out + x


class PlainNet(nn.Module):
    def __init__(self, shape: Net1DShape, n_leads: int, n_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_leads, shape.stem_width, shape.kernel_size, 2, padding=shape.kernel_size // 2 - 1)
        widths = [
            width for width, depth in zip(shape.stage_widths, shape.stage_depths, strict=True) for _ in range(depth)
        ]
        firsts = [i == 0 for depth in shape.stage_depths for i in range(depth)]
        self.blocks = nn.Sequential(
            *(
                PlainBlock(width_in, width, shape, downsample=first)
                for width_in, width, first in zip([shape.stem_width, *widths], widths, firsts, strict=False)
            )
        )
        self.head = nn.Linear(shape.n_features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.first(x)
        return self.head(self.blocks(out * torch.sigmoid(out)).mean(-1))


def plain_epochs(asked: argparse.Namespace, data: TaskData, n_epochs: int) -> float:
    """Seconds for each epoch of the loop that anybody would write, validation with scikit-learn included."""
    shape = CATALOGUE[asked.encoder].shape
    assert isinstance(shape, Net1DShape)
    torch.manual_seed(0)
    model = PlainNet(shape, 12, len(data.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, x_val = (torch.from_numpy(np.asarray(data.signals[rows])).float() for rows in (data.train_rows, data.val_rows))
    loader = DataLoader(TensorDataset(x, torch.from_numpy(data.train_labels).float()), asked.batch, shuffle=True)
    begun = now("cpu")
    for _ in range(n_epochs):
        model.train()
        for batch, labels in loader:
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(batch), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            scores = torch.cat([model(piece) for piece in x_val.split(64)]).sigmoid().numpy()
        roc_auc_score(data.val_labels, scores, average="macro")
        average_precision_score(data.val_labels, scores, average="macro")
    return (now("cpu") - begun) / n_epochs


def our_epochs(asked: argparse.Namespace, data: TaskData, n_epochs: int, **changes: object) -> float:
    """Seconds for each epoch of the routine, reports and checkpoints included."""
    params = Params.from_dict({"ft_epochs": n_epochs, "batch_size": asked.batch, "dropout": 0.0, **changes})
    with tempfile.TemporaryDirectory() as folder:
        begun = now("cpu")
        post_train(EncoderSpec(asked.encoder, "random"), data, params, seed=1, checkpoint=Path(folder) / "trial")
        return (now("cpu") - begun) / n_epochs


def epochs(asked: argparse.Namespace, data: TaskData) -> dict[str, float]:
    """Median seconds of an epoch, plain and ours in turn."""
    variants: dict[str, Callable[[], float]] = {
        "plain": lambda: plain_epochs(asked, data, 1),
        "ours": lambda: our_epochs(asked, data, 1),
        "ours_drop_path_sample": lambda: our_epochs(asked, data, 1, drop_path_rate=0.5),
        "ours_drop_path_fixed": lambda: our_epochs(asked, data, 1, drop_path_rate=0.5, drop_path_mode="fixed"),
    }
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(asked.repeats // 5 + 1):
        for name, variant in variants.items():
            found[name].append(variant())
    medians = {name: statistics.median(values[1:] or values) for name, values in found.items()}
    return {
        **{f"{name}_epoch_s": round(value, 2) for name, value in medians.items()},
        "plain_over_ours": round(medians["plain"] / medians["ours"], 2),
    }


def probe(asked: argparse.Namespace, data: TaskData, folder: Path, spec: EncoderSpec) -> dict[str, float]:
    """Seconds of a 20-epoch probe through the encoder, with features to be made, and with features there."""
    params = Params(probe_epochs=20, ft_epochs=0, batch_size=asked.batch)
    cache = FeatureCache(folder / "features")
    seconds = {}
    outcomes = []
    for name, features in (("encoder", None), ("features_made", cache), ("features_there", cache)):
        begun = now(asked.device)
        machine = Machine(device=asked.device)
        outcomes.append(post_train(spec, data, params, seed=1, machine=machine, features=features))
        seconds[name] = now(asked.device) - begun
    assert len({outcome.val_probabilities.tobytes() for outcome in outcomes}) == 1, "all three have the same bits"
    return {
        **{f"probe_{name}_s": round(value, 2) for name, value in seconds.items()},
        "encoder_over_made": round(seconds["encoder"] / seconds["features_made"], 1),
        "encoder_over_there": round(seconds["encoder"] / seconds["features_there"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="net1d_small", choices=sorted(CATALOGUE))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--only", choices=["step", "epoch", "probe"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = load_task(open_cohort(prepare(Synthetic(n_records=asked.records, seed=1))), "superdiagnostic")
    if asked.only in (None, "step"):
        print(json.dumps({"step": step_parts(asked, data)}), flush=True)
    if CATALOGUE[asked.encoder].input.fs_hz != data.fs_hz:
        return
    if asked.only in (None, "epoch") and asked.device == "cpu":
        print(json.dumps({"epoch": epochs(asked, data)}), flush=True)
    if asked.only in (None, "probe"):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.pt"
            torch.save(load_encoder(EncoderSpec(asked.encoder, "random")).state_dict(), file)
            found = probe(asked, data, Path(folder), EncoderSpec(asked.encoder, str(file)))
        print(json.dumps({"probe": found}), flush=True)


if __name__ == "__main__":
    main()
