"""What shows pictures and texts beside curves: TensorBoard, and trackers."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytorch_lightning.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@runtime_checkable
class Board(Protocol):
    """Takes pictures and texts, each at a step."""

    def add_figure(self, name: str, picture: "Picture | None", step: int) -> None: ...

    def add_text(self, name: str, text: str, step: int) -> None: ...


def board_of(logger: object) -> Board | None:
    """The board of a logger; None where it shows curves alone."""
    if isinstance(logger, TensorBoardLogger):
        writer: Any = logger.experiment
        return writer  # type: ignore[no-any-return]
    return logger if isinstance(logger, Board) else None
