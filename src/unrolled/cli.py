"""The ``unrolled`` command. Each subcommand imports what it needs, so that help and errors come at
once."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled import __version__
from unrolled.config.build import EVERYTHING
from unrolled.errors import ConfigError, UnrolledError, full_disk_said

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

TRAIN_HELP = """\
examples:
  unrolled train                                     one LSTM on the embedded corpus
  unrolled train cell=gru model.layers=2 seed=2      another cell, another seed
  unrolled train dataset=text dataset.path=my.txt    your own text
  unrolled train -m cell=rnn_tanh,lstm,gru seed=1,2,3 budget=equal
                                                     a sweep of nine runs of equal size
  unrolled train experiment=first_comparison         a study of experiments/
  unrolled train --cfg                               the whole configuration, every key
  unrolled train -m cell=lstm,gru --dry-run          what would run, be skipped, be continued

The same command again goes on where it stopped; retry_failed=true tries failed runs again.

Choices are files in conf/: task, dataset, tokenizer, cell, model, budget, optimizer, scheduler,
trainer, logger; each file's first line says when to choose it.
"""


CHECK_HELP = """\
examples:
  unrolled check my_cells.MyCell rank=4    a cell in my_cells.py of the working folder
  unrolled check slstm heads=2             one of ours
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: a run of a sweep failed, or a reproduction came out otherwise. 2: bad input, said
    in one sentence. 130: stopped by hand.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.command = shlex.join(["unrolled", *(sys.argv[1:] if arguments is None else arguments)])
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
        print(f"unrolled: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        message = str(error) or "stopped; the same command again makes what is left"
        print(f"unrolled: {message}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; Python would complain again at exit.
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unrolled",
        allow_abbrev=False,
        description="Compare recurrent architectures, honestly, from one command.",
    )
    parser.add_argument("--version", action="version", version=f"unrolled {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="one run, or with -m a sweep",
        epilog=TRAIN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("overrides", nargs="*", metavar="key=value", help="choices and values")
    train.add_argument(
        "-m", "--multirun", action="store_true", help="a sweep: values separated by commas"
    )
    train.add_argument(
        "-cd", "--config-dir", metavar="DIR", help="a folder with config groups of your own"
    )
    train.add_argument(
        "-c", "--cfg", action="store_true", help="print the configuration and do nothing"
    )
    train.add_argument(
        "--dry-run", action="store_true", help="list what would run, be skipped, be continued"
    )
    train.set_defaults(run=_train)

    compare = commands.add_parser(
        "compare", allow_abbrev=False, help="many runs to one answer: table, plots, JSON"
    )
    compare.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="studies to read")
    compare.add_argument("--metric", help="such as validation/perplexity, the default")
    compare.add_argument("--baseline", help="what the others are compared with; default: the best")
    compare.add_argument(
        "--by", help="config keys that make a group, such as cell.name,model.layers"
    )
    compare.add_argument("--output", type=Path, help="where to write; default: DIR/comparison")
    compare.set_defaults(run=_compare)

    check = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="whether a cell is sound, and how fast",
        description="The checks that our own cells pass, for any cell.",
        epilog=CHECK_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("cell", metavar="CELL", help="my_cells.MyCell, or a choice such as lstm")
    check.add_argument("overrides", nargs="*", metavar="key=value", help="hyperparameters")
    check.add_argument("--hidden-size", type=int, default=256, help="of the timed layer (256)")
    check.add_argument("--batch-size", type=int, default=32, help="of the timed layer (32)")
    check.add_argument("--length", type=int, default=64, help="of the timed sequences (64)")
    check.add_argument(
        "--compiled", action="store_true", help="the compiled backend, too (some ten seconds)"
    )
    check.set_defaults(run=_check)

    generate = commands.add_parser(
        "generate", allow_abbrev=False, help="text from trained runs, side by side"
    )
    generate.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    generate.add_argument("--prompt", default="", help="what the text begins with")
    generate.add_argument("--length", type=int, default=200, help="tokens at most (200)")
    generate.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (0.8)")
    generate.add_argument(
        "--greedy", action="store_true", help="the most probable token each time"
    )
    generate.add_argument("--top-k", type=int, help="draw among the k most probable tokens")
    generate.add_argument(
        "--top-p", type=float, help="draw among tokens of this total probability"
    )
    generate.add_argument("--seed", type=int, default=1, help="of the draws (1)")
    generate.add_argument(
        "--stop-at-end-of-sentence", action="store_true", help="stop there, or at a line's end"
    )
    generate.add_argument(
        "--allow-unknown", action="store_true", help="accept a prompt that the model never saw"
    )
    _trust(generate)
    generate.set_defaults(run=_generate)

    evaluate = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="a trained run again, on its own data or on other data",
    )
    evaluate.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    evaluate.add_argument(
        "overrides", nargs="*", metavar="key=value", help="such as dataset.path=…"
    )
    evaluate.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        action="append",
        help="default: validation and test",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    _trust(evaluate)
    evaluate.set_defaults(run=_evaluate)

    reproduce = commands.add_parser(
        "reproduce",
        allow_abbrev=False,
        help="a finished run again from its record, and whether it came out the same",
    )
    reproduce.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    reproduce.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="the largest relative difference that counts as the same result (0.01)",
    )
    reproduce.add_argument("--json", action="store_true", help="print JSON")
    _trust(reproduce)
    reproduce.set_defaults(run=_reproduce)

    runs = commands.add_parser(
        "runs", allow_abbrev=False, help="what runs there are, and in which state"
    )
    runs.add_argument("folder", nargs="?", type=Path, default=Path("outputs"), metavar="DIR")
    runs.add_argument("--failed", action="store_true", help="what was stopped, by its cause")
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.add_argument("--watch", action="store_true", help="follow a study that is under way")
    runs.set_defaults(run=_runs)
    return parser


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module outside unrolled that the run's configuration may name, such as my_cells",
    )


