"""From the overrides of a command line to plain data: Hydra composes and expands the jobs of a sweep.

Nothing here knows what the data mean, and nothing imports JAX (`ahead.py`).
"""

import itertools
from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lstm_research import catalogue
from lstm_research.catalogue import ConfigError
from lstm_research.line import GROUPS, OPTIONAL, PLAIN, seedless
from lstm_research.spelling import unknown

PACKED = (
    "hydra_plugins.lstm_research_packed.PackedLauncher"  # where `hydra_launcher.register` puts it
)

ConfigStore.instance().store(
    group="hydra/launcher", name="packed", node={"_target_": PACKED}, provider="lstm_research"
)


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides; raise ConfigError where one is not of Hydra's grammar."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"command line: {str(error).splitlines()[0]}") from None


def widen(override: Override) -> str:
    """Return an override as Hydra takes it: `cell.forget_bias=1` may name a key that no YAML spells
    out.

    The YAMLs hold differences only. A dotted key is forced in, and `config.build` refuses it by
    name if no field is called that.
    """
    line, key = override.input_line or "", override.key_or_group
    if (
        key.startswith("hydra")
        or override.is_add()
        or override.is_force_add()
        or override.is_delete()
    ):
        return line
    if "." not in key and key not in (*GROUPS, *PLAIN):
        raise ConfigError(unknown(key, key, (*GROUPS, *PLAIN, "network"), "setting of a run"))
    return f"++{line}" if "." in key else line


def choices(override: Override) -> list[str]:
    """Return the values that an override walks through, as the job's overrides."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def check_names(overrides: Sequence[str]) -> None:
    """Raise ConfigError for each option of a group that does not exist, with the nearest one."""
    faults = []
    for override in parse(overrides):
        group, value = override.key_or_group, override.value()
        off = value is None and group in OPTIONAL
        if group in GROUPS and not off and value not in catalogue.names(group):
            faults.append(unknown(group, value, catalogue.names(group), group))
    if faults:
        raise ConfigError("\n".join(faults))


def jobs(overrides: Sequence[str], sweep: bool) -> list[list[str]]:
    """Return the overrides of each job, the last key walking fastest."""
    parsed = parse([widen(override) for override in parse(overrides)])
    if not sweep and (many := [o.input_line for o in parsed if o.is_sweep_override()]):
        raise ConfigError(
            f"command line: {', '.join(map(str, many))} names several values; add -m to sweep"
        )
    return [list(job) for job in itertools.product(*(choices(override) for override in parsed))]


def every(overrides: Sequence[str], sweep: bool = False) -> tuple[list[list[str]], dict]:
    """Return (the jobs, what each of them is composed to, by its words without a seed).

    Jobs that differ in their seed alone are composed once: Hydra takes a tenth of a second for each. What
    cannot be composed is there as the text of its faults; raises ConfigError where the line has no jobs.
    """
    found, data = jobs(overrides, sweep), dict[tuple[str, ...], dict[str, Any] | str]()
    for words in dict.fromkeys(map(seedless, found)):
        try:
            data[words] = composed(words)
        except ConfigError as error:
            data[words] = str(error)
    return found, data


def without_nulls(overrides: Sequence[str]) -> list[str]:
    """Return overrides as Hydra takes them, which has no word for none of a group: `wrap=null`."""
    kept: list[Override] = []
    for override in parse(overrides):
        group = override.key_or_group
        if group in OPTIONAL and not override.is_sweep_override() and override.value() is None:
            kept = [each for each in kept if each.key_or_group != group]
        else:
            kept.append(override)
    return [each.input_line or "" for each in kept]


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose one job to plain data."""
    check_names(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(catalogue.folder())):
        try:
            return plain(compose("run", without_nulls(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"command line: {str(error).splitlines()[0]}") from None


def plain(config: Any) -> dict[str, Any]:
    """Return a composed config as plain data, without what belongs to Hydra."""
    ours = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    data = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}
