"""A training script that knows nothing of ablate: powers of the spectrum's bands into a small network.

python docs/train_bands.py --train train.npz --test test.npz --out predictions.npy --epochs 40
"""

import argparse
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn


@dataclass
class Config:
    lr: float = 1e-2
    hidden: int = 64
    epochs: int = 20
    scale: str = "power"
    mixup: float = 0.0
    batch_size: int = 32
    seed: int = 0


def bands(signals, scale, n_bands=20):  # (record, lead, sample) -> (record, lead x band)
    power = np.abs(np.fft.rfft(signals, axis=2)[:, :, 1 : 16 * n_bands + 1]) ** 2
    means = power.reshape(len(signals), signals.shape[1], n_bands, -1).mean(3).reshape(len(signals), -1)
    return np.log(means + 1e-6) if scale == "log" else means


class Model:
    def __init__(self, config):
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)

    def fit(self, signals, labels, after_epoch=lambda model, epoch, loss: None):
        c = self.config
        torch.manual_seed(c.seed)
        x, y = torch.tensor(bands(signals, c.scale)).float(), torch.tensor(labels).float()
        self.mean, self.sd = x.mean(0), x.std(0) + 1e-6
        x = (x - self.mean) / self.sd
        self.net = nn.Sequential(nn.Linear(x.shape[1], c.hidden), nn.ReLU(), nn.Linear(c.hidden, y.shape[1]))
        optimizer = torch.optim.Adam(self.net.parameters(), lr=c.lr)
        for epoch in range(1, c.epochs + 1):
            order, total = torch.randperm(len(x), generator=self.generator), 0.0
            for rows in order.split(c.batch_size):
                bx, by = x[rows], y[rows]
                if c.mixup:
                    other = torch.randperm(len(rows), generator=self.generator)
                    share = 1 - c.mixup * torch.rand(len(rows), 1, generator=self.generator) / 2
                    bx, by = share * bx + (1 - share) * bx[other], share * by + (1 - share) * by[other]
                loss = nn.functional.binary_cross_entropy_with_logits(self.net(bx), by)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            print(f"epoch {epoch}: loss {total / len(x):.4f}")
            after_epoch(self, epoch, total / len(x))
        return self

    def predict(self, signals):
        x = (torch.tensor(bands(signals, self.config.scale)).float() - self.mean) / self.sd
        with torch.no_grad():
            return self.net(x).sigmoid().numpy()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--out", required=True)
    for field in fields(Config):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, default=field.default)
    args = vars(parser.parse_args())
    train, test, out = np.load(args.pop("train")), np.load(args.pop("test")), args.pop("out")
    model = Model(Config(**args)).fit(train["signals"], train["labels"])
    np.save(out, model.predict(test["signals"]))


if __name__ == "__main__":
    main()
