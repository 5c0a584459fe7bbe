"""The figures of a folder, put into the page with their numbers."""

import csv
import struct
from pathlib import Path

from tools.report.html import data_uri, download, element, escape, simple_table
from tools.results.collect import StudyError

_LARGEST_SVG = 300_000  # Bytes; the PNG of a cloud of points is smaller.
_WIDE = 1.9  # Width by height of a figure that takes the whole width.
# Title, and how to read it, of the kinds of tools.figures in their order.
_KINDS = {
    "predecessors": (
        "Is the click before of the same category?",
        "The share of clicks whose click before has a category in common, by the "
        "scenarios of both: r2r both recommended, s2r from search to recommendation, "
        "and so on (UniSAR, Figure 2).",
    ),
    "similarities": (
        "How alike the transitions into a scenario are",
        "The cosine of a user's two averaged transitions; thin lines are means "
        "(UniSAR, Figure 5).",
    ),
    "tsne": (
        "The four transitions in the plane",
        "Each user has a point of each transition. t-SNE keeps neighbours together; "
        "distances between clusters and sizes of clusters mean nothing, and panels "
        "have no common scale (UniSAR, Figure 6).",
    ),
    "interests": (
        "Similar and dissimilar interests",
        "The Jensen-Shannon divergence of the categories that a user clicked in "
        "recommendation and search: 0 for the same categories, 1 for none in common. "
        "Few items diverge more than many: compare each kind with slots that are drawn "
        "(SESRec, Figure 3).",
    ),
    "query_items": (
        "Queries and their items",
        "The cosine of a query and an item clicked for it, and of one drawn at random. "
        "Boxes hold the middle half, squares are means (SESRec, Figure 4).",
    ),
    "effects": (
        "The effect of a setting",
        "A line is the mean over seeds, a band reaches from the lowest to the highest "
        "(UniSAR, Figures 7 and 8; SESRec, Figure 5).",
    ),
}


def figures_of(folder: str) -> str:
    """All figures of a folder; learning curves are left out, the page has its own.

    Args:
        folder: Where tools.figures wrote them.

    Raises:
        StudyError: The folder has no figure.
    """
    names = {
        path.stem
        for path in Path(folder).glob("*")
        if path.suffix in (".svg", ".png") and not path.name.startswith(".")
    } - {"learning_curves"}
    if not names:
        raise StudyError(f"--figures={folder}: it has no figures (.svg or .png)")
    kinds = list(_KINDS)

    def place(name):
        kind = _kind(name)
        return kinds.index(kind) if kind else len(kinds), name

    return "".join(_figure(Path(folder), name) for name in sorted(names, key=place))


def _kind(name):
    if name in _KINDS:
        return name
    return "effects" if name.startswith("effects_") else None


def _figure(folder, name):
    title, text = _KINDS.get(_kind(name), (name.replace("_", " "), ""))
    if name.startswith("effects_"):
        title = f"The effect of {name.removeprefix('effects_')}"
    svg, png, numbers = (folder / f"{name}.{k}" for k in ("svg", "png", "csv"))
    path, kind = svg, "image/svg+xml"
    too_large = svg.is_file() and svg.stat().st_size > _LARGEST_SVG
    if png.is_file() and (too_large or not svg.is_file()):
        path, kind = png, "image/png"
    image = f'<img src="{data_uri(path.read_bytes(), kind)}" alt="{escape(title)}">'
    caption = element("strong", escape(title))
    if text:
        caption += " " + escape(text)
    content = element("div", image, class_="paper") + element("figcaption", caption)
    if numbers.is_file():
        with open(numbers, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        content += element(
            "details",
            element("summary", "Numbers")
            + element("p", download(numbers.read_bytes(), numbers.name))
            + simple_table(rows, f"Numbers: {title}"),
        )
    is_wide = png.is_file() and _shape(png.read_bytes()) > _WIDE
    return element("figure", content, class_="image wide" if is_wide else "image")


def _shape(png):
    """Width by height of a PNG, which are the first numbers of its content."""
    width, height = struct.unpack(">II", png[16:24])
    return width / height
