"""docker-compose.yml and Dockerfile, read and held to what they promise; no engine is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ablate.cli.main import app

ROOT = Path(__file__).parents[3]
# Of the Compose Specification, as far as it is used here.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "init", "ports",
    "profiles", "restart", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip

Services = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> Services:
    return compose()["services"]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def ours(
    services: Services,
) -> Services:
    return {name: service for name, service in services.items() if name != "postgres"}


def test_only_known_keys_and_references_that_resolve(
    services: Services,
) -> None:
    document = compose()
    assert set(document) == {"name", "x-ablate", "x-worker", "services", "volumes"}
    for service in services.values():
        assert set(service) <= KEYS
        assert set(service.get("depends_on", {})) <= set(services)
        named = [volume.split(":")[0] for volume in service.get("volumes", []) if volume[0] not in "./$"]
        assert set(named) <= set(document["volumes"])


def test_password_comes_from_the_environment_and_has_no_default(
    services: Services,
) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    values = re.findall(r"PASSWORD: *(.*)", text)
    assert len(values) == 2
    assert all(re.fullmatch(r"\$\{ABLATE_DB_PASSWORD:\?.+\}", value) for value in values)
    assert all("@" not in url.split("//")[1].split("@")[0] and ":" not in url.split("//")[1].split("@")[0]
               for url in re.findall(r"postgresql://\S+", text))  # fmt: skip


def test_store_is_healthy_before_anybody_needs_it_and_survives(
    services: Services,
) -> None:
    assert services["postgres"]["healthcheck"]["test"][1] == "pg_isready"
    assert "postgres:/var/lib/postgresql" in services["postgres"]["volumes"]
    for service in ours(services).values():
        assert service["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_every_port_is_on_loopback(
    services: Services,
) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_worker_reserves_a_gpu_and_can_be_scaled(
    services: Services,
) -> None:
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert "container_name" not in services["worker"]
    assert "ports" not in services["worker"]
    assert services["worker-cpu"]["profiles"] == ["cpu"]
    assert "deploy" not in services["worker-cpu"]


def test_dashboard_can_only_look(
    services: Services,
) -> None:
    assert "--write" not in services["dashboard"]["command"]


def test_ours_have_no_privilege_and_time_to_checkpoint(
    services: Services,
) -> None:
    for service in ours(services).values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"] is True
    assert services["worker"]["stop_grace_period"] == "90s"


def test_commands_are_commands_of_ablate(
    services: Services,
) -> None:
    group = get_command(app)
    for service in ours(services).values():
        name, *arguments = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in service["command"]]
        group.commands[name].make_context(name, arguments)


def test_image_is_slim_pinned_and_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", compose()["services"]["postgres"]["image"])
    last_stage = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001:10001" in last_stage  # by number, so that a cluster can see that it is not root
    assert 'ENTRYPOINT ["ablate"]' in last_stage
    installs = [line for line in lines if "pip install" in line and not line.startswith("#")]
    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)


def test_image_takes_packages_from_where_pips_configuration_says() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "http" not in text
    assert "ARG TORCH_INDEX\n" in text  # no default


def test_image_copies_only_what_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    missing = [name for line in copied for name in line.split() if not (ROOT / name).exists()]
    assert [name for name in missing if name != "README.md"] == []
