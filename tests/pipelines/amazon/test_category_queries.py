import pytest

from pipelines.amazon.category_queries import category_queries, category_query


@pytest.mark.parametrize(
    "hierarchy, query",
    [
        (["Camera, Photo", "Digital Camera Lenses"], "photo digital camera lenses"),
        (["Books"], None),
        ([], None),
        (["The", "And of"], None),
        (["Toys & Games", "Games for the Men's Room"], "toys games men's room"),
        (["Arts, Crafts &amp; Sewing", "Thread"], "arts crafts sewing thread"),
        (["Beauty", "a173", "a1", "beauty"], "a173 a1 beauty"),
        (["Musik", "Für Kinder", "MP3-Player"], "musik fu\u0308r kinder mp3 player"),
    ],
)
def test_query_of_a_hierarchy(hierarchy, query):
    assert category_query(hierarchy) == query


def test_queries_of_an_item_are_distinct_in_order():
    hierarchies = [["B", "C"], ["X"], ["B", "D"], ["b", "c"], ["C", "B"]]

    assert category_queries(hierarchies) == ["b c", "b d", "c b"]
