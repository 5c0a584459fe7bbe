"""Flagfiles: lines of one `--flag=value`, `#` comments, and other flagfiles."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

_FLAGFILE = "--flagfile"


class FlagError(ValueError):
    """A wrong flag; shown as one line, without traceback."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """An element of a command line or a line of a flagfile.

    Attributes:
        text: The given text: "--name=value", "--name" or a word.
        origin: "file:line: " if it comes from a flagfile; else "".
    """

    text: str
    origin: str = ""

    @property
    def name(self) -> str:
        """The flag's name without dashes; "" for a word."""
        if not self.text.startswith("--"):
            return ""
        return self.text.removeprefix("--").partition("=")[0]

    @property
    def value(self) -> str | None:
        """The text after `=`; None without `=`."""
        _, equals, value = self.text.partition("=")
        return value if equals else None


# Of run.py: a command that trains several runs decides these itself.
NOT_OF_STUDIES = ("mode", "resume", "run_dir", "simulated_dataset_dir", "strategy")


def split_study(
    arguments: Sequence[str], own: Collection[str], study: str
) -> tuple[list[Flag], list[Flag]]:
    """The flags of a command that trains several runs: its own, and those of run.py.

    Args:
        arguments: The command line, without the program's name.
        own: Names of the command's own flags.
        study: What the command runs, for errors: "a sweep".

    Raises:
        FlagError: A flag is one of `NOT_OF_STUDIES`, or as `expand`.
    """
    given = expand(arguments)
    for flag in given:
        if flag.name in NOT_OF_STUDIES:
            raise FlagError(
                f"{flag.origin}--{flag.name} is no flag of {study}; leave it out"
            )
    return (
        [flag for flag in given if flag.name in own],
        [flag for flag in given if flag.name not in own],
    )


def expand(arguments: Sequence[str], origin: str = "") -> list[Flag]:
    """Replaces each --flagfile by the lines of its file.

    A value may also be the word after its flag (`--epochs 3`); the result has it
    after `=`.

    Args:
        arguments: Flags and their values.
        origin: Where they come from, as `Flag.origin`.

    Raises:
        FlagError: A flagfile cannot be read, names itself or holds more than flags.
    """
    return _expand(_join_values(arguments, origin), ())


def _join_values(arguments: Sequence[str], origin: str) -> list[Flag]:
    flags: list[Flag] = []
    for text in arguments:
        may_follow = (
            flags and flags[-1].text.startswith("--") and flags[-1].value is None
        )
        if may_follow and not text.startswith("--"):
            flags[-1] = Flag(f"{flags[-1].text}={text}", origin)
        else:
            flags.append(Flag(text, origin))
    return flags


def _expand(flags: Iterable[Flag], inside: tuple[Path, ...]) -> list[Flag]:
    expanded: list[Flag] = []
    for flag in flags:
        if flag.name != _FLAGFILE.removeprefix("--"):
            expanded.append(flag)
            continue
        if not flag.value:
            raise FlagError(f"{flag.origin}{_FLAGFILE} needs a file: {_FLAGFILE}=FILE")
        path = Path(flag.value)
        if path in inside:
            raise FlagError(f"{flag.origin}{_FLAGFILE}={path} names itself")
        expanded += _expand(_read(path, flag.origin), (*inside, path))
    return expanded


def _read(path: Path, origin: str) -> list[Flag]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FlagError(f"{origin}{_FLAGFILE}={path}: {reason}") from error
    flags = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith("--"):
            reason = f"{line[:40]!r} is no flag; write --flag=value"
            raise FlagError(f"{path}:{number}: {reason}")
        flags.append(Flag(line, f"{path}:{number}: "))
    return flags
