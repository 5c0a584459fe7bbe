"""Random Amazon reviews and metadata, and the dataset that the job makes of them."""

import json

import numpy as np

LEVELS = ("Hair Care", "Oil & Skin", "Men's Shampoo", "Colour", "Gifts", "Élan 2-in-1")


def amazon_dataset(folder, days=12):
    """A dataset of 60 users' reviews, many of one time; returns its folder.

    Args:
        folder: A folder for the logs and the dataset.
        days: Days of the log, at most 12; fewer days have the first of all reviews.
    """
    from pipelines import amazon

    rng = np.random.default_rng(5)
    items = [f"B{item:05d}" for item in range(150)]
    reviews, metadata = folder / "reviews.json", folder / "meta.json"
    with open(reviews, "w") as file:
        for user in range(60):
            size = rng.integers(3, 15)
            found = np.sort(rng.integers(0, 12, size))
            for item, day in zip(rng.permutation(items), found, strict=False):
                row = {"reviewerID": f"A{user}", "asin": item}
                row["unixReviewTime"] = 86_400 * (15_000 + int(day))
                if day < days:
                    file.write(json.dumps(row) + "\n")
    with open(metadata, "w") as file:
        for item in items:
            found = ["Beauty", *rng.permutation(LEVELS)[: rng.integers(0, 3)]]
            if item.endswith("7"):
                found.append(f"Series {item}")
            file.write(json.dumps({"asin": item, "categories": [found]}) + "\n")
    amazon.build_dataset(folder / "dataset", reviews=reviews, metadata=metadata)
    return folder / "dataset"
