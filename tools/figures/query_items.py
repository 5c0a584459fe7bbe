"""SESRec's Figure 4: the cosine of queries and the items clicked for them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from keras import ops

from tools.figures.clicks import query_item_pairs
from tools.figures.histories import Trained, cosine
from tools.figures.style import STYLES
from tools.results.collect import StudyError


@dataclasses.dataclass(frozen=True)
class Box:
    """A box plot's numbers.

    Attributes:
        method: The method.
        items: "clicked", or "drawn": any item in the place of the clicked one.
        pairs: Number of pairs.
        mean: Their mean cosine.
        low, q1, median, q3, high: The ends of the box and of its whiskers, which are
            the outermost values within 1.5 times the box's height from it.
    """

    method: str
    items: str
    pairs: int
    mean: float
    low: float
    q1: float
    median: float
    q3: float
    high: float


def make_box(method: str, items: str, values: np.ndarray) -> Box:
    """The box of some values, `(number,)`; at least one."""
    q1, median, q3 = np.percentile(values, (25, 50, 75))
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    numbers = (values.mean(), inside.min(), q1, median, q3, inside.max())
    return Box(method, items, len(values), *map(float, numbers))


def make_boxes(trained: Trained, number: int) -> list[Box]:
    """The boxes of a model: of clicked items, and of drawn ones to compare them with.

    Args:
        trained: A model that encodes queries.
        number: The most pairs; if there are more, as many are drawn.

    Raises:
        StudyError: The model encodes no queries, or the dataset has no searches.
        DatasetError: A shard is damaged.
    """
    model, data = trained.model, trained.data
    if model.query_encoder is None:
        raise StudyError(f"{trained.name}: {type(model).__name__} encodes no queries")
    pairs = query_item_pairs(data.dataset)
    if not len(pairs):
        raise StudyError(f"{data.dataset.dataset_dir} has no searches with clicks")
    generator = np.random.default_rng(0)
    if len(pairs) > number:
        pairs = pairs[generator.choice(len(pairs), number, replace=False)]
    queries, clicked = pairs.astype(np.int32).T
    drawn = generator.integers(
        1, data.dataset.info.num_items + 1, len(pairs), dtype=np.int32
    )
    words = ops.take(data.query_words, queries, axis=0)
    vectors = _numpy(model.encode_queries(words, queries))
    return [
        make_box(trained.name, name, cosine(vectors, _numpy(model.encode_items(items))))
        for name, items in (("clicked", clicked), ("drawn", drawn))
    ]


def _numpy(vectors):
    return ops.convert_to_numpy(ops.cast(vectors, "float32"))


def csv_rows(boxes: Sequence[Box]) -> list[list]:
    """The numbers of the figure, the head first."""
    names = [field.name for field in dataclasses.fields(Box)]
    return [names, *([getattr(box, name) for name in names] for box in boxes)]


def draw(figure, boxes: Sequence[Box]) -> None:
    """Draws the boxes; squares are means.

    Args:
        figure: matplotlib's figure.
        boxes: As `make_boxes` gives them.
    """
    panel = figure.subplots()
    numbers = [
        {
            "med": box.median,
            "q1": box.q1,
            "q3": box.q3,
            "whislo": box.low,
            "whishi": box.high,
            "mean": box.mean,
        }
        for box in boxes
    ]
    drawn = panel.bxp(
        numbers,
        positions=range(len(boxes)),
        widths=0.5,
        showmeans=True,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black"},
        meanprops={
            "marker": "s",
            "markerfacecolor": "white",
            "markeredgecolor": "black",
        },
    )
    methods = list(dict.fromkeys(box.method for box in boxes))
    for box, patch in zip(boxes, drawn["boxes"], strict=True):
        patch.set_facecolor(STYLES[methods.index(box.method) % len(STYLES)]["color"])
        patch.set_alpha(0.75 if box.items == "clicked" else 0.3)
        if box.items == "drawn":
            patch.set_hatch("///")
    panel.set_xticks(
        range(len(boxes)), [f"{box.method}\n{box.items} items" for box in boxes]
    )
    panel.tick_params(axis="x", labelsize=8)
    panel.set_ylabel("cosine of query and item")
    panel.grid(axis="y", alpha=0.3)
