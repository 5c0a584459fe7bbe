"""Makes a `RunConfig` from a command line and flagfiles.

Flags are the settings of `RunConfig`, the program's own flags, and the
hyperparameters of the chosen model, each as `--name` and as `--<model>.name`.
"""

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.flagfile import Flag, FlagError, expand
from experiments.program import PROGRAM
from sar_tf import models
from sar_tf.settings import Setting
from sar_tf.training.config import (
    GROUPS,
    ConfigError,
    RunConfig,
    hyperparameter_settings,
)

# Values of flags that are given without a value.
_ALONE = {"verbose": "all"}


@dataclasses.dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        program: The program's own flags, with their defaults.
        given: Settings of `RunConfig` that were given, by name.
        model: The chosen model.
        hyperparameters: Its hyperparameters that were given.
    """

    program: Mapping[str, Any]
    given: Mapping[str, Any]
    model: str
    hyperparameters: Mapping[str, Any]

    def config(self, kept: RunConfig | None = None) -> RunConfig:
        """The given settings; the others from a kept run, else the defaults.

        Raises:
            FlagError: The kept run has another model.
        """
        if kept is None:
            return RunConfig(**self.given, hyperparameters=self.hyperparameters)
        if self.given.get("model", kept.model) != kept.model:
            raise FlagError(
                f"--model={self.model}: the run in --run_dir is of {kept.model}"
            )
        hyperparameters = {**kept.hyperparameters, **self.hyperparameters}
        return dataclasses.replace(kept, **self.given, hyperparameters=hyperparameters)


def parse(arguments: Sequence[str], model: str | None = None) -> Command:
    """Reads a command line.

    Args:
        arguments: The command line, without the program's name.
        model: The model if no flag names one; None is `RunConfig`'s default.

    Raises:
        FlagError: An unknown flag, a bad value or a flagfile that cannot be read.
        SystemExit: After --help.
    """
    return parse_flags(expand(arguments), model)


def parse_flags(flags: Sequence[Flag], model: str | None = None) -> Command:
    """As `parse`, of flags that are read from their flagfiles already."""
    named = [flag.value for flag in flags if flag.name == "model"]
    model = named[-1] if named else model or RunConfig.settings()["model"].default
    try:
        hyperparameters = hyperparameter_settings(model)
    except ConfigError as error:
        raise FlagError(f"--model={model}: {error}") from error
    parser = make_parser(model, hyperparameters)
    found = argparse.Namespace()
    for flag in flags:
        if not _is_of_other_model(flag, model):
            try:
                parser.parse_args([flag.text], found)
            except FlagError as error:
                raise FlagError(f"{flag.origin}{error}") from error
    values = vars(found)
    program = {
        name: values.pop(name, setting.default) for name, setting in PROGRAM.items()
    }
    prefix = f"{model}."
    return Command(
        program=program,
        given={n: v for n, v in values.items() if not n.startswith(prefix)},
        model=model,
        hyperparameters={
            name.removeprefix(prefix): value
            for name, value in values.items()
            if name.startswith(prefix)
        },
    )


def make_parser(
    model: str, hyperparameters: Mapping[str, Setting]
) -> argparse.ArgumentParser:
    """The parser of a model's command line; flags that are not given have no value.

    Args:
        model: The chosen model.
        hyperparameters: Its hyperparameters by name.
    """
    parser = _Parser(
        model,
        prog="run.py",
        usage="python experiments/run.py [--flagfile=FILE] [--flag=value ...]",
        description="Trains, evaluates and exports a model.",
        argument_default=argparse.SUPPRESS,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    taken = {"help", *PROGRAM}
    program = parser.add_argument_group("program")
    for name, setting in PROGRAM.items():
        _add(program, setting, f"--{name}", name)
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for name, setting in RunConfig.settings(title).items():
            taken.add(name)
            _add(group, setting, f"--{name}", name)
    group = parser.add_argument_group(f"hyperparameters of {model}")
    for name, setting in hyperparameters.items():
        prefixed = f"--{model}.{name}"
        if name in taken:
            _add(group, setting, prefixed, f"{model}.{name}")
            continue
        _add(group, setting, f"--{name}", f"{model}.{name}")
        _add(group, setting, prefixed, f"{model}.{name}", is_hidden=True)
    return parser


def _add(group, setting, flag, destination, is_hidden=False):
    alone = True if setting.kind is bool else _ALONE.get(setting.name)
    group.add_argument(
        flag,
        dest=destination,
        metavar=_metavar(setting),
        type=_parser_of(setting),
        help=argparse.SUPPRESS if is_hidden else _help_text(setting),
        **({} if alone is None else {"nargs": "?", "const": alone}),
    )


def _metavar(setting):
    name = {bool: "true|false", int: "INT", float: "FLOAT", str: "TEXT"}[setting.kind]
    return f"{name},..." if setting.is_tuple else name


def _help_text(setting):
    limits = f"; {setting.limits}" if setting.limits else ""
    default = setting.format(setting.default) or "empty"
    text = f"{setting.help} (default: {default}{limits})"
    return text.replace("%", "%%")


def _parser_of(setting):
    def parse_value(text):
        try:
            return setting.parse(text)
        except ValueError as error:
            # argparse already puts the flag's name before the text.
            reason = str(error).removeprefix(f"{setting.name} ")
            raise argparse.ArgumentTypeError(reason) from error

    return parse_value


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog):
        super().__init__(prog, max_help_position=32, width=88)


class _Parser(argparse.ArgumentParser):
    """Raises FlagError instead of leaving the program."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self._model = model

    def error(self, message):
        raise FlagError(message.removeprefix("argument "))

    def parse_args(self, args=None, namespace=None):
        values, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise FlagError(self._unknown(unknown[0]))
        return values

    def _unknown(self, text):
        if not text.startswith("--"):
            return f"{text!r} is no flag; flags begin with --"
        flag = text.partition("=")[0]
        name = flag.removeprefix("--")
        takers = [m for m in models.names() if name in hyperparameter_settings(m)]
        if takers:
            return (
                f"{flag}: {self._model} has no such hyperparameter; "
                f"{', '.join(takers)} {'has' if len(takers) == 1 else 'have'}"
            )
        close = difflib.get_close_matches(
            flag, self._option_string_actions, n=1, cutoff=0.8
        )
        return f"{flag}: no such flag" + (f"; do you mean {close[0]}?" if close else "")


def _is_of_other_model(flag: Flag, model: str) -> bool:
    """Whether a flag belongs to another registered model; checks its value if so.

    Raises:
        FlagError: The other model has no such hyperparameter or refuses the value.
    """
    owner, dot, name = flag.name.rpartition(".")
    if not dot or owner == model:
        return False
    try:
        setting = hyperparameter_settings(owner).get(name)
        if setting is None:
            raise FlagError(f"{owner} has no such hyperparameter")
        setting.parse("true" if flag.value is None else flag.value)
    except ValueError as error:
        raise FlagError(f"{flag.origin}--{flag.name}: {error}") from error
    return True


def flagfile_text(config: RunConfig) -> str:
    """A flagfile that repeats a run, with defaults and hyperparameters written out."""
    lines = [
        "# Repeats the run: python experiments/run.py --flagfile=<this file> "
        "--run_dir=<another folder>"
    ]
    for name, setting in RunConfig.settings().items():
        value = getattr(config, name)
        if value is not None:
            lines.append(f"--{name}={setting.format(value)}")
    settings = hyperparameter_settings(config.model)
    for name, value in config.hyperparameters.items():
        lines.append(f"--{config.model}.{name}={settings[name].format(value)}")
    return "\n".join(lines) + "\n"
