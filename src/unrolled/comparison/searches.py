"""Pictures of a search: how it came along, what mattered, and what several objectives trade."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.comparison.grouping import Run
from unrolled.comparison.results import Note
from unrolled.errors import ConfigError
from unrolled.sweeps.search.storage import JOURNAL, open_storage, quiet

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

# Parameters that differ in fewer trials say nothing of what matters.
_FEWEST = 4


def search_figures(runs: Sequence[Run]) -> "tuple[dict[str, Figure], list[Note]]":
    """Optuna's plots of each search that the runs are trials of, by file name; and, where a search
    cannot be read, why there are none, which is no reason not to compare its runs."""
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        trial = run.record.config.get("trial") or {}
        if trial.get("number") is not None:
            # A study may have been moved here as a whole.
            moved = run.folder.parent / JOURNAL
            storage = str(moved) if moved.is_file() else str(trial["storage"])
            found[storage, str(trial["search"])] = None
    figures: dict[str, Figure] = {}
    notes = []
    for number, (storage, name) in enumerate(found):
        try:
            study = _load(storage, name)
        except ConfigError as error:
            notes.append(Note(f"No plots of the search {name}: {error}."))
            continue
        for kind, figure in _figures(study).items():
            figures[f"search{number + 1 if len(found) > 1 else ''}_{kind}.png"] = figure
    return figures, notes


def _load(storage: str, name: str) -> "optuna.Study":
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("they need Optuna: pip install 'unrolled[search]'")
    if "://" not in storage and not Path(storage).is_file():
        raise ConfigError(f"{storage} is not there")
    import optuna

    with quiet():
        return optuna.load_study(study_name=name, storage=open_storage(storage))


def _figures(study: "optuna.Study") -> "dict[str, Figure]":
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as plots

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = list(study.user_attrs.get("about", {}).get("objectives", ["objective"]))
    if not done:
        return {}
    figures: dict[str, Figure] = {}
    with quiet(), warnings.catch_warnings():
        # Optuna draws through pyplot, which warns where there is no screen to show it on.
        warnings.simplefilter("ignore")
        if len(study.directions) > 1:
            axes = plots.plot_pareto_front(study, target_names=names)
            figures["pareto_front"] = _figure(axes)
            return figures
        figures["history"] = _figure(plots.plot_optimization_history(study, target_name=names[0]))
        varied = {key for trial in done for key in trial.params}
        if len(done) >= _FEWEST and varied:
            # The one evaluator that needs no scikit-learn (Watanabe et al. 2023, PED-ANOVA).
            axes = plots.plot_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(), target_name=names[0]
            )
            figures["importance"] = _figure(axes)
    return figures


def _figure(axes: object) -> "Figure":
    """The figure of Optuna's axes, taken out of pyplot's keeping."""
    from matplotlib import pyplot

    figure: Figure = axes.figure  # type: ignore[attr-defined]
    pyplot.close(figure)
    figure.set_size_inches(8.0, 4.5)
    figure.tight_layout()
    return figure
