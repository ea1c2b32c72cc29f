"""(d) ``ablate`` with its optimisations off: python switched_off.py run --study FILE … , as the command ``ablate``.

They have no settings, since nobody should want them off; named functions are replaced instead, in every process.

- records are read by wfdb, not by our reader of PTB-XL's plain form;
- the probe goes through the encoder in every epoch, no features are kept or shared;
- the probe's gradient and AdamW are torch's own, and fine-tuning's AdamW is not fused;
- the encoder keeps its activations contiguous, not channels-last;
- scores are scikit-learn's, class by class;
- every slot gets a trainer process of its own that imports torch anew, and the next slot is claimed only then.

What cannot be taken off without writing other code stays on: arrays prepared once and mapped, batches indexed from
them, one one-thread trainer for each core.
"""

import math
from dataclasses import replace
from typing import Any

from ablate.ecg import record
from ablate.worker import fork_server

_PATHS = "sys.path[:] = sys.argv[2:]; "


def read_by_wfdb() -> None:
    record._parse_plain = lambda *_: None


def plain_trainers() -> None:
    """In a fork server, before it forks anything."""
    import numpy as np  # noqa: PLC0415  (the command itself and the processes that prepare need none of these)
    import torch  # noqa: PLC0415
    import torch.nn.functional as F  # noqa: N812, PLC0415
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415

    from ablate.model.catalogue import CATALOGUE  # noqa: PLC0415
    from ablate.train import probe, score, trial  # noqa: PLC0415
    from ablate.worker import agent, trainer_process, trial_runner  # noqa: PLC0415
    from ablate.worker.message import TrialRequest  # noqa: PLC0415

    class PlainAdamW(torch.optim.AdamW):
        def __init__(self, parameters: Any, **named: Any) -> None:
            super().__init__(parameters, **named | {"fused": False})

    class AutogradLogistic:
        def __init__(self, head: torch.nn.Linear, *, weight_decay: float) -> None:
            self._head = head
            groups = [{"params": [head.weight], "weight_decay": weight_decay}]
            self._optimizer = PlainAdamW([*groups, {"params": [head.bias], "weight_decay": 0.0}])

        def step(self, features: torch.Tensor, targets: torch.Tensor, *, rate: float) -> torch.Tensor:
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(self._head(features), targets)
            loss.backward()
            self._optimizer.step()
            return loss.detach()

        def write(self) -> None: ...

        def state(self) -> dict[str, torch.Tensor]:
            states = self._optimizer.state_dict()["state"]
            return {f"{i}.{name}": tensor for i, state in states.items() for name, tensor in state.items()}

        def restore(self, state: dict[str, torch.Tensor]) -> None:
            raise NotImplementedError("a benchmark's trial is not interrupted")

    def by_sklearn(one: Any) -> Any:
        def macro(labels: np.ndarray, scores: np.ndarray, *, classes: np.ndarray) -> float:
            return float(np.mean([one(labels[:, i], scores[:, i]) for i in np.flatnonzero(classes)]))

        return macro

    macro_auroc, macro_auprc = by_sklearn(roc_auc_score), by_sklearn(average_precision_score)
    macro_auroc.__name__, macro_auprc.__name__ = "macro_auroc", "macro_auprc"  # a score is named by its function
    for module in (trial, score):
        module.macro_auroc, module.macro_auprc = macro_auroc, macro_auprc

    send = trainer_process.TrainerProcess.send

    def send_to_new(trainer: Any, message: Any) -> None:
        if isinstance(message, TrialRequest):
            if getattr(trainer, "has_worked", False):
                trainer.close()
                trainer._fork_server = None
                trainer.start()
            trainer.has_worked = True
        send(trainer, message)

    trainer_process.TrainerProcess.send = send_to_new
    agent._AHEAD_S = -math.inf
    trial_runner.FeatureCache = lambda _: None
    torch.optim.AdamW = PlainAdamW
    probe.Logistic = AutogradLogistic
    for name, entry in CATALOGUE.items():
        CATALOGUE[name] = replace(entry, channels_last=False)


# When imported, too: processes that prepare records import the main module, nurseries import this one.
read_by_wfdb()
if "switched_off" not in fork_server._START:
    fork_server._START = fork_server._START.replace(
        _PATHS, _PATHS + "import switched_off; switched_off.plain_trainers(); "
    )

if __name__ == "__main__":
    from ablate.cli.main import main

    main()
