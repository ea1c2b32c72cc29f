"""The manifest, read as the cluster reads it; the client against an API server that is not there or says no."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablate.errors import LaunchError
from ablate.launch.kubernetes.manifest import KubernetesOptions, as_yaml, manifest, require_reachable
from ablate.launch.launcher import launch
from ablate.worker.agent_options import AgentOptions

STORAGE = "postgresql://ablate:hush-hush@db.example/ablate"
AGENT = AgentOptions(study="SD_vs LP!", storage=STORAGE)
OPTIONS = KubernetesOptions(image="registry.example/ablate:0.1", gpus_per_worker=1, data_claim="ptbxl")


def container(document: dict[str, Any]) -> dict[str, Any]:
    (only,) = document["spec"]["template"]["spec"]["containers"]
    return only


def test_yaml_is_the_manifest_and_holds_no_password() -> None:
    text = as_yaml(manifest(AGENT, n_agents=16, options=OPTIONS))
    assert yaml.safe_load(text) == manifest(AGENT, n_agents=16, options=OPTIONS)
    assert "hush-hush" not in text
    assert "db.example" not in text


def test_an_index_for_each_agent_with_a_gpu_and_the_address_from_a_secret() -> None:
    document = manifest(AGENT, n_agents=16, options=OPTIONS)
    assert document["spec"]["completionMode"] == "Indexed"
    assert document["spec"]["completions"] == document["spec"]["parallelism"] == 16
    agent = container(document)
    assert agent["resources"]["limits"]["nvidia.com/gpu"] == "1"
    environment = {each["name"]: each for each in agent["env"]}
    assert environment["ABLATE_STORAGE"]["valueFrom"]["secretKeyRef"] == {"name": "ablate-storage", "key": "url"}
    assert {mount["mountPath"] for mount in agent["volumeMounts"]} >= {environment["ABLATE_DATA"]["value"], "/ablate"}


def test_agents_are_never_root_and_write_to_their_volumes_only() -> None:
    document = manifest(AGENT, n_agents=1, options=OPTIONS)
    pod = document["spec"]["template"]["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["fsGroup"] == 10001
    assert container(document)["securityContext"]["readOnlyRootFilesystem"] is True
    written = {mount["mountPath"] for mount in container(document)["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/ablate", "/tmp"}
    other = manifest(AGENT, n_agents=1, options=KubernetesOptions(image="i", user=500))
    assert other["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 500
    with pytest.raises(LaunchError, match="user=0: expected the number of an account that is not root"):
        KubernetesOptions(image="i", user=0)


def test_without_gpus_none_is_asked_for() -> None:
    agent = container(manifest(AGENT, n_agents=1, options=KubernetesOptions(image="i")))
    assert list(agent["resources"]["limits"]) == ["memory"]
    assert agent["command"][agent["command"].index("--device") + 1] == "cpu"


def test_names_are_what_kubernetes_allows() -> None:
    document = manifest(AgentOptions(study="Ö" * 80, storage=STORAGE), n_agents=1, options=OPTIONS)
    assert document["metadata"]["name"] == "ablate-study"
    assert manifest(AGENT, n_agents=1, options=OPTIONS)["metadata"]["name"] == "ablate-sd-vs-lp"
    long = manifest(AgentOptions(study="a." * 60, storage=STORAGE), n_agents=1, options=OPTIONS)["metadata"]["name"]
    assert len(long) <= 52
    assert not long.endswith("-")


def test_wrong_study_or_code_is_not_tried_again_and_eviction_is() -> None:
    ignore, fail = manifest(AGENT, n_agents=1, options=OPTIONS)["spec"]["podFailurePolicy"]["rules"]
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert LaunchError.exit_status in fail["onExitCodes"]["values"]
    assert 4 not in fail["onExitCodes"]["values"]  # a database that is away comes back


def test_pod_has_the_arguments_of_the_command() -> None:
    """Exactly those that ``ablate worker`` takes."""
    import typer

    from ablate.cli.main import app

    agent_options = AgentOptions(
        study="s", storage=STORAGE, phases=("search",), reuse=True, allow_mixed=True, n_threads=2, lease_s=30
    )
    program, verb, *arguments = container(manifest(agent_options, n_agents=1, options=OPTIONS))["command"]
    assert (program, verb) == ("ablate", "worker")
    command = typer.main.get_command(app).commands["worker"]  # type: ignore[attr-defined]
    given = command.make_context("worker", arguments).params
    assert (given["study"], given["device"], given["phase"], given["lease_s"]) == ("s", "cuda", "search", 30.0)
    assert given["allow_mixed"]
    assert given["reuse"]


def test_cluster_knows_every_field() -> None:
    """Read into the official client's model and written again: a field that it does not know would be lost."""
    client = pytest.importorskip("kubernetes.client", reason="needs ablate-ecg[k8s]")
    document = manifest(AGENT, n_agents=3, options=OPTIONS)
    assert client.ApiClient().sanitize_for_serialization(client.V1Job.from_dict(document)) == document


