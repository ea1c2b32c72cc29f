"""The manifest of an indexed Kubernetes Job: each of its pods is one ``ablate worker``.

The storage's address comes from a secret, so the manifest holds no password. A pod that is evicted gets SIGTERM,
checkpoints its trial and is replaced; one whose study, data or code is wrong is not.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from ablate.errors import DataError, LaunchError, SpecError
from ablate.launch.remote import address
from ablate.launch.remote.agent_group import DATA, HOME
from ablate.study.plan import CONFIRM, SEARCH
from ablate.worker.agent_options import AgentOptions

Manifest = dict[str, Any]

_STORAGE = "ABLATE_STORAGE"
_HOME_FOLDER = "/ablate"
_DATA_FOLDER = "/data"
_LABEL = "app.kubernetes.io/name"
_GRACE_S = 120  # for an epoch's end after SIGTERM
_MOST_RESTARTS = 50
_KEPT_S = 600  # of a finished Job, whose name is free then
_HOPELESS = sorted({error.exit_status for error in (SpecError, DataError, LaunchError)})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class KubernetesOptions:
    """What agents get from Kubernetes.

    Attributes:
        image: holds ablate, and torch for the device.
        gpus_per_worker: 0 or 1; where the cluster shares GPUs, name its share as ``gpu_resource``.
        storage_secret: secret with the storage's address, password and all.
        storage_key: the address' key in it.
        home_claim: volume claim that becomes ``ABLATE_HOME``, shared by pods; None is an empty folder in each.
        data_claim: volume claim with PTB-XL, mounted read-only.
        memory: of each agent, as Kubernetes writes it.
        user: number of the account that agents run as, never 0; the volumes are made writable for it.
    """

    image: str
    namespace: str = "default"
    gpus_per_worker: float = 0.0
    gpu_resource: str = "nvidia.com/gpu"
    cpus_per_worker: float = 1.0
    memory: str = "4Gi"
    storage_secret: str = "ablate-storage"  # noqa: S105
    storage_key: str = "url"
    home_claim: str | None = None
    data_claim: str | None = None
    device: str | None = None
    user: int = 10001  # of the project's own image

    def __post_init__(self) -> None:
        if self.gpus_per_worker not in (0, 1):
            raise LaunchError(
                f"--gpus-per-worker {self.gpus_per_worker:g}: Kubernetes gives whole GPUs, expected 0 or 1; where the "
                "cluster shares them, ask for 1 of its shares, such as --option gpu_resource=nvidia.com/gpu.shared"
            )
        if self.user < 1:
            raise LaunchError(f"--option user={self.user}: expected the number of an account that is not root")
        if not self.image:
            raise LaunchError("--option image=…: expected a container image with ablate in it")


def manifest(agent_options: AgentOptions, *, n_agents: int, options: KubernetesOptions) -> Manifest:
    """The Job, as ``kubectl apply -f`` takes it."""
    labels = {_LABEL: "ablate", "ablate/study": _label(agent_options.study)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _name(agent_options), "namespace": options.namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": n_agents,
            "parallelism": n_agents,
            "backoffLimitPerIndex": _MOST_RESTARTS,
            "ttlSecondsAfterFinished": _KEPT_S,
            "podFailurePolicy": _failure_policy(),
            "template": {"metadata": {"labels": labels}, "spec": _pod(agent_options, options)},
        },
    }


def require_reachable(storage: str) -> None:
    """See that pods can mean the same database by ``storage``.

    Raises:
        LaunchError: it is on this machine's loopback, or a socket file.
    """
    host = address.storage_host(storage)
    if host is None or address.is_loopback(host):
        raise LaunchError(
            f"--storage {host or 'a socket file'}: means the pod itself in a pod, and the managed Postgres listens on "
            "this machine only; give a Postgres that the cluster reaches: --storage postgresql://user@host/database"
        )


def as_yaml(document: Manifest) -> str:
    """The manifest for people and ``kubectl``."""
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _name(agent_options: AgentOptions) -> str:
    return f"ablate-{_label(agent_options.study)}"[:52].rstrip("-")  # pods add their index


def _label(text: str) -> str:
    """``text`` in the letters that Kubernetes allows."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return label if _NAME.fullmatch(label) else "study"


def _failure_policy() -> Manifest:
    """An eviction does not count as a failure; an error that another try cannot change fails the index at once."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailIndex", "onExitCodes": {"containerName": "agent", "operator": "In", "values": _HOPELESS}},
        ]
    }


def _pod(agent_options: AgentOptions, options: KubernetesOptions) -> Manifest:
    volumes: list[Manifest] = [{"name": "scratch", "emptyDir": {}}]
    home: Manifest = (
        {"persistentVolumeClaim": {"claimName": options.home_claim}} if options.home_claim else {"emptyDir": {}}
    )
    volumes.append({"name": "home", **home})
    if options.data_claim:
        claim = {"claimName": options.data_claim, "readOnly": True}
        volumes.append({"name": "data", "persistentVolumeClaim": claim})
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_S,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.user,
            "runAsGroup": options.user,
            "fsGroup": options.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(agent_options, options)],
        "volumes": volumes,
    }


def _container(agent_options: AgentOptions, options: KubernetesOptions) -> Manifest:
    secret = {"secretKeyRef": {"name": options.storage_secret, "key": options.storage_key}}
    environment: list[Manifest] = [{"name": _STORAGE, "valueFrom": secret}, {"name": HOME, "value": _HOME_FOLDER}]
    mounts: list[Manifest] = [{"name": "home", "mountPath": _HOME_FOLDER}, {"name": "scratch", "mountPath": "/tmp"}]  # noqa: S108
    if options.data_claim:
        environment.append({"name": DATA, "value": _DATA_FOLDER})
        mounts.append({"name": "data", "mountPath": _DATA_FOLDER, "readOnly": True})
    wants: Manifest = {"cpu": f"{options.cpus_per_worker:g}", "memory": options.memory}
    gpus: Manifest = {options.gpu_resource: "1"} if options.gpus_per_worker else {}
    return {
        "name": "agent",
        "image": options.image,
        "command": ["ablate", "worker", *_arguments(agent_options, options)],
        "env": environment,
        "resources": {"requests": wants | gpus, "limits": {"memory": options.memory} | gpus},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _arguments(agent_options: AgentOptions, options: KubernetesOptions) -> list[str]:
    device = options.device or ("cuda" if options.gpus_per_worker else "cpu")
    given = [
        agent_options.study,
        "--device",
        device,
        "--lease",
        f"{agent_options.lease_s:g}",
        "--threads",
        str(agent_options.n_threads),
    ]
    if tuple(agent_options.phases) != (SEARCH, CONFIRM):
        given += ["--phase", agent_options.phases[0]]
    if agent_options.reuse:
        given.append("--reuse")
    return [*given, "--allow-mixed"] if agent_options.allow_mixed else given
