import errno
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from unrolled.errors import (
    BudgetError,
    BusyError,
    ConfigError,
    DataError,
    DivergedError,
    ExitedError,
    RunError,
    StorageError,
)
from unrolled.kernels.library import compiler
from unrolled.runs import locks
from unrolled.runs.identity import plain
from unrolled.runs.progress import read_progress
from unrolled.runs.record import Record, find_runs, read_record
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status
from unrolled.training import run as training_run
from unrolled.training.run import (
    Outcome,
    make_run,
    record_exit,
    recording,
    require_writable,
    run,
    specify,
)

Configure = Callable[..., DictConfig]


def test_a_finished_run_has_its_whole_truth_in_its_folder(trained: Path) -> None:
    record = read_record(trained)
    assert (record.status, record.state, record.error) == ("finished", "finished", None)
    assert trained.name == record.name == f"lstm-seed1-{record.identity[:6]}"
    assert trained.parent.name == record.study == "default"
    assert record.config["cell"]["name"] == "lstm"
    assert record.data["sizes"]["train"]["tokens"] > record.data["sizes"]["test"]["tokens"] > 0
    assert record.data["unigram_perplexity"].keys() == {"validation", "test"}
    assert record.model["parameters"] > 0
    embedding, hidden = record.model["embedding_size"], record.model["hidden_size"]
    products = 4 * hidden * (embedding + hidden) + hidden * record.data["vocabulary_size"]
    assert record.model["flops_per_token"] == 2 * products
    assert record.model["state_size"] == 2 * hidden
    # An LSTM's layers are compiled where there is a C compiler.
    assert record.model["backend"] == ("native" if compiler() is None else "analytic")
    assert [entry["step"] for entry in record.history] == [10, 20, 30, 40, 50, 60]
    assert record.best["step"] in (10, 20, 30, 40, 50, 60)
    assert record.timing["seconds"] > 0
    assert record.timing["tokens"] > 60 * 60
    assert {"python", "torch", "packages", "cpu", "gpu", "git_commit", "dirty"} <= set(
        record.environment
    )
    for name in ("config.yaml", "tokenizer.json", "metrics.csv", "samples.txt"):
        assert (trained / name).stat().st_size > 0
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
    assert list(trained.glob("events.out.tfevents.*"))
    assert not list(trained.glob(".*")), "no temporary file stays"
    assert not (trained / "hparams.yaml").exists()


def test_the_metrics_are_complete_and_those_of_the_best_checkpoint(trained: Path) -> None:
    record = read_record(trained)
    names = {"loss", "perplexity", "bits_per_character", "accuracy", "accuracy_top5"}
    names |= {f"{m}_{a}" for m in ("precision", "recall", "f1") for a in ("macro", "micro")}
    assert record.metrics.keys() == {f"{s}/{n}" for s in ("validation", "test") for n in names}
    best = min(record.history, key=lambda entry: entry["validation/loss"])
    assert record.best == best
    assert record.metrics["validation/loss"] == best["validation/loss"]
    for split in ("validation", "test"):
        loss = record.metrics[f"{split}/loss"]
        assert record.metrics[f"{split}/perplexity"] == math.exp(loss)
        # A character tokenizer has a token a character.
        assert record.metrics[f"{split}/bits_per_character"] == pytest.approx(loss / math.log(2))
    assert record.metrics["test/perplexity"] < record.data["unigram_perplexity"]["test"] / 1.3


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(
    configure: Configure,
) -> None:
    first = read_record(folder_of(run(configure("paths.outputs=a"))))
    again = read_record(folder_of(run(configure("paths.outputs=b"))))
    other = read_record(folder_of(run(configure("paths.outputs=a", "seed=0"))))
    assert first.metrics == again.metrics
    assert first.identity == again.identity
    assert other.metrics != first.metrics
    assert (other.seed, other.name[:10]) == (0, "lstm-seed0")


