"""``unrolled train``: one run, or a sweep."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unrolled.commands.options import FAILED, add_config_dir, make_console
from unrolled.config.working_folder import search_working_folder

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = """\
examples:
  unrolled train                                     one LSTM on the embedded corpus
  unrolled train cell=gru model.layers=2 seed=2      another cell, another seed
  unrolled train dataset=text dataset.path=my.txt    your own text
  unrolled train -m cell=rnn_tanh,lstm,gru seed=1,2,3 budget=equal
                                                     a sweep of nine runs of equal size
  unrolled train -m hydra/sweeper=fair cell=lstm,gru optimizer.lr=0.003,0.01,0.03 seed=1,2,3
                                                     each cell at the rate that suits it best
  unrolled train -m cell=lstm,gru validation=kfold folds=10
                                                     both cells on each of ten folds
  unrolled train experiment=first_comparison         a study of experiments/
  unrolled train --cfg                               the whole configuration, every key
  unrolled train -m cell=lstm,gru --dry-run          what would run, be skipped, be continued

The same command again goes on where it stopped; retry_failed=true tries failed runs again.

key=value sets a key of the configuration; group=choice takes a file of conf/ (task, dataset,
tokenizer, validation, cell, model, budget, optimizer, scheduler, trainer, logger), whose first
line says when to choose it. A cell, task or data set of your own: cell._target_=my_cells.MyCell
+cell.rank=4.
"""


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "train",
        allow_abbrev=False,
        help=summary,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and values")
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="a sweep: values separated by commas"
    )
    add_config_dir(parser)
    parser.add_argument(
        "-c", "--cfg", action="store_true", help="print the configuration and do nothing"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would run, be skipped, be continued"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, print the configuration, or say what would be trained."""
    from unrolled.sweeps.expansion import plan

    search_working_folder()
    if options.cfg and options.overrides[:1] == ["job"]:
        # As Hydra's own --cfg has it; there is no other part to show.
        del options.overrides[0]
    planned = plan(options.overrides, multirun=options.multirun, config_dir=options.config_dir)
    if options.cfg:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(planned.configs[0]), end="")
        return 0
    require_own(planned.configs)
    console = make_console()
    if options.dry_run:
        from unrolled.sweeps.sweep import dry_run

        dry_run(planned, console)
        return 0
    if planned.sweep:
        from unrolled.sweeps.sweep import summarize, sweep

        outcomes = sweep(planned, console, options.command)
        return FAILED if summarize(outcomes, console, options.command) else 0
    from unrolled.sweeps.sweep import specify_one, train_one

    train_one(specify_one(planned.configs[0]), console)
    return 0


def require_own(configs: Sequence["DictConfig"]) -> None:
    """Refuse code of one's own that cannot be imported, or is no cell, before data is read."""
    from unrolled.config.build import EVERYTHING, OURS, target_of
    from unrolled.config.schema import BUILT

    for config in configs:
        own = [
            group
            for group in BUILT
            if "_target_" in config[group] and not config[group]._target_.startswith(OURS)
        ]
        for group in own:
            target_of(config[group], EVERYTHING)
        if "cell" in own:
            from unrolled.models.build import cell_of

            cell_of(config.cell, EVERYTHING)
