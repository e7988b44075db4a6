"""A legend lies within its plot."""

from __future__ import annotations

import pytest
from matplotlib.lines import Line2D
from vip5platform.report.plots.style import add_legend, new_figure


@pytest.mark.parametrize(("name", "rows"), [("random", 1), ("random 0.03 (off scale)", 2), ("popularity " * 5, 3)])
def test_three_entries_share_a_row_where_they_fit(name: str, rows: int) -> None:
    figure = new_figure(2.5)
    add_legend(figure, [Line2D([], [], label=name) for _ in range(3)])
    (legend,) = figure.legends
    figure.canvas.draw()
    extent = legend.get_window_extent()
    assert extent.width <= figure.bbox.width
    places = {round(text.get_window_extent().y0) for text in legend.get_texts()}
    assert len(places) == rows
