"""The next token after a prefix of its line or after a window, against slow loops."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from unrolled.cli import main
from unrolled.commands.evaluate import evaluate
from unrolled.commands.generate import generate_side_by_side
from unrolled.commands.reproduce import reproduce
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError, DataError
from unrolled.models.build import build_model
from unrolled.models.encoders import OneHot
from unrolled.runs.record import find_runs, read_record
from unrolled.tasks.build import build_task, check_task, prepare_data
from unrolled.tasks.generation import Request
from unrolled.tasks.next_token import NextToken
from unrolled.tasks.next_token.contexts import ContextCorpus
from unrolled.training.run import run

TEXT = "the cat sat\n\n\non a mat\nsat the cat on\na\n\nthe mat sat on a cat\nthe cat\n"
SMALL = (
    "task=next_token", "task.batch_size=8", "task.evaluation_batch_size=16",
    "model.embedding_size=6", "model.hidden_size=8", "trainer.max_steps=20",
    "trainer.validate_every_steps=10", "trainer.log_every_steps=5", "trainer.threads=1",
    "task.sample.length=5",
)  # fmt: skip
WINDOW = ("tokenizer=char", "task.context=window")
HELLO = ("dataset=sentence", *WINDOW, "task.one_hot=true")


def config(*overrides: str, text: str = TEXT) -> DictConfig:
    for split in ("train", "valid", "test"):
        Path(f"{split}.txt").write_text(text)
    return compose_run([*SMALL, "dataset=splits", "dataset.path=.", *overrides])


def contexts(*overrides: str, text: str = TEXT) -> ContextCorpus:
    data = prepare_data(config(*overrides, text=text))
    assert isinstance(data, ContextCorpus)
    return data


def examples(data: ContextCorpus, split: str = "train") -> list[tuple[list[int], int]]:
    inputs, targets = data.splits[split]
    assert len(inputs) == len(targets)
    return [(inputs[i].tolist(), int(targets[i])) for i in range(len(targets))]


def slow_prefixes(data: ContextCorpus, longest: int | None) -> list[tuple[list[int], int]]:
    tokenizer, found = data.tokenizer, []
    line = [tokenizer.start_id]
    for token in map(int, data.ids["train"]):
        ends = tokenizer.decode([token]).endswith("\n")
        if not (ends and len(line) == 1):
            found.append((line[-longest:] if longest else list(line), token))
        line = [token] if ends else [*line, token]
    return found


@pytest.mark.parametrize("longest", [1, 3, None])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "bpe"])
@pytest.mark.parametrize("text", [TEXT, "\n\n a\nb \n c  \n\nd e", "a b\n"])
def test_every_prefix_of_every_line(tokenizer: str, longest: int | None, text: str) -> None:
    limit = "null" if longest is None else longest
    data = contexts(f"tokenizer={tokenizer}", f"task.max_length={limit}", text=text)
    assert examples(data) == slow_prefixes(data, longest)


def test_prefixes_in_words() -> None:
    data = contexts(text="the cat sat\n\non mats\n")
    words = [
        (" ".join(map(data.tokenizer.token, context)), data.tokenizer.token(target))
        for context, target in examples(data)
    ]
    assert words == [
        ("<eos>", "the"),
        ("<eos> the", "cat"),
        ("<eos> the cat", "sat"),
        ("<eos> the cat sat", "<eos>"),
        ("<eos>", "on"),
        ("<eos> on", "mats"),
        ("<eos> on mats", "<eos>"),
    ]


@pytest.mark.parametrize("window", [1, 3, 10])
def test_every_window_of_the_running_text(window: int) -> None:
    data = contexts(*WINDOW, f"task.window={window}")
    ids = data.ids["train"].tolist()
    assert examples(data) == [
        (ids[i : i + window], ids[i + window]) for i in range(len(ids) - window)
    ]


def test_hello_world_has_eight_windows() -> None:
    data = prepare_data(compose_run([*SMALL, *HELLO]))
    assert isinstance(data, ContextCorpus)
    decode = data.tokenizer.decode
    pairs = [(decode(context), decode([target])) for context, target in examples(data, "test")]
    assert [context + target for context, target in pairs] == [
        "hell", "ello", "llo ", "lo w", "o wo", " wor", "worl", "orld",
    ]  # fmt: skip
    said = build_task(compose_run([*SMALL, *HELLO]).task).describe(data).cautions
    assert said["test/perplexity"].startswith("The test text is the training text")


def test_prefixes_share_the_tokens_of_their_lines() -> None:
    data = contexts("task.max_length=null", text="a b c d e f g h\n" * 500)
    assert len(data.splits["train"][0].steps) == len(data.ids["train"]) + 1


def test_padding_on_the_left_changes_neither_logits_nor_gradients() -> None:
    results = []
    for side in ("right", "left"):
        settings = config(f"task.padding={side}")
        task, data = build_task(settings.task), prepare_data(settings)
        torch.manual_seed(0)
        model = build_model(settings, task.parts(data.fitted, settings.model))
        batch = next(iter(task.batches(data, seed=1).evaluation_dataloader("train")))
        assert batch.lengths is not None
        assert batch.padded == side
        hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
        model.head.loss(hidden, batch.targets).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results.append([batch.inputs, model.head.scores(hidden), *gradients])
    (padded_right, *right), (padded_left, *left) = results
    assert not torch.equal(padded_right, padded_left)
    for one, other in zip(right, left, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_target_of_a_batch_is_the_token_after_its_context() -> None:
    settings = config("task.padding=left")
    data = contexts("task.padding=left")
    seen = []
    for batch in build_task(settings.task).batches(data, seed=1).training(0, 1):
        lengths = batch.lengths
        if lengths is None:
            lengths = torch.full((batch.inputs.shape[1],), len(batch.inputs))
        for column, length in enumerate(lengths.tolist()):
            context = batch.inputs[len(batch.inputs) - length :, column].tolist()
            seen.append((context, int(batch.targets[column])))
    assert sorted(seen) == sorted(examples(data))


def test_metrics_are_language_modeling_s() -> None:
    settings = config()
    data = contexts()
    text = compose_run(["dataset=splits", "dataset.path=.", "tokenizer=word"])
    language, next_token = build_task(text.task), build_task(settings.task)
    torch.manual_seed(1)
    model = build_model(settings, next_token.parts(data.fitted, settings.model))
    hidden = torch.randn(30, 8)
    targets = torch.randint(0, data.fitted.vocabulary_size, (30,))
    found = []
    for task, shape in ((language, (6, 5)), (next_token, (30,))):
        evaluator = task.evaluator(data, "test")
        evaluator.update(model.head, hidden.reshape(*shape, 8), targets.reshape(shape))
        found.append(evaluator.compute())
    assert set(found[1]) == set(NextToken.metrics)
    assert found[1] == {name: found[0][name] for name in found[1]}


def test_the_unigram_counts_the_targets() -> None:
    data = contexts()
    task = build_task(config().task)
    targets = [target for _, target in examples(data)]
    counts = [targets.count(i) + 1 for i in range(data.fitted.vocabulary_size)]
    nll = [-np.log(counts[target] / sum(counts)) for target in targets]
    found = task.baselines(data)["unigram"]
    assert found["test/loss"] == pytest.approx(np.mean(nll))
    assert found["test/perplexity"] == pytest.approx(np.exp(np.mean(nll)))
    assert found["test/accuracy"] == pytest.approx((max(counts) - 1) / len(targets))


def test_one_hot_takes_the_place_of_the_embedding() -> None:
    settings = config("task.one_hot=true")
    data = contexts("task.one_hot=true")
    parts = build_task(settings.task).parts(data.fitted, settings.model)
    model = build_model(settings, parts)
    assert isinstance(model.encoder, OneHot)
    assert model.encoder.output_size == data.fitted.vocabulary_size
    settings.model.tied_weights = True
    with pytest.raises(ConfigError, match=r"task\.one_hot=true: there is no embedding"):
        build_task(settings.task).parts(data.fitted, settings.model)


@dataclass
class Scripted:
    """A model that notes what it reads, and gives the next token of a script."""

    script: list[int]
    vocabulary: int
    read: list[list[int]] = field(default_factory=list)
    training: bool = False

    def __call__(self, inputs: Tensor) -> tuple[Tensor, None]:
        self.read.append(inputs[:, 0].tolist())
        scores = torch.zeros(1, self.vocabulary)
        scores[0, self.script[len(self.read) - 1]] = 1
        return scores, None

    def scores(self, hidden: Tensor) -> Tensor:
        return hidden

    @property
    def head(self) -> "Scripted":
        return self

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def eval(self) -> None:
        pass

    def train(self, mode: bool) -> None:
        pass


def continued(
    script: str, prompt: str, *overrides: str, **options: Any
) -> tuple[str, Sequence[str]]:
    """What is written, and what the model read for each token of the script's."""
    data = contexts("tokenizer=char", *overrides)
    task = build_task(config("tokenizer=char", *overrides).task)
    assert isinstance(task, NextToken)
    tokenizer = data.fitted
    model: Any = Scripted(tokenizer.encode(script).tolist(), tokenizer.vocabulary_size)
    request = Request(prompt=prompt, length=len(script), temperature=0, **options)
    ids = task.encode_prompt(tokenizer, request)
    text = "".join(task.continuation(tokenizer, model, ids, request))
    return text, [tokenizer.decode(read) for read in model.read]


