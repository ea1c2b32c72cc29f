"""``--launcher``: which engine places the agents, and what it is told."""

import dataclasses
import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from ablate.errors import OptionError

if TYPE_CHECKING:
    from ablate.launch.launcher import Launcher
    from ablate.worker.agent_options import AgentOptions

LOCAL = "local"
KUBERNETES = "kubernetes"
_ENGINES = {  # in ablate.launch: where each engine's options are, and its launcher
    "ray": ("ray.cluster:RayOptions", "ray.launcher:RayLauncher"),
    "slurm": ("slurm.launcher:SlurmOptions", "slurm.launcher:SlurmLauncher"),
    KUBERNETES: ("kubernetes.manifest:KubernetesOptions", "kubernetes.launcher:KubernetesLauncher"),
}


@dataclasses.dataclass(frozen=True)
class Engine:
    """A launcher other than this machine, with options that it has checked."""

    name: str
    options: Any

    def launcher(self) -> "Launcher":
        """What places agents there.

        Raises:
            LaunchError: the engine is missing or unreachable.
        """
        launcher: Launcher = _named(_ENGINES[self.name][1])(self.options)
        return launcher

    def manifest(self, agent_options: "AgentOptions", *, n_agents: int) -> str:
        """What ``kubectl apply`` takes."""
        from ablate.launch.kubernetes.manifest import as_yaml, manifest

        return as_yaml(manifest(agent_options, n_agents=n_agents, options=self.options))


def engine(name: str, *, named: dict[str, Any], pairs: Sequence[str]) -> Engine | None:
    """The engine ``name`` with its options; None for this machine.

    Args:
        named: options with a flag of their own; None where the flag was not given.
        pairs: ``key=value`` for the engine's other options.

    Raises:
        OptionError: no such engine, or an option that it has not.
        LaunchError: options that do not fit together.
    """
    given = {key: value for key, value in named.items() if value is not None}
    if name == LOCAL:
        if given or pairs:
            raise OptionError(f"--launcher local: has no {next(iter([*given, *pairs]))}; choose {', '.join(_ENGINES)}")
        return None
    if name not in _ENGINES:
        raise OptionError(f"--launcher {name}: expected {', '.join([LOCAL, *_ENGINES])}")
    kind = _named(_ENGINES[name][0])
    types = get_type_hints(kind)
    given |= dict(_parsed(name, pair, types) for pair in pairs)
    for key in given:
        if key not in types:
            raise OptionError(f"--launcher {name}: has no option {key}; there are: {', '.join(types)}")
    try:
        return Engine(name, kind(**given))
    except TypeError as error:
        missing = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
        raise OptionError(f"--launcher {name}: needs --option {missing[0]}=…") from error


def _parsed(name: str, pair: str, types: dict[str, Any]) -> tuple[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    key, equals, text = pair.partition("=")
    if not equals:
        raise OptionError(f"--option {pair}: expected key=value, of {', '.join(types)}")
    kind = types.get(key, str)
    value = os.path.expandvars(text)
    try:
        return key, TypeAdapter(kind).validate_python(tuple(value.split(";")) if get_origin(kind) is tuple else value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise OptionError(f"--launcher {name}: {key} = {text!r}: {said}; mend --option {key}") from error


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"ablate.launch.{module}"), name)
