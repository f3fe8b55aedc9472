"""How a forecast is drawn."""

import numpy as np

from unrolled.figures.draw import draw
from unrolled.runs.figures import Forecast


def test_history_truth_and_each_row_s_forecast() -> None:
    history, truth = [1.0, 2.0, 3.0], [4.0, 5.0]
    rows = {
        label: [Forecast(history, truth, predicted, "heat (K)", first=1990, step=4)]
        for label, predicted in {"gru": [4.1, 5.1], "lstm": [3.9, 4.9]}.items()
    }
    picture = draw(rows, "test forecast")
    assert picture is not None
    (panel,) = picture.axes
    lines = {line.get_label(): line for line in panel.get_lines()}
    assert np.asarray(lines["history"].get_xdata()).tolist() == [1990, 1994, 1998]
    # The truth goes on from the last known value.
    assert np.asarray(lines["truth"].get_xdata()).tolist() == [1998, 2002, 2006]
    assert np.asarray(lines["truth"].get_ydata()).tolist() == [3, 4, 5]
    for label, (forecast,) in rows.items():
        assert np.asarray(lines[label].get_ydata()).tolist() == [*forecast.predicted]
    assert panel.get_ylabel() == "heat (K)"
    picture.canvas.draw()
    assert all(float(tick).is_integer() for tick in panel.get_xticks())