def test_a_prefix_model_reads_the_line_so_far_and_begins_anew_with_each_line() -> None:
    text, read = continued("t\nmat", "on a\nca", "task.max_length=4")
    assert text == "on a\ncat\nmat"
    assert read == ["\nca", "\ncat", "\n", "\nm", "\nma"]
    assert continued("at", "the c", "task.max_length=4")[1] == ["he c", "e ca"]
    assert continued("t", "", "task.max_length=4") == ("t", ["\n"])


def test_a_window_model_reads_the_last_tokens() -> None:
    text, read = continued("o\nm", "the cat", "task.context=window")
    assert text == "the cato\nm"
    assert read == ["cat", "ato", "to\n"]


def test_a_text_can_end_with_its_line() -> None:
    assert continued("at\nmat", "the c", stop=True)[0] == "the cat"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), (*WINDOW, "task.one_hot=true")])
def test_a_run_can_be_evaluated_repeated_and_go_on(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.training.module import TaskModule

    folder = run(config(*options)).folder
    assert folder is not None
    record = read_record(folder)
    sizes = record.data["sizes"]["train"]
    data = contexts(*options)
    assert sizes["examples"] == len(examples(data))
    assert sizes["length"] == round(np.mean([len(context) for context, _ in examples(data)]), 2)
    assert record.metrics["test/loss"] < record.description.baselines["unigram"]["test/loss"] + 1
    assert (folder / "samples.txt").read_text().count("--- step") == 2
    assert evaluate(folder).identical
    assert reproduce(folder).verdict == "identical"
    step = TaskModule.training_step

    def stopped(self: TaskModule, *args: object) -> object:
        if self.global_step == 7:
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    cut = config(*options, "study=cut", "trainer.checkpoint_every_steps=1")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TaskModule, "training_step", stopped)
        run(cut)
    again = run(cut).folder
    assert again is not None
    other = read_record(again)
    assert other.timing["continued"][-1]["step"] > 0
    assert other.metrics == record.metrics