def test_a_finished_run_is_skipped(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(configure())
    before = (folder_of(first) / "record.json").read_bytes()
    # Were it trained again, this would fail it.
    monkeypatch.setattr(training_run, "recording", None)
    second = run(configure("workers=3", "logger=none", "trainer.log_every_steps=3"))
    assert (second.status, second.folder) == ("skipped", first.folder)
    assert (folder_of(first) / "record.json").read_bytes() == before


def test_a_run_is_found_under_the_name_that_a_sweep_gave_it(configure: Configure) -> None:
    swept = run(configure("name_by=[cell.name,seed,optimizer.lr]"))
    single = run(configure())
    assert (single.status, single.folder) == ("skipped", swept.folder)
    assert len(find_runs(Path("outputs"))) == 1


def test_a_failure_before_the_first_step_took_no_training_time(configure: Configure) -> None:
    with pytest.raises(DataError):
        run(configure("task.evaluation_batch_size=100000"))
    assert "seconds" not in read_record(find_runs(Path("outputs"))[0]).timing


def test_a_full_disk_is_one_sentence(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.training import fit

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fit, "fit_and_test", full)
    with pytest.raises(StorageError, match=r"cannot be written .No space left"):
        run(configure())
    assert read_record(find_runs(Path("outputs"))[0]).state == "interrupted"


def test_a_disk_without_room_is_refused_before_any_work(
    configure: Configure, small_disk: Callable[[int], None]
) -> None:
    small_disk(50_000)
    with pytest.raises(StorageError, match=r"outputs/default: cannot be written .File too large"):
        require_writable(configure())
    assert not list(Path("outputs/default").iterdir())


def test_a_metric_to_watch_that_there_is_not(configure: Configure) -> None:
    with pytest.raises(ConfigError, match="did you mean validation/perplexity"):
        run(configure("task.monitor=validation/perplexty"))
    assert not Path("outputs").exists()


def test_a_failed_run_is_recorded_and_retried(configure: Configure) -> None:
    diverging = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip=null"]
    with pytest.raises(DivergedError, match=r"at step \d+") as caught:
        run(configure(*diverging))
    folder = find_runs(Path("outputs"))[0]
    record = read_record(folder)
    assert (record.status, record.state) == ("failed", "failed")
    assert record.error is not None
    assert record.error["type"] == "DivergedError"
    assert record.error["message"] == str(caught.value)
    assert "training_step" in record.error["traceback"]
    assert (progress := read_progress(folder))
    assert progress.stage == "failed"
    left = folder / "samples.txt"
    left.write_text("left by the failed attempt")
    with pytest.raises(DivergedError):
        run(configure(*diverging))
    assert not left.exists()


def test_an_interrupted_run_says_so(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.training.module import TaskModule

    original = TaskModule.training_step

    def interrupted(self: TaskModule, *args: object) -> object:
        if self.global_step == 12:
            raise KeyboardInterrupt
        return original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(TaskModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 12"):
        run(configure())
    folder = find_runs(Path("outputs"))[0]
    record = read_record(folder)
    assert record.state == "interrupted"
    assert [entry["step"] for entry in record.history] == [10]
    monkeypatch.setattr(TaskModule, "training_step", original)
    assert run(configure()).status == "finished"


def test_code_that_ends_the_program_is_a_failure(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from unrolled.cells.lstm import LSTM

class Exiter(LSTM):
    def constrain(self):
        raise SystemExit(0)
"""
    (tmp_path / "exiting_cells.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = specify(configure("cell._target_=exiting_cells.Exiter"))
    with pytest.raises(ExitedError, match=r"exiting_cells\.py:6: SystemExit\(0\) was raised"):
        make_run(spec)
    record = read_record(spec.folder)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["type"] == "SystemExit"
    assert make_run(spec, retry=False).status == "failed"


def test_sigterm_before_the_first_step_is_no_failure(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    from unrolled.training.callbacks import StopAtLength

    def terminated(*_: object) -> None:
        raise SIGTERMException

    monkeypatch.setattr(StopAtLength, "on_train_start", terminated)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 0"):
        run(configure())
    assert read_record(find_runs(Path("outputs"))[0]).state == "interrupted"


def test_a_run_whose_data_or_code_changed_since_it_was_specified_is_not_made(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "changing_cells.py").write_text("from unrolled.cells.lstm import LSTM\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    by_code = specify(configure("cell._target_=changing_cells.LSTM"))
    by_data = RunSpec.of(plain(configure()), "the fingerprint of other data")
    (tmp_path / "changing_cells.py").write_text("from unrolled.cells.gru import GRU as LSTM\n")
    for spec in (by_code, by_data):
        with pytest.raises(RunError, match=f"{spec.name}: its data, or the code of its cell"):
            make_run(spec)
    assert not find_runs(tmp_path)


def test_callbacks_of_the_caller_s_are_called(configure: Configure) -> None:
    import pytorch_lightning as pl

    steps = []

    class Counter(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            steps.append(trainer.global_step)

    make_run(specify(configure()), callbacks=lambda: [Counter()])
    assert steps == list(range(1, 21))


def test_a_budget_that_cannot_be_met_is_recorded(configure: Configure) -> None:
    with pytest.raises(BudgetError, match="too small"):
        run(configure("budget.parameters=10"))
    assert read_record(find_runs(Path("outputs"))[0]).status == "failed"


def test_missing_text_leaves_no_folder(configure: Configure) -> None:
    with pytest.raises(DataError, match=r"dataset\.path=nowhere\.txt"):
        run(configure("dataset.path=nowhere.txt"))
    assert not Path("outputs").exists()


def test_too_short_a_corpus_names_the_split_and_the_key(configure: Configure) -> None:
    with pytest.raises(DataError, match=r"train split .* lower task\.batch_size"):
        run(configure("task.batch_size=100000"))


def test_a_run_that_another_process_makes_is_left_alone(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_SECONDS", 0.2)
    spec = specify(configure())
    assert run_status(spec).state == "new"
    with locks.hold(locks.lock_path(spec.study, spec.identity), "run"):
        assert run_status(spec).state == "busy"
        with pytest.raises(BusyError, match="another process is working on this run"):
            make_run(spec)
    assert not spec.folder.exists()
    assert make_run(spec).status == "finished"
    # What a crash leaves of a lock is no lock.
    assert list((spec.study / ".locks").iterdir())
    assert run_status(spec).state == "finished"


@pytest.mark.parametrize(("kind", "state"), [("Killed", "interrupted"), ("Crashed", "failed")])
def test_what_a_process_that_exited_could_not_report_is_recorded(
    configure: Configure, kind: str, state: str
) -> None:
    spec = specify(configure())
    assert record_exit(spec, kind, "by SIGSEGV") is None
    folder = folder_of(make_run(spec))
    finished = record_exit(spec, kind, "by SIGSEGV")
    assert finished is not None
    assert finished.state == "finished"
    record = json.loads((folder / "record.json").read_text())
    record |= {"status": "running", "process": {}}
    (folder / "record.json").write_text(json.dumps(record))
    record_exit(spec, kind, "by SIGSEGV")
    told = read_record(folder)
    assert told.state == state
    assert told.error is not None
    assert told.error["message"] == "by SIGSEGV"
    assert make_run(spec, retry=False).status == ("finished" if kind == "Killed" else "failed")


def test_an_output_folder_that_cannot_be_written_is_refused(configure: Configure) -> None:
    Path("occupied").write_text("a file")
    with pytest.raises(RunError, match=r"occupied.*cannot be written"):
        require_writable(configure("paths.outputs=occupied"))
    require_writable(configure("paths.outputs=new"))
    assert list(Path("new").rglob("*")) == [Path("new/default")]


def test_a_record_is_on_disk_before_the_work_and_after_it(tmp_path: Path) -> None:
    record = Record(identity="i", study="s", name="n", seed=1, config={})
    with recording(record, tmp_path):
        assert read_record(tmp_path).state == "running"
    assert read_record(tmp_path).state == "finished"


def folder_of(outcome: Outcome) -> Path:
    assert outcome.folder is not None
    return outcome.folder


def test_the_seconds_of_a_curve_are_those_of_training(configure: Configure) -> None:
    import pytorch_lightning as pl

    class Slow(pl.Callback):
        def on_validation_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
            # The first validation takes longer than all steps together.
            time.sleep(1.5 if trainer.global_step == 10 else 0)

    outcome = make_run(specify(configure()), callbacks=lambda: [Slow()])
    assert outcome.folder is not None
    seconds = [entry["seconds"] for entry in read_record(outcome.folder).history]
    assert seconds[0] < 1.5
    assert seconds == sorted(seconds)
