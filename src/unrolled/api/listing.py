"""``unrolled.runs``: the runs below a folder as a data frame."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.api.frames import Library, make_frame
from unrolled.api.run import Run
from unrolled.errors import RunError

if TYPE_CHECKING:
    from unrolled.api.sweeping import Sweep

# Of the configuration in any case, whether or not runs differ in it.
_ALWAYS = ("cell.name", "seed")


def runs(
    source: "str | Path | Run | Sweep | Iterable[str | Path | Run]" = "outputs",
    *,
    metric: str | None = None,
    frame: Library | None = None,
) -> Any:
    """The runs at or below a folder, a row each, whatever their state.

    Args:
        source: a folder, a sweep, a run, or several.
        metric: what ``latest`` and ``best`` are of, such as ``validation/loss``; None: the primary
            metric of a run's task.
        frame: ``pandas`` or ``polars``; None: pandas where it is installed, and Polars otherwise.

    Returns:
        A data frame. First what ``unrolled runs`` lists: ``name``, ``study``, ``folder``,
        ``state``, ``step``, ``total_steps``, ``metric``, ``latest``, ``best``, ``seconds`` (of
        training), ``tokens_per_second``, ``when`` (UTC), ``device``, ``remaining`` (seconds),
        ``error``. Then ``cell.name``, ``seed`` and each other key of the configuration in which
        the runs differ; then the best checkpoint's metrics, ``validation/…`` and ``test/…``.

    Raises:
        RunError: there is no such folder, or no run in it.
        ConfigError: ``frame`` is something else, or not installed.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> run = unrolled.train(tiny, cell="gru", model={"hidden_size": 16}, progress=False)
    >>> frame = unrolled.runs(run, frame="polars")
    >>> frame.select("state", "step", "cell.name", "seed").row(0)
    ('finished', 20, 'gru', 1)
    >>> unrolled.runs("outputs/nowhere")
    Traceback (most recent call last):
    unrolled.errors.RunError: outputs/nowhere: no such folder; ...
    """
    from unrolled.commands.listing import RunLine, list_runs
    from unrolled.comparison.grouping import flatten
    from unrolled.runs.record import read_record

    folders = source_folders(source)
    lines = {line.folder.resolve(): line for one in folders for line in list_runs(one, metric)}
    if not lines:
        raise RunError(no_run_in(folders))
    names = [each.name for each in fields(RunLine) if each.name != "about"]
    listed: list[dict[str, Any]] = []
    configs: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    for line in lines.values():
        about = {name: getattr(line, name) for name in names}
        listed.append({**about, "folder": str(line.folder), "when": _time(line.when)})
        record = None if line.state == "damaged" else read_record(line.folder)
        configs.append({} if record is None else flatten(record.config))
        metrics.append({} if record is None else record.metrics)
    varied = _varied(configs)
    return make_frame(
        [
            {**about, **{key: config.get(key) for key in varied}, **figures}
            for about, config, figures in zip(listed, configs, metrics, strict=True)
        ],
        frame,
    )


def source_folders(
    source: "str | Path | Run | Sweep | Iterable[str | Path | Run]",
) -> list[Path]:
    """The folders of runs, or those that have runs below them."""
    from unrolled.api.sweeping import Sweep

    if isinstance(source, str | Path):
        return [Path(source)]
    if isinstance(source, Run):
        return [source.folder]
    if isinstance(source, Sweep):
        return source.folders
    return [folder for one in source for folder in source_folders(one)]


def no_run_in(folders: Iterable[Path]) -> str:
    """What is said of folders without runs."""
    places = ", ".join(map(str, folders)) or "nothing given"
    return f"{places}: no run in it; train some first: unrolled.sweep(cell=['lstm', 'gru'])"


def _varied(configs: list[dict[str, Any]]) -> list[str]:
    """The keys that are always told, and those in which runs differ."""
    keys = dict.fromkeys(key for config in configs for key in config)
    there = [config for config in configs if config]
    differing = [
        key
        for key in keys
        if key not in _ALWAYS and any(config.get(key) != there[0].get(key) for config in there)
    ]
    return [*_ALWAYS, *differing]


def _time(stamp: str | None) -> datetime | None:
    """An ISO 8601 time; None for what is none."""
    try:
        return datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None
