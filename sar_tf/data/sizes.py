"""The sizes that a model takes from a dataset."""

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError
from sar_tf.spec import DataSpec


def data_spec(
    dataset: SequenceDataset,
    *,
    max_rec_history: int,
    max_search_history: int,
    max_query_words: int,
    max_clicked_items: int,
    max_item_queries: int,
    max_neighbors: int,
    session_minutes: int,
) -> DataSpec:
    """The `DataSpec` of a dataset whose batches have these widths.

    Raises:
        DatasetError: The dataset has a feature that models cannot take.
    """
    info = dataset.info
    features = _feature_sizes(dataset)
    has_caption = "caption" in info.features.get("item", {})
    return DataSpec(
        num_users=info.num_users,
        num_items=info.num_items,
        num_words=info.num_words,
        num_queries=info.num_queries,
        num_search_sources=info.num_search_sources,
        max_rec_history=max_rec_history,
        max_search_history=max_search_history,
        max_query_words=max_query_words,
        max_clicked_items=max_clicked_items,
        user_features=features.get("user", {}),
        item_features=features.get("item", {}),
        caption_length=max_query_words if has_caption else 0,
        max_item_queries=max_item_queries,
        max_neighbors=max_neighbors,
        session_minutes=session_minutes,
        fingerprint=dataset.fingerprint,
    )


def _feature_sizes(
    dataset: SequenceDataset,
) -> dict[str, dict[str, int | list[int]]]:
    """{owner: {feature: its size, as `DataSpec` has it}}, without an item's caption."""
    sizes: dict[str, dict[str, int | list[int]]] = {}
    for owner, features in dataset.info.features.items():
        sizes[owner] = {}
        for name, feature in features.items():
            if feature["kind"] == "categorical":
                sizes[owner][name] = feature["num"]
            elif feature["kind"] == "multi":
                sizes[owner][name] = [feature["num"], feature["width"]]
            elif (owner, name) != ("item", "caption"):
                raise DatasetError(
                    f"{dataset.dataset_dir}: models take one feature made of words, "
                    f"an item's caption, but {owner} has {name!r}"
                )
    return sizes
