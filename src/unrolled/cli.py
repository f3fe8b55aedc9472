"""The ``unrolled`` command: its subcommands are in ``unrolled.commands``, each imported when it is
asked for, so that help and errors come at once."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from unrolled import __version__
from unrolled.errors import UnrolledError, full_disk_said
from unrolled.runs.text import printable

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

# Each is a module with add_parser(subparsers, help) and run(options).
COMMANDS = {
    "train": "one run, or with -m a sweep",
    "compare": "many runs to one answer: table, plots, JSON",
    "tensorboard": "curves, samples and comparisons in a browser",
    "check": "whether a cell is sound, and how fast",
    "generate": "text from trained runs, side by side",
    "predict": "a trained run's answers for new data",
    "surprisal": "how surprising each token of a text is, and where it is unusual",
    "diagnose": "why a run remembers or forgets: gradient flow, memory length, gates, dynamics",
    "evaluate": "a trained run again, on its own data or on other data",
    "export": "a trained run as a folder that runs without this package",
    "reproduce": "a finished run again from its record, and whether it came out the same",
    "runs": "what runs there are, and in which state",
    "completion": "the script for a shell that completes commands, keys and choices",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: a run of a sweep failed, or a reproduction came out otherwise. 2: bad input, said
    in one sentence. 130: stopped by hand.
    """
    typed = sys.argv[1:] if arguments is None else [*arguments]
    parser = _parser(typed)
    options, rest = parser.parse_known_args(typed)
    options.command = shlex.join(["unrolled", *typed])
    flags = [argument for argument in rest if argument.startswith("-")]
    if flags or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(flags or rest)}")
    if rest:
        # Overrides after a flag: argparse stops collecting them at the first gap.
        options.overrides += rest
    try:
        with full_disk_said():
            code = options.run(options)
        assert isinstance(code, int)
        return code
    except UnrolledError as error:
        print(f"unrolled: {printable(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        again = "; the same command again makes what is left" if typed[:1] == ["train"] else ""
        message = str(error) or f"stopped{again}"
        print(f"unrolled: {message}", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as error:
        # No command of ours ends this way; code of a person's own may, and has not done its work.
        print(f"unrolled: failed: something called sys.exit({error.code!r})", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; Python would complain again at exit.
        sys.stderr.close()
        return 0


def _parser(typed: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, of whose subcommands only the one that is asked for is there in full."""
    parser = argparse.ArgumentParser(
        prog="unrolled",
        allow_abbrev=False,
        description="Compare recurrent architectures, honestly, from one command.",
    )
    parser.add_argument("--version", action="version", version=f"unrolled {__version__}")
    parser.set_defaults(commands=[*COMMANDS])
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if name in typed[:1]:
            module = import_module(f"unrolled.commands.{name}")
            module.add_parser(subparsers, summary).set_defaults(run=module.run)
        else:
            subparsers.add_parser(name, help=summary)
    return parser