@pytest.mark.slow
def test_hello_world_goes_on_from_hel(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["model.hidden_size=50", "trainer.max_steps=300", "optimizer.lr=0.01"]
    assert main(["train", *SMALL, *HELLO, *size, "study=hello"]) == 0
    (folder,) = find_runs(Path("outputs/hello"))
    capsys.readouterr()
    greedy = ["--prompt", "hel", "--temperature", "0", "--length", "4"]
    assert main(["generate", str(folder), *greedy]) == 0
    assert capsys.readouterr().out == "hello w\n"
    assert main(["generate", str(folder), "--prompt", "he"]) == 2
    said = "the prompt has 2 tokens, and the model reads windows of task.window=3"
    assert said in capsys.readouterr().err


def test_a_prefix_model_writes_words_from_nothing() -> None:
    folder = run(config("study=words")).folder
    assert folder is not None
    out = io.StringIO()
    generate_side_by_side([folder], Request(length=8), out)
    assert len(out.getvalue().split()) + out.getvalue()[:-1].count("\n") == 8


@pytest.mark.parametrize(
    ("overrides", "text", "message"),
    [
        (
            (*WINDOW, "task.window=9"),
            "a b c d e",
            "task.window=9: the train split has 9 tokens, and needs at least one more",
        ),
        (("tokenizer=char",), "a b c", "no token of tokenizer=char ends a line"),
        (
            ("tokenizer.end_of_sentence=false",),
            TEXT,
            "no token of tokenizer=word ends a line.*end_of_sentence=true",
        ),
    ],
)
def test_a_text_without_contexts_is_refused(
    overrides: tuple[str, ...], text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        contexts(*overrides, text=text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.window=0", "task.window=0: must be at least 1"),
        ("task.max_length=0", "task.max_length=0: must be at least 1"),
        ("task.sample.length=-1", "task.sample.length=-1: must be at least 0"),
        ("task.context=line", "task.context=line: must be"),
        ("task.padding=both", "task.padding=both: must be"),
        ("tokenizer=none", "task=next_token reads text by its tokens"),
        ("dataset=none", "task=next_token takes running text"),
    ],
)
def test_what_the_task_cannot_do_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_task(compose_run([*SMALL, override]))


@pytest.mark.parametrize("options", [(), WINDOW])
def test_the_surprisal_of_a_text_is_its_loss(options: tuple[str, ...]) -> None:
    conf = config(*options)
    task, data = build_task(conf.task), contexts(*options)
    assert isinstance(task, NextToken)
    torch.manual_seed(1)
    model = build_model(conf, task.parts(data.fitted, conf.model)).eval()
    evaluator = task.evaluator(data, "test")
    for batch in task.batches(data, seed=1).evaluation_dataloader("test"):
        hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
        evaluator.update(model.head, hidden, batch.targets)
    found = list(task.surprisals(data.fitted, model, TEXT, alternatives=2))
    assert len(found) == len(data.splits["test"][1])
    mean = sum(token.bits for token in found) / len(found)
    assert mean * np.log(2) == pytest.approx(evaluator.compute()["loss"], rel=1e-6)
    for token in found:
        assert (token.rank == 1) == (
            token.bits == pytest.approx(-np.log2(token.alternatives[0][1]))
        )


def test_repetition_is_penalized_and_beams_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(config("trainer.max_steps=40"))
    command = ["generate", str(outcome.folder), "--prompt", "the", "--temperature", "0"]
    distinct = []
    for penalty in ("1", "50"):
        assert main([*command, "--length", "12", "--repetition-penalty", penalty]) == 0
        distinct.append(len(set(capsys.readouterr().out.split())))
    assert distinct[1] > distinct[0]
    assert main([*command[:4], "--beams", "2"]) == 2
    assert "has no state for each beam" in capsys.readouterr().err