def _trusted(options: argparse.Namespace) -> list[str]:
    """Names below the trusted modules; the working folder is where a person's own cells are."""
    if options.trust:
        sys.path.insert(0, str(Path.cwd()))
    return [f"{module}." for module in options.trust]


def _train(options: argparse.Namespace) -> int:
    from unrolled.sweeps.expansion import plan

    # A cell in a file of the working folder is found as it would be by `python script.py`.
    sys.path.insert(0, str(Path.cwd()))
    if options.cfg and options.overrides[:1] == ["job"]:
        # As Hydra's own --cfg has it; there is no other part to show.
        del options.overrides[0]
    planned = plan(options.overrides, multirun=options.multirun, config_dir=options.config_dir)
    if options.cfg:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(planned.configs[0]), end="")
        return 0
    _require_own_cells(planned.configs)
    from unrolled.training.run import require_writable

    console = _console()
    if options.dry_run:
        from unrolled.sweeps.sweep import dry_run

        dry_run(planned, console)
        return 0
    require_writable(planned.configs[0])
    if planned.sweep:
        from unrolled.sweeps.sweep import summarize, sweep

        outcomes = sweep(planned, console, options.command)
        return FAILED if summarize(outcomes, console, options.command) else 0
    from unrolled.sweeps.sweep import train_one

    train_one(planned, console)
    return 0


def _require_own_cells(configs: Sequence["DictConfig"]) -> None:
    """Refuse a cell that is none, or hyperparameters that it does not take, before data is read.

    Ours have the schema for that; a cell from elsewhere is asked, which takes the import of torch.
    """
    for config in configs:
        if not str(config.cell._target_).startswith("unrolled."):
            from unrolled.models.build import cell_of

            cell_of(config.cell, EVERYTHING)


def _check(options: argparse.Namespace) -> int:
    from unrolled.config.compose import compose_run

    sys.path.insert(0, str(Path.cwd()))
    for name in ("hidden_size", "batch_size", "length"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')}: must be at least 1")
    own = "." in options.cell
    which = f"cell._target_={options.cell}" if own else f"cell={options.cell}"
    plus = "+" if own else ""
    config = compose_run([which, *(f"{plus}cell.{value}" for value in options.overrides)])
    from unrolled.cell_checks.examination import Size
    from unrolled.commands.check import examine_cell
    from unrolled.comparison.table import readable

    size, console = Size(options.hidden_size, options.batch_size, options.length), _console()
    with readable(console):
        failed = examine_cell(config.cell, size, options.compiled, console)
    return FAILED if failed else 0


def _compare(options: argparse.Namespace) -> int:
    from unrolled.comparison.report import compare
    from unrolled.comparison.table import print_comparison

    comparison = compare(
        options.folders,
        metric=options.metric,
        baseline=options.baseline,
        by=options.by.split(",") if options.by else None,
        output=options.output,
    )
    print_comparison(comparison, _console())
    return 0


def _generate(options: argparse.Namespace) -> int:
    from unrolled.commands.generate import Request, generate_side_by_side

    request = Request(
        prompt=options.prompt,
        length=options.length,
        temperature=0.0 if options.greedy else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop_at_end_of_sentence,
        allow_unknown=options.allow_unknown,
    )
    generate_side_by_side(options.folders, request, sys.stdout, trusted=_trusted(options))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from unrolled.commands.evaluate import evaluate, print_evaluation

    evaluation = evaluate(
        options.folder,
        options.overrides,
        splits=options.split or ["validation", "test"],
        trusted=_trusted(options),
    )
    print_evaluation(evaluation, _console(), as_json=options.json)
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from unrolled.commands.reproduce import print_reproduction, reproduce

    result = reproduce(options.folder, options.tolerance, trusted=_trusted(options))
    print_reproduction(result, _console(), as_json=options.json)
    return FAILED if result.verdict == "different" else 0


def _runs(options: argparse.Namespace) -> int:
    if options.watch:
        from unrolled.commands.watch import watch

        watch(options.folder, _console())
        return 0
    from unrolled.commands.causes import print_causes
    from unrolled.commands.listing import list_runs, print_runs, runs_json

    lines = list_runs(options.folder, failed=options.failed)
    console = _console()
    if options.json:
        print(runs_json(lines))
    elif options.failed and lines:
        print_causes(lines, console)
    else:
        print_runs(lines, console)
        print_causes(lines, console)
    return 0


def _console() -> "Console":
    from rich.console import Console

    return Console()
