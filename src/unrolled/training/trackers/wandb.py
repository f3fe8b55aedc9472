"""Weights & Biases: in offline mode a folder ``wandb`` in the run's own, which ``wandb sync``
sends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger

from unrolled.training.trackers.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# Seconds that a server has to answer before the run goes on without it.
INIT_TIMEOUT = 30
# What Lightning's logger calls the step of training, which is the x-axis.
STEP = "trainer/global_step"


class Wandb(Tracker):
    """``wandb`` by Lightning's ``WandbLogger``; the x-axis is the step of training."""

    kind = "wandb"
    _wandb: WandbLogger | None = None

    def _logger(self) -> WandbLogger:
        if self._wandb is None:
            import wandb

            run, options = self.tracked, self.tracked.options
            experiment = wandb.init(
                id=run.key,
                resume="allow",
                name=run.name,
                project=run.project,
                entity=options.workspace,
                group=run.study,
                dir=run.folder,
                mode="offline" if options.offline else "online",
                settings=wandb.Settings(
                    # What the program prints, its code and the machine's load are the person's.
                    console="off",
                    disable_git=True,
                    x_disable_stats=True,
                    x_disable_machine_info=True,
                    save_code=False,
                    silent=True,
                    init_timeout=INIT_TIMEOUT,
                    # Apart from runs that the person's own program has open.
                    reinit="create_new",
                ),
            )
            experiment.define_metric(STEP)
            experiment.define_metric("*", step_metric=STEP, step_sync=True)
            self._wandb = WandbLogger(experiment=experiment)
        return self._wandb

    def _send_figure(self, name: str, picture: "Picture", step: int) -> None:
        import wandb

        self._logger().log_metrics({name: wandb.Image(picture)}, step)  # type: ignore[dict-item]

    def _send_text(self, name: str, text: str, step: int) -> None:
        self._logger().log_table(name, ["step", "text"], [[step, text]], step=step)

    def _send_final(self, metrics: Mapping[str, float]) -> None:
        experiment: Any = self._logger().experiment
        experiment.summary.update(dict(metrics))

    def _close(self, status: str) -> None:
        experiment: Any = self._logger().experiment
        experiment.finish(exit_code=0 if status == "finished" else 1)
