"""The command line: one typed dataclass a command; what is heavy is imported by the command that runs."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import make_dataclass
from typing import Annotated, Union

from mien.cli.convert import Convert
from mien.cli.edit import Edit
from mien.cli.evaluate import Evaluate
from mien.cli.expression import Expression
from mien.cli.models import Models
from mien.cli.reconstruct import Reconstruct
from mien.cli.status import Status
from mien.cli.synthesize import Synthesize
from mien.cli.train import Bootstrap, ExportEncoder, Train
from mien.cli.train_expression import TrainExpression
from mien.cli.transfer import Transfer
from mien.errors import MienError

_COMMANDS = {
    "reconstruct": Reconstruct,
    "expression": Expression,
    "edit": Edit,
    "transfer": Transfer,
    "synthesize": Synthesize,
    "train": Train,
    "bootstrap": Bootstrap,
    "export-encoder": ExportEncoder,
    "train-expression": TrainExpression,
    "evaluate": Evaluate,
    "models": Models,
    "convert": Convert,
}

_DESCRIPTION = """One photograph in, a 3D face out, as a short code whose numbers mean something.

Examples:
  mien reconstruct photo.jpg           3D face, overlay picture and code, to mien-out
  mien reconstruct --help              what else it can do, by example
  mien expression photo.jpg            which of seven expressions, and how strong
  mien edit photo.jpg --expression happiness=0.8 -o smile.jpg
                                       the photo with the face changed
  mien transfer smile.jpg serious.jpg -o result.jpg
                                       one face's expression on another's photo
  mien synthesize faces -n 1000        random labelled pictures of faces
  mien train run                       an encoder from nothing, on such pictures (extra: train)
  mien models info anny                what the face model is made of, and its licence
  mien models add ict FaceXModel       another face model, for --model
  mien convert a.face.json --model ict a face in another model's numbers
  mien --version"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; `--help` and wrong usage end the process as usual."""
    # the fit's matrices are small: NumPy's further threads would only wait, and busily
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import tyro

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"mien {version('mien')}")
        return Status.DONE
    try:
        try:
            command = tyro.cli(
                _choice(arguments),
                prog="mien",
                description=_DESCRIPTION,
                args=arguments,
                config=(
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.OmitSubcommandPrefixes,
                    tyro.conf.FlagCreatePairsOff,
                ),
            )
        finally:
            sys.stdout.flush()  # help, which ends the process
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # file names may hold bytes of no encoding
        with _ended_like_ctrl_c():
            status = command.run()
        sys.stdout.flush()
        return status
    except MienError as error:
        print(error, file=sys.stderr)
        return Status.UNREADABLE
    except KeyboardInterrupt:
        print("mien: interrupted", file=sys.stderr)
        return Status.INTERRUPTED
    except BrokenPipeError:
        # who reads our output has gone, as `head` does; nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.DONE


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM, the way schedulers end a job, clean up as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _choice(arguments: list[str]) -> object:
    """The union of all commands; the one that is asked for is described in full, the others in a line."""
    return _union(_COMMANDS, arguments)


def _union(commands: Mapping[str, type], arguments: list[str]) -> object:
    from tyro.conf import subcommand

    def described(name: str, command: type) -> object:
        text = inspect.cleandoc(command.__doc__)
        if arguments[:1] != [name]:
            return Annotated[command, subcommand(name, description=text.splitlines()[0])]
        if choices := getattr(command, "CHOICES", None):
            fields = [("what", _union(choices, arguments[1:]))]
            command = make_dataclass(command.__name__, fields, bases=(command,), frozen=True)
        return Annotated[command, subcommand(name, description=text)]

    return Union[*(described(name, command) for name, command in commands.items())]
