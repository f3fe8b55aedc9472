"""MLflow: a local store ``mlflow.db`` beside the studies, or a server."""

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from pytorch_lightning.loggers import MLFlowLogger

from unrolled.training.trackers.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# By which a run is found again.
KEY = "unrolled.key"
SQLITE = "sqlite:///"
LOCK_TIMEOUT_SECONDS = 60
STATUS = {"finished": "FINISHED", "failed": "FAILED"}
# A server that does not answer must not keep the run waiting for minutes, as MLflow's defaults do.
# It also tells how it makes its tables.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class Mlflow(Tracker):
    """``mlflow`` by Lightning's ``MLFlowLogger``; a study is an experiment."""

    kind = "mlflow"
    _mlflow: MLFlowLogger | None = None

    def _try(self, send: Callable[[], None]) -> None:
        super()._try(lambda: self._locked(send))

    def _locked(self, send: Callable[[], None]) -> None:
        """Send while no other run of a sweep does: they write to one file, which the first of them
        makes."""
        uri = self._uri()
        lock = FileLock(f"{uri.removeprefix(SQLITE)}.lock", timeout=LOCK_TIMEOUT_SECONDS)
        with lock if uri.startswith(SQLITE) else nullcontext():
            send()

    def _uri(self) -> str:
        given: str | None = self.tracked.options.tracking_uri or os.environ.get(
            "MLFLOW_TRACKING_URI"
        )
        return given or f"{SQLITE}{self.tracked.outputs.resolve() / 'mlflow.db'}"

    def _logger(self) -> MLFlowLogger:
        if self._mlflow is None:
            for name, value in ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            run, uri = self.tracked, self._uri()
            local = not self.tracked.options.tracking_uri and uri.startswith(SQLITE)
            artifacts = (
                (run.outputs.resolve() / "mlflow" / run.project).as_uri() if local else None
            )
            self._mlflow = MLFlowLogger(
                experiment_name=run.project,
                run_name=run.name,
                tracking_uri=uri,
                tags={KEY: run.key},
                artifact_location=artifacts,
                run_id=self._earlier(uri),
            )
            # What an earlier attempt ended with.
            self._client.update_run(self._mlflow.run_id, status="RUNNING")
        return self._mlflow

    def _earlier(self, uri: str) -> str | None:
        """The run to go on with. One that begins anew replaces what an earlier attempt left."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self.tracked.project)
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{KEY}` = '{self.tracked.key}'"
        )
        if self.tracked.continued:
            return str(found[0].info.run_id) if found else None
        for run in found:
            client.delete_run(run.info.run_id)
        return None

    @property
    def _client(self) -> Any:
        return self._logger().experiment

    def _send_figure(self, name: str, picture: "Picture", step: int) -> None:
        self._client.log_figure(self._logger().run_id, picture, f"{name}/step_{step:09}.png")

    def _send_text(self, name: str, text: str, step: int) -> None:
        self._client.log_text(self._logger().run_id, text, f"{name}/step_{step:09}.txt")

    def _send_final(self, metrics: Mapping[str, float]) -> None:
        self._logger().log_metrics(dict(metrics))

    def _close(self, status: str) -> None:
        self._client.set_terminated(self._logger().run_id, STATUS[status])
