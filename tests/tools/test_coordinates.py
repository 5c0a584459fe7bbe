"""tools.figures.coordinates: where values stand, and what is drawn."""

import pytest

from tools.figures.coordinates import Line, csv_rows, draw, list_axis, number_axis

AXES = (
    list_axis("rate", ("1e-2", "1e-4", "1e-3")),
    list_axis("split", ("median", "mean")),
    number_axis("l2", ("1e-6", "1e-2"), is_log=True),
    number_axis("dropout", ("0.1", "0.5")),
)
LINES = (
    Line("a", ("1e-3", "mean", "1e-4", "0.2"), 0.25),
    Line("b", ("1e-4", "median", "1e-2", "0.5"), 0.75),
)


def test_places():
    """Numbers of a list stand in their order, at even distances."""
    found = [
        [axis.place(text) for axis, text in zip(AXES, line.texts, strict=True)]
        for line in LINES
    ]
    assert found == [[0.5, 1.0, 0.5, 0.25], [0.0, 0.0, 1.0, 1.0]]
    assert list_axis("l2", ("0",)).place("0") == 0.0


def test_rows_begin_with_the_best():
    assert csv_rows(AXES, LINES, "NDCG") == [
        ["trial", "rate", "split", "l2", "dropout", "NDCG"],
        ["b", *LINES[1].texts, 0.75],
        ["a", *LINES[0].texts, 0.25],
    ]


@pytest.mark.parametrize("lines", [LINES, LINES[:1]])
def test_a_line_for_each_trial_the_best_last(lines):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    draw(figure, AXES, lines, "NDCG")
    (panel,) = figure.axes
    drawn = panel.get_lines()[: len(lines)]
    best = max(lines, key=lambda line: line.score)
    assert drawn[-1].get_label() == f"best: {best.name}, NDCG {best.score:.4f}"
    heights = [line.get_ydata()[2:] for line in drawn]
    ends = {0.25: (0.5, 0.25), 0.75: (1.0, 1.0)}  # l2 and dropout, by the score.
    scores = sorted(line.score for line in lines)
    places = [0.0, 1.0] if len(lines) > 1 else [0.5]
    assert [tuple(each) for each in heights] == [
        (*ends[score], place) for score, place in zip(scores, places, strict=True)
    ]
