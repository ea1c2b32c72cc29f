"""Agents as an indexed Kubernetes Job, applied and watched through the official client."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from ablate.errors import LaunchError
from ablate.launch.kubernetes.manifest import KubernetesOptions, manifest, require_reachable
from ablate.launch.launcher import AgentStatus
from ablate.worker.agent_options import AgentOptions

_LOOK_S = 5.0
_ANSWER_S = 20.0


class KubernetesLauncher:
    """See ``Launcher``. Deleting the Job stops its agents; one that outlives a killed launcher fills the study."""

    def __init__(self, options: KubernetesOptions) -> None:
        """Read the kubeconfig, or the service account where this is a pod.

        Raises:
            LaunchError: the client is not installed, or nothing says which cluster.
        """
        self._options = options
        self._client = _import_client()
        self._batch = self._client.BatchV1Api()
        self._name: str | None = None
        self._seen: list[AgentStatus] = []
        self._look_at = 0.0

    def start(self, options: Sequence[AgentOptions]) -> None:
        """Create the Job.

        Raises:
            LaunchError: the cluster does not answer, or refuses.
        """
        require_reachable(options[0].storage)
        wanted = manifest(options[0], n_agents=len(options), options=self._options)
        self._call("create", self._batch.create_namespaced_job, self._options.namespace, wanted)
        self._name = wanted["metadata"]["name"]
        self._seen = [AgentStatus(place=f"{self._name}-{index}", is_alive=True) for index in range(len(options))]

    def watch(self, *, timeout_s: float) -> list[AgentStatus]:
        """Wait so long; how each index of the Job stood at the last look. Kubernetes replaces pods that were lost."""
        time.sleep(timeout_s)
        if self._name is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            job = self._call("read", self._batch.read_namespaced_job_status, self._name, self._options.namespace)
            self._seen = [_status(each, index, job) for index, each in enumerate(self._seen)]
        return self._seen

    def stop(self, *, at_once: bool = False) -> None:
        """Delete the Job: its pods get SIGTERM and time for a checkpoint, or none."""
        if self._name is None:
            return
        options = self._client.V1DeleteOptions(
            propagation_policy="Background" if at_once else "Foreground", grace_period_seconds=0 if at_once else None
        )
        self._call("delete", self._batch.delete_namespaced_job, self._name, self._options.namespace, body=options)
        self._look_at = 0.0

    def close(self) -> None:
        """Delete the Job if agents still live."""
        if any(status.is_alive for status in self._seen):
            self.stop()
        self._name = None

    def _call(self, verb: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Ask the API server; None where what is asked for does not exist any more."""
        import urllib3  # noqa: PLC0415

        try:
            return method(*arguments, **options, _request_timeout=_ANSWER_S)
        except self._client.ApiException as error:
            if error.status == 404 and verb in ("read", "delete"):
                return None
            said = re.search(r'"message":\s*"([^"]*)"', error.body or "")
            raise LaunchError(
                f"--launcher kubernetes: cannot {verb} the Job: {said[1] if said else error.reason}"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            host = self._client.Configuration.get_default_copy().host
            raise LaunchError(f"--launcher kubernetes: {host} does not answer; check `kubectl cluster-info`") from error


def _status(before: AgentStatus, index: int, job: Any) -> AgentStatus:
    """How one index stands; a Job that is gone was deleted, and its agents were told to end."""
    if job is None:
        return AgentStatus(place=before.place, is_alive=False)
    if _holds(job.status.completed_indexes, index):
        return AgentStatus(place=before.place, is_alive=False, exit_status=0)
    ended = {
        condition.type: condition.message for condition in job.status.conditions or () if condition.status == "True"
    }
    if _holds(job.status.failed_indexes, index) or "Failed" in ended:
        complaint = f"{before.place} failed; see `kubectl logs job/{before.place.rpartition('-')[0]}`"
        return AgentStatus(place=before.place, is_alive=False, exit_status=LaunchError.exit_status, complaint=complaint)
    return AgentStatus(place=before.place, is_alive="Complete" not in ended)


def _holds(indexes: str | None, index: int) -> bool:
    """Whether a list such as "0,3-5" holds ``index``."""
    for part in filter(None, (indexes or "").split(",")):
        first, _, last = part.partition("-")
        if int(first) <= index <= int(last or first):
            return True
    return False


def _import_client() -> Any:
    try:
        from kubernetes import client, config  # noqa: PLC0415
    except ImportError as error:
        raise LaunchError(
            "--launcher kubernetes: the client is not installed; pip install 'ablate-ecg[k8s]', or leave --apply out "
            "and give the manifest to kubectl"
        ) from error
    try:
        config.load_config()
    except config.ConfigException as error:
        raise LaunchError(f"--launcher kubernetes: no cluster is configured ({error}); set KUBECONFIG") from error
    return client
