"""``--option key=value``: each value becomes what the engine's option is."""

from pathlib import Path

import pytest

from ablate.cli.launcher_option import engine
from ablate.errors import OptionError
from ablate.launch.ray.cluster import RayOptions
from ablate.launch.slurm.launcher import SlurmOptions


def options(name: str, *pairs: str) -> RayOptions | SlurmOptions:
    found = engine(name, named={}, pairs=pairs)
    assert found is not None
    return found.options


def test_values_have_the_types_of_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED", "/shared")
    ray = options("ray", "upload_code=false", "cpus_per_worker=2", "shared_dir=$SHARED/ablate")
    assert (ray.upload_code, ray.cpus_per_worker, ray.shared_dir) == (False, 2.0, Path("/shared/ablate"))
    slurm = options("slurm", "partition=gpu", "memory_gb=12", "setup=module load cuda;ulimit -c 0")
    assert (slurm.partition, slurm.memory_gb, slurm.setup) == ("gpu", 12.0, ("module load cuda", "ulimit -c 0"))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("upload_code=perhaps", "upload_code = 'perhaps'.*boolean.*mend --option upload_code"),
        ("cpus_per_worker=many", "cpus_per_worker = 'many'.*number"),
        ("colour=red", "has no option colour; there are: address"),
        ("upload_code", "expected key=value"),
    ],
)
def test_a_mistake_names_the_option(pair: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        options("ray", pair)
