"""Draws the simulated items: themes, categories, captions and popularity."""

import dataclasses

import numpy as np

NUM_FIRST_LEVEL = 37
SECOND_PER_FIRST = 8
ITEMS_PER_THEME = 40
MIN_THEMES = 24
MAX_THEMES = 600
# Probability that an item has its theme's category; otherwise it has any category. So
# items of one theme are often, but not always, "within the same category".
SAME_CATEGORY = 0.6
UNKNOWN_CATEGORY = 0.04
ITEM_ZIPF = 0.9
THEME_ZIPF = 0.4
THEME_WORDS = 6
SPECIFIC_WORDS = 15
CATEGORY_WORDS = 2
GENERIC_WORDS = 300
# Columns of Catalogue.words.
_CATEGORY, _THEME, _SPECIFIC, _GENERIC = 0, slice(1, 4), slice(4, 6), slice(6, 8)
# The words of a caption that make a query, in each of several forms.
QUERY_FORMS = ((1, 4), (2, 4, 5), (4,), (1, 2), (0, 5))
FORGETFUL_FORM = 3  # The form of theme words only: it fits every item of the theme.


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The items, ordered by theme.

    Attributes:
        theme: [num_items] latent theme.
        theme_start: [num_themes + 1] items of theme t: theme_start[t]:theme_start[t+1].
        popularity: [num_items] probability of the item within its theme (Zipf).
        edges: [num_items] theme + cumulative popularity within it: one sorted array
            from which items of every theme are drawn.
        theme_popularity: [num_themes] probability of each theme.
        first_level, second_level: [num_items] category ids, 0 = unknown.
        words: `(num_items, 8)` word ids of the caption.
        caption_length: [num_items] number of these words that the caption shows.
        raw_id: [num_items] ids in the logs.
        author: [num_items] ids of authors.
    """

    theme: np.ndarray
    theme_start: np.ndarray
    popularity: np.ndarray
    edges: np.ndarray
    theme_popularity: np.ndarray
    first_level: np.ndarray
    second_level: np.ndarray
    words: np.ndarray
    caption_length: np.ndarray
    raw_id: np.ndarray
    author: np.ndarray

    @property
    def num_themes(self) -> int:
        return len(self.theme_popularity)

    def draw_items(self, themes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws one item of each theme, by popularity. themes [n] -> items [n]."""
        places = themes + rng.random(len(themes))
        items = np.searchsorted(self.edges, places, side="right")
        return np.minimum(items, self.theme_start[themes + 1] - 1)

    def draw_evenly(self, themes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws one item of each theme, uniformly. themes [n] -> items [n]."""
        return rng.integers(self.theme_start[themes], self.theme_start[themes + 1])

    def draw_themes(self, size: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(self.num_themes, size, p=self.theme_popularity)

    def category_match(self) -> tuple[float, float]:
        """Probabilities that two items have the same known first-level category.

        Returns:
            The probability for two different items of one theme, and the probability
            for items of two themes.
        """
        shares = np.zeros((self.num_themes, NUM_FIRST_LEVEL + 1))
        np.add.at(shares, (self.theme, self.first_level), self.popularity)
        shares[:, 0] = 0.0
        weights = self.theme_popularity
        pairs = (shares**2).sum(1)
        own = np.bincount(self.theme, self.popularity**2)
        own_known = np.bincount(self.theme, self.popularity**2 * (self.first_level > 0))
        same = weights @ ((pairs - own_known) / (1.0 - own))
        overall = ((weights @ shares) ** 2).sum() - weights**2 @ pairs
        return float(same), float(overall / (1.0 - (weights**2).sum()))


def make_catalogue(num_items: int, rng: np.random.Generator) -> Catalogue:
    """Draws the items of a simulated log.

    Args:
        num_items: Number of items; a few for each of at least 24 themes.
        rng: Generator of all random draws.
    """
    num_themes = int(np.clip(num_items // ITEMS_PER_THEME, MIN_THEMES, MAX_THEMES))
    theme_start = np.linspace(0, num_items, num_themes + 1).astype(np.int64)
    theme = np.repeat(np.arange(num_themes), np.diff(theme_start))
    rank = np.arange(num_items) - theme_start[theme] + 1
    weight = rank**-ITEM_ZIPF
    popularity = weight / np.add.reduceat(weight, theme_start[:-1])[theme]
    total = np.cumsum(popularity)
    before = np.concatenate([[0.0], total])[theme_start[:-1]]
    theme_weight = rng.permutation(np.arange(1, num_themes + 1) ** -THEME_ZIPF)
    first, second = _draw_categories(theme, num_themes, rng)
    return Catalogue(
        theme=theme,
        theme_start=theme_start,
        popularity=popularity,
        edges=theme + np.minimum(total - before[theme], 1.0 - 1e-9),
        theme_popularity=theme_weight / theme_weight.sum(),
        first_level=first,
        second_level=second,
        words=_draw_words(theme, num_themes, rng),
        caption_length=rng.integers(6, 9, num_items),
        raw_id=np.sort(rng.choice(10 * num_items, num_items, replace=False)) + 1,
        author=theme * 10 + rng.integers(0, 10, num_items) + 1,
    )


def _draw_categories(theme, num_themes, rng):
    # Themes take categories in turn, so that no first-level category has many themes.
    theme_first = rng.permutation(np.arange(num_themes) % NUM_FIRST_LEVEL) + 1
    theme_second = rng.integers(0, SECOND_PER_FIRST, num_themes)
    size = len(theme)
    own = rng.random(size) < SAME_CATEGORY
    first = np.where(
        own, theme_first[theme], rng.integers(1, NUM_FIRST_LEVEL + 1, size)
    )
    within = np.where(own, theme_second[theme], rng.integers(0, SECOND_PER_FIRST, size))
    second = NUM_FIRST_LEVEL + (first - 1) * SECOND_PER_FIRST + within + 1
    first[rng.random(size) < UNKNOWN_CATEGORY] = 0
    second[(first == 0) | (rng.random(size) < UNKNOWN_CATEGORY)] = 0
    return first, second


def _draw_words(theme, num_themes, rng):
    size = len(theme)
    topic = theme[:, None]
    category_words = topic * CATEGORY_WORDS + rng.integers(0, CATEGORY_WORDS, (size, 1))
    start = num_themes * CATEGORY_WORDS
    theme_words = _distinct(size, 3, THEME_WORDS, rng) + start + topic * THEME_WORDS
    start += num_themes * THEME_WORDS
    specific = _distinct(size, 2, SPECIFIC_WORDS, rng) + start + topic * SPECIFIC_WORDS
    start += num_themes * SPECIFIC_WORDS
    generic_rank = GENERIC_WORDS ** rng.random((size, 2))  # About Zipf.
    generic = start + generic_rank.astype(np.int64) - 1
    words = np.empty((size, 8), np.int64)
    words[:, [_CATEGORY]] = category_words
    words[:, _THEME] = theme_words
    words[:, _SPECIFIC] = specific
    words[:, _GENERIC] = generic
    # Shuffled, so that an id says nothing about its word.
    return rng.permutation(start + GENERIC_WORDS)[words] + 1


def _distinct(rows, columns, num_words, rng):
    return np.argsort(rng.random((rows, num_words)), axis=1)[:, :columns]
