"""The one description of a batch: every input of a model.

The input pipeline, the exported signatures, the batch that builds a model, random
batches and the tests are made from `INPUTS`. A batch is

    {"history": {name: (H, ...)}, task: {name: (B, ...)}, ...}

Target row b of a task reads history `history_row[b]`, or history b where a batch does
not say; targets of both tasks may share one. Dense ids start at 1; 0 is padding or
unknown. A model reads an id that it does not know (negative, or above the highest) as
0.
"""

import dataclasses

TASKS = ("rec", "search")


@dataclasses.dataclass(frozen=True)
class Input:
    """One array of a batch.

    Attributes:
        name: Its key.
        part: "history" (one row a history), "groups" (how the histories are laid
            out), "row" (one row a target), "label" (one row a target, in training
            alone: what its losses read), "draw" (what the training losses draw or
            list; one a task and step).
        axes: Its axes. Those that `axis_sizes` knows have a fixed size.
        meaning: One sentence.
        dtype: Its type.
        tasks: The tasks that have it.
        is_always_there: Whether every batch has it, whatever the model needs.
        of_training: Whether it is looked up in the clicks of training, of which it has
            those alone that are earlier than the target. Requests to a served model do
            not have it: the model reads a table of all these clicks instead.
    """

    name: str
    part: str
    axes: tuple[str, ...]
    meaning: str
    dtype: str = "int32"
    tasks: tuple[str, ...] = TASKS
    is_always_there: bool = False
    of_training: bool = False


