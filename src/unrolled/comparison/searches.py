"""Pictures of a search: how it came along, what mattered, and what several objectives trade."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.comparison.grouping import Run
from unrolled.errors import ConfigError
from unrolled.training.searches import open_storage, quiet

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

# Parameters that differ in fewer trials say nothing of what matters.
_FEWEST = 4


def search_figures(runs: Sequence[Run]) -> "dict[str, Figure]":
    """Optuna's plots of each search that the runs are trials of, by file name.

    Raises:
        ConfigError: a search's storage cannot be read.
    """
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        trial = run.record.config.get("trial") or {}
        if trial.get("number") is not None:
            found[str(trial["storage"]), str(trial["search"])] = None
    figures: dict[str, Figure] = {}
    for number, (storage, name) in enumerate(found):
        study = _load(storage, name)
        for kind, figure in _figures(study).items():
            figures[f"search{number + 1 if len(found) > 1 else ''}_{kind}.png"] = figure
    return figures


def _load(storage: str, name: str) -> "optuna.Study":
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            f"{storage}: these runs are a search's, and its plots need Optuna: "
            "pip install 'unrolled[search]'"
        )
    if "://" not in storage and not Path(storage).is_file():
        raise ConfigError(
            f"{storage}: these runs are a search's, and it is not there; put it back, or compare "
            "them on the machine that has it"
        )
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
