"""Small pieces of HTML."""

import base64
import csv
import html
import io
import re
from collections.abc import Iterable, Sequence


def escape(text: object) -> str:
    """A text as it stands between tags and in attributes."""
    return html.escape(str(text), quote=True)


def breakable(name: str) -> str:
    """A method's name, which may break after _ and =."""
    return re.sub("([_=])", r"\1<wbr>", escape(name))


def element(tag: str, content: str = "", **attributes: object) -> str:
    """An element around content that is HTML already.

    Args:
        tag: Its name.
        content: HTML.
        attributes: Texts; a name's trailing _ goes, other _ become -. None leaves one
            out.

    Example:

    >>> element("td", "1", class_="best", data_sort=1)
    '<td class="best" data-sort="1">1</td>'
    """
    texts = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    ]
    return f"<{tag}{''.join(texts)}>{content}</{tag}>"


def data_uri(content: bytes, kind: str) -> str:
    """Content as an address, so that the page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def download(content: bytes, name: str, kind: str = "text/csv") -> str:
    """A link that saves content as a file."""
    return element("a", escape(name), href=data_uri(content, kind), download=name)


def csv_bytes(rows: Iterable[Sequence]) -> bytes:
    """Rows as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def simple_table(rows: Sequence[Sequence], label: str, most: int = 60) -> str:
    """A table of plain texts and numbers.

    Args:
        rows: The head first.
        label: What the table is, for screen readers.
        most: The most rows that are shown.
    """
    head, *body = rows
    heads = "".join(element("th", escape(text), scope="col") for text in head)
    lines = "".join(
        element("tr", "".join(_cell(text) for text in row)) for row in body[:most]
    )
    table = element(
        "table",
        element("thead", element("tr", heads)) + element("tbody", lines),
        class_="plain",
    )
    more = ""
    if len(body) > most:
        more = element("p", f"{len(body) - most:,} more rows are in the CSV.")
    box = element(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label=label
    )
    return box + more


def _cell(value):
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return element("td", escape(text))
    # Whole numbers and short numbers stay as they are.
    is_long = "." in text and len(text) > 7
    return element("td", f"{number:.4g}" if is_long else text, class_="number")