_HISTORY = (
    Input("rec_items", "history", ("H", "Nr"), "Items of the clicked recommendations."),
    Input(
        "rec_positions",
        "history",
        ("H", "Nr"),
        "Rank of each recommendation in time among all behaviors of the history.",
    ),
    Input("search_queries", "history", ("H", "Ns"), "Query of each search."),
    Input("search_words", "history", ("H", "Ns", "W"), "Words of each search's query."),
    Input(
        "clicked_items", "history", ("H", "Ns", "K"), "Items clicked in each search."
    ),
    Input("search_sources", "history", ("H", "Ns"), "Where each search was started."),
    Input("search_mask", "history", ("H", "Ns"), "Slots that hold a search.", "bool"),
    Input(
        "search_positions",
        "history",
        ("H", "Ns"),
        "Rank of each search in time among all behaviors of the history.",
    ),
    Input(
        "rec_item_queries",
        "history",
        ("H", "Nr", "Z"),
        "Queries that led to each recommended item most often, the best first.",
        of_training=True,
    ),
    Input(
        "rec_sessions",
        "history",
        ("H", "Nr"),
        "Session of each recommendation: 0 is the target's own, 1 the one before, …; a "
        "pause of more than session_minutes ends a session.",
    ),
    Input(
        "search_sessions",
        "history",
        ("H", "Ns"),
        "Session of each search, as rec_sessions.",
    ),
)
_GROUPS = (
    Input(
        "group_ends",
        "groups",
        ("G",),
        "End of each group of consecutive histories of like length.",
        is_always_there=True,
    ),
    Input(
        "rec_widths",
        "groups",
        ("G",),
        "Recommendation slots that a group uses; those behind are empty.",
        is_always_there=True,
    ),
    Input(
        "search_widths",
        "groups",
        ("G",),
        "Search slots that a group uses; those behind are empty.",
        is_always_there=True,
    ),
)
_ROW = (
    Input(
        "candidates",
        "row",
        ("B", "C"),
        "Items to score, in training and evaluation the positive first.",
        is_always_there=True,
    ),
    Input(
        "history_row",
        "row",
        ("B",),
        "Row of the target's history among the batch's histories.",
        is_always_there=True,
    ),
    Input(
        "is_target",
        "row",
        ("B",),
        "False in rows that only fill up a batch of fixed size.",
        "bool",
        is_always_there=True,
    ),
    Input("user", "row", ("B",), "Whose target it is."),
    Input("query", "row", ("B",), "Query of the target.", tasks=("search",)),
    Input(
        "query_words",
        "row",
        ("B", "W"),
        "Words of the target's query.",
        tasks=("search",),
    ),
    Input(
        "candidate_queries",
        "row",
        ("B", "C", "Z"),
        "Queries that led to each candidate most often, the best first.",
        of_training=True,
    ),
    Input(
        "neighbor_items",
        "row",
        ("B", "M"),
        "Items of the user's clicks, drawn with replacement, the newest first.",
        of_training=True,
    ),
    Input(
        "neighbor_queries",
        "row",
        ("B", "M"),
        "Queries of these clicks; 0 of recommendations.",
        of_training=True,
    ),
    Input(
        "candidate_users",
        "row",
        ("B", "C"),
        "For each candidate a user who clicked it.",
        of_training=True,
    ),
    Input(
        "candidate_user_queries",
        "row",
        ("B", "C"),
        "Queries of these clicks; 0 of recommendations.",
        of_training=True,
    ),
    Input(
        "second_items",
        "row",
        ("B", "C", "M"),
        "Items of the clicks of this user, as neighbor_items.",
        of_training=True,
    ),
    Input(
        "second_queries",
        "row",
        ("B", "C", "M"),
        "Queries of these clicks; 0 of recommendations.",
        of_training=True,
    ),
)
_LABEL = (
    Input(
        "item_words",
        "label",
        ("B", "W"),
        "Words of the positive's text: its caption, or where items have none the "
        "target's query.",
        tasks=("search",),
    ),
    Input(
        "similar_items",
        "label",
        ("B", "Ns", "K"),
        "For each clicked item of the target's history another one of its category, or "
        "where items have none of its training queries; 0 where there is none.",
        tasks=("search",),
    ),
    Input(
        "other_clicked_items",
        "label",
        ("B", "Ns", "K"),
        "For each clicked item of the target's history one that training clicked for "
        "the same query before the target; 0 where there is none.",
        tasks=("rec",),
    ),
    Input(
        "other_search_words",
        "label",
        ("B", "Ns", "W"),
        "Words of a query for which training clicked the first clicked item of each "
        "search before the target; 0 where there is none.",
        tasks=("rec",),
    ),
    Input(
        "random_search_words",
        "label",
        ("B", "Ns", "W"),
        "For each search the words of a query that is drawn uniformly.",
        tasks=("rec",),
    ),
    Input(
        "is_last",
        "label",
        ("B",),
        "Whether it is its user's last target of the task in training: one a user and "
        "epoch.",
        "bool",
    ),
    Input("target_query", "label", ("B",), "The target's query.", tasks=("search",)),
    Input("target_user", "label", ("B",), "The target's user.", tasks=("search",)),
)
_DRAW = (
    Input(
        "sequence_items",
        "draw",
        ("Q", "Nr+1"),
        "Newest items, the target's last, of the users whose last target is in the "
        "step: one sequence a user and epoch.",
        tasks=("rec",),
    ),
    Input(
        "sequence_negatives",
        "draw",
        ("Q", "Nr+1"),
        "For each of these items, a drawn item that the user never touched.",
        tasks=("rec",),
    ),
    Input("sampled_items", "draw", ("S",), "Items drawn uniformly."),
    Input(
        "sampled_words",
        "draw",
        ("S",),
        "Words drawn by how often texts have them, to the power 0.75.",
        tasks=("search",),
    ),
    Input("sampled_queries", "draw", ("S",), "Queries drawn uniformly."),
    Input("sampled_query_words", "draw", ("S", "W"), "Words of the drawn queries."),
    Input(
        "pair_items",
        "draw",
        ("P",),
        "Clicked items of the (query, clicked item) pairs in the targets' histories.",
    ),
    Input("pair_queries", "draw", ("P",), "Queries of these pairs."),
    Input("pair_query_words", "draw", ("P", "W"), "Words of these queries."),
    Input(
        "pair_counts",
        "draw",
        ("P",),
        "How often each pair occurs; 0 where it only fills up.",
        "float32",
    ),
)

INPUTS: dict[str, Input] = {
    entry.name: entry for entry in (*_HISTORY, *_GROUPS, *_ROW, *_LABEL, *_DRAW)
}
ROW_PARTS = ("row", "label")  # Those with one row a target.
