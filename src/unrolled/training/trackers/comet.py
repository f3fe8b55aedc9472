"""Comet: in offline mode an archive in the run's folder, which ``comet upload`` sends."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import CometLogger

from unrolled.training.trackers.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class _Comet(CometLogger):
    """Lightning's, which switches an offline experiment off as well."""

    def _create_experiment(self) -> None:
        if self._online is False:
            import comet_ml

            self._comet_config = comet_ml.ExperimentConfig(**self._kwargs)
        super()._create_experiment()


class Comet(Tracker):
    """``comet_ml`` by Lightning's ``CometLogger``."""

    kind = "comet"
    _comet: CometLogger | None = None

    def _logger(self) -> CometLogger:
        if self._comet is None:
            # What the program prints, its code and the machine's load are the person's own.
            os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
            os.environ.setdefault("COMET_LOGGING_CONSOLE", "ERROR")
            run, options = self.tracked, self.tracked.options
            self._comet = _Comet(
                workspace=options.workspace,
                project=run.project,
                experiment_key=run.key,
                mode="get_or_create" if run.continued or not options.offline else "create",
                online=not options.offline,
                name=run.name,
                offline_directory=str(run.folder / "comet"),
                log_code=False,
                log_git_metadata=False,
                log_git_patch=False,
                log_env_details=False,
                parse_args=False,
                display_summary_level=0,
                tags=[run.study],
            )
        return self._comet

    @property
    def _experiment(self) -> Any:
        return self._logger().experiment

    def _send_figure(self, name: str, picture: "Picture", step: int) -> None:
        self._experiment.log_figure(name, picture, step=step)

    def _send_text(self, name: str, text: str, step: int) -> None:
        self._experiment.log_text(text, step=step, metadata={"name": name})

    def _send_final(self, metrics: Mapping[str, float]) -> None:
        self._experiment.log_others(dict(metrics))

    def _close(self, status: str) -> None:
        self._experiment.log_other("status", status)
        self._experiment.end()