@pytest.mark.parametrize("storage", ["postgresql://localhost/a", "postgresql://127.0.0.1:5432/a", "postgresql:///a"])
def test_storage_on_loopback_is_refused(storage: str) -> None:
    with pytest.raises(LaunchError, match="this machine only"):
        require_reachable(storage)


def test_fraction_of_a_gpu_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"gpu_resource=nvidia\.com"):
        KubernetesOptions(image="i", gpus_per_worker=0.5)


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, Any]]]:
    """An HTTP server in the place of the API server, which keeps what it is asked and finishes Jobs at once."""
    asked: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, document: dict[str, Any]) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, json.loads(self.rfile.read(length) or "null")))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def do_POST(self) -> None:
            if "forbidden" in self.path:
                self._answer(403, {"message": "jobs.batch is forbidden"})
            else:
                self._answer(201, {})

        def do_GET(self) -> None:
            self._answer(200, {"status": {"completedIndexes": "0,2-3", "failedIndexes": "1", "conditions": []}})

        def do_DELETE(self) -> None:
            self._answer(200, {})

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        configure(tmp_path, monkeypatch, server.server_address[1])
        yield asked
        server.shutdown()
        thread.join()


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    here = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
    user = {"name": "me", "user": {"token": "t"}}
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "here"}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document | {"clusters": [here], "contexts": [context], "users": [user]}))
    # the client reads KUBECONFIG once, when it is imported
    config = pytest.importorskip("kubernetes.config", reason="needs ablate-ecg[k8s]")
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


@pytest.mark.filterwarnings("default")
def test_apply_creates_the_job_and_says_how_each_index_ended(api_server: list[tuple[str, str, Any]]) -> None:
    from ablate.launch.kubernetes.launcher import KubernetesLauncher

    statuses = launch(KubernetesLauncher(OPTIONS), [AGENT] * 4)
    assert [status.exit_status for status in statuses] == [0, LaunchError.exit_status, 0, 0]
    verb, path, body = api_server[0]
    assert (verb, path) == ("POST", "/apis/batch/v1/namespaces/default/jobs")
    assert body == manifest(AGENT, n_agents=4, options=OPTIONS)


@pytest.mark.filterwarnings("default")
def test_stop_deletes_the_job_with_its_pods(api_server: list[tuple[str, str, Any]]) -> None:
    from ablate.launch.kubernetes.launcher import KubernetesLauncher

    launcher = KubernetesLauncher(OPTIONS)
    launcher.start([AGENT])
    launcher.stop()
    verb, path, body = api_server[-1]
    assert (verb, path) == ("DELETE", "/apis/batch/v1/namespaces/default/jobs/ablate-sd-vs-lp")
    assert body["propagationPolicy"] == "Foreground"


@pytest.mark.filterwarnings("default")
def test_refusal_and_silence_are_one_line(
    api_server: list[tuple[str, str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablate.launch.kubernetes.launcher import KubernetesLauncher

    with pytest.raises(LaunchError, match=r"jobs\.batch is forbidden"):
        launch(KubernetesLauncher(KubernetesOptions(image="i", namespace="forbidden")), [AGENT])
    configure(tmp_path, monkeypatch, 1)
    with pytest.raises(LaunchError, match="does not answer"):
        launch(KubernetesLauncher(OPTIONS), [AGENT])
