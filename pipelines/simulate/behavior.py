"""Draws the simulated behaviors: times, recommendations, searches and clicks."""

import dataclasses

import numpy as np
import pandas as pd

from pipelines.common.repeats import is_repeated
from pipelines.simulate.catalogue import FORGETFUL_FORM, QUERY_FORMS, Catalogue

TIME_ZONE = "Asia/Shanghai"
START = pd.Timestamp("2023-05-22 14:30", tz=TIME_ZONE)
END = pd.Timestamp("2023-06-10 09:30", tz=TIME_ZONE)
HOUR_WEIGHTS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 3, 4, 4, 4, 5] + [6, 5, 4, 4, 4, 5, 6, 7] + [8, 9, 8, 5]
)
# From SPARSE_START on there are only SPARSE_SHARE of the usual searches.
SPARSE_START = pd.Timestamp("2023-06-09", tz=TIME_ZONE)
SPARSE_SHARE = 0.2
BLOCKS_PER_VISIT = 5
VISIT_MS = 20 * 60_000
PERSISTENCE = 0.5  # Share of blocks that repeat the scenario of the block before.
# A recommendation batch has 1 + Poisson(EXTRA_REC_ROWS) rows; sessions likewise.
EXTRA_REC_ROWS = 5.0
EXTRA_SEARCH_ROWS = 3.5
CLICKED_SESSIONS = 0.6  # Share of search sessions with a click.
SECOND_CLICK, THIRD_CLICK = 0.12, 0.02
# Number of a user's interests at a time; each changes once during the log.
NUM_INTERESTS = 6
REC_NOISE = 0.15  # Share of clicked recommendations outside the user's interests.
FORGETFUL_QUERIES = 0.1  # Share of queries that fit every item of the theme.

# Figure 2 of UniSAR: share of clicked items in the category of the clicked item just
# before, by (scenario before, scenario now), 1 = recommendation and 0 = search.
FIGURE_2 = {(1, 1): 0.0799, (0, 1): 0.0486, (0, 0): 0.1714, (1, 0): 0.0367}


@dataclasses.dataclass
class Rows:
    """Rows of both logs in the order of (user, time, block, position).

    A block is a batch of recommendations or a search session. Every array has one
    value a row; `item` and `theme` are positions in the catalogue.
    """

    user: np.ndarray
    block: np.ndarray
    time: np.ndarray  # ms
    is_rec: np.ndarray
    clicked: np.ndarray
    theme: np.ndarray
    item: np.ndarray


def draw_rows(
    num_users: int,
    rows_per_user: float,
    search_share: float,
    catalogue: Catalogue,
    rng: np.random.Generator,
) -> tuple[Rows, np.ndarray]:
    """Draws all rows that some users see and click.

    Args:
        num_users: Number of users.
        rows_per_user: Mean number of rows of a user.
        search_share: Share of blocks that are search sessions.
        catalogue: The items.
        rng: Generator of all random draws.

    Returns:
        The rows, with users numbered from 0, and [num_users] each user's first theme.
    """
    user, time, is_rec = _draw_blocks(num_users, rows_per_user, search_share, rng)
    size = np.where(
        is_rec,
        1 + rng.poisson(EXTRA_REC_ROWS, len(user)),
        1 + rng.poisson(EXTRA_SEARCH_ROWS, len(user)),
    )
    block = np.repeat(np.arange(len(user)), size)
    position = np.arange(len(block)) - np.repeat(np.cumsum(size) - size, size)
    rows = Rows(
        user=user[block],
        block=block,
        time=time[block],
        is_rec=is_rec[block],
        clicked=_draw_clicks(is_rec, block, position, rng),
        theme=np.zeros(len(block), np.int64),
        item=np.zeros(len(block), np.int64),
    )
    interests = _draw_interests(num_users, catalogue, rng)
    _draw_themes(rows, interests, catalogue, rng)
    _draw_shown_items(rows, catalogue, rng)
    _draw_clicked_items(rows, catalogue, rng)
    # Nobody clicks an item twice in one batch; jobs reject such a click.
    clicks = np.flatnonzero(rows.is_rec & rows.clicked)
    again = is_repeated(rows.user[clicks], rows.item[clicks], rows.time[clicks])
    rows.clicked[clicks[again]] = False
    return rows, interests[:, 0, 0]


def draw_queries(
    rows: Rows, catalogue: Catalogue, rng: np.random.Generator
) -> np.ndarray:
    """Draws the words of each search session from the caption of a wanted item.

    The wanted item is the first clicked item. In a session without a click it is some
    item of the session's theme.

    Args:
        rows: What `draw_rows` drew.
        catalogue: The items.
        rng: Generator of all random draws.

    Returns:
        [rows] the query's code, item * len(QUERY_FORMS) + form; -1 in
        recommendation rows. Rows of one session have one code.
    """
    codes = np.full(len(rows.user), -1)
    search = np.flatnonzero(~rows.is_rec)
    if not len(search):
        return codes
    blocks, first, inverse = np.unique(
        rows.block[search], return_index=True, return_inverse=True
    )
    first = search[first]  # Clicked rows come first in their session.
    others = catalogue.draw_items(rows.theme[first], rng)
    wanted = np.where(rows.clicked[first], rows.item[first], others)
    form = rng.choice(len(QUERY_FORMS), len(blocks), p=_form_probabilities())
    codes[search] = (wanted * len(QUERY_FORMS) + form)[inverse]
    return codes


def _form_probabilities():
    shares = np.full(len(QUERY_FORMS), (1 - FORGETFUL_QUERIES) / (len(QUERY_FORMS) - 1))
    shares[FORGETFUL_FORM] = FORGETFUL_QUERIES
    return shares


def _draw_blocks(num_users, rows_per_user, search_share, rng):
    """Returns user, time in ms and scenario of each block, by user and time."""
    rows_per_block = (
        1 + (1 - search_share) * EXTRA_REC_ROWS + search_share * EXTRA_SEARCH_ROWS
    )
    activity = rng.lognormal(-0.125, 0.5, num_users)  # Its mean is 1.
    num_blocks = 2 + rng.poisson(
        activity * max(rows_per_user / rows_per_block - 2, 0.0)
    )
    num_visits = -(-num_blocks // BLOCKS_PER_VISIT)
    visit_start = np.cumsum(num_visits) - num_visits
    visit_time = _draw_times(int(num_visits.sum()), rng)
    user = np.repeat(np.arange(num_users), num_blocks)
    visit = visit_start[user] + (rng.random(len(user)) * num_visits[user]).astype(int)
    time = visit_time[visit] + rng.integers(0, VISIT_MS, len(user))
    order = np.lexsort((time, user))
    user, time = user[order], time[order]
    share = np.where(
        time < _ms(SPARSE_START), search_share, search_share * SPARSE_SHARE
    )
    drawn = rng.random(len(user)) >= share
    fresh = (rng.random(len(user)) >= PERSISTENCE) | (np.diff(user, prepend=-1) > 0)
    return user, time, drawn[_last_true(fresh)]


def _draw_times(size, rng):
    """[size] starts of visits in ms; more visits in the evening than at night."""
    start = _ms(START)
    span = _ms(END) - start - VISIT_MS
    edges = np.arange(0, span, 1_800_000)
    hours = (START.hour + (START.minute * 60_000 + edges) // 3_600_000) % 24
    weight = HOUR_WEIGHTS[hours.astype(int)].astype(float)
    slot = rng.choice(len(edges), size, p=weight / weight.sum())
    width = np.minimum(edges[slot] + 1_800_000, span) - edges[slot]
    return start + edges[slot] + (rng.random(size) * width).astype(np.int64)


def _draw_clicks(is_rec, block, position, rng):
    """[rows] clicks: half of the recommendations, first rows of 60% of the sessions."""
    draw = rng.random(len(is_rec))
    clicks = np.where(rng.random(len(is_rec)) < CLICKED_SESSIONS, 1, 0)
    clicks *= 1 + (draw < SECOND_CLICK) + (draw < THIRD_CLICK)
    return np.where(
        is_rec[block], rng.random(len(block)) < 0.5, position < clicks[block]
    )


def _draw_interests(num_users, catalogue, rng):
    """`(num_users, NUM_INTERESTS, 2)` distinct themes: first and later ones."""
    interests = np.empty((num_users, NUM_INTERESTS * 2), np.int64)
    logits = np.log(catalogue.theme_popularity)
    for start in range(0, num_users, 1000):  # Bounds the memory of the draw.
        part = interests[start : start + 1000]
        noisy = logits + rng.gumbel(size=(len(part), catalogue.num_themes))
        part[:] = np.argsort(-noisy, axis=1)[:, : part.shape[1]]
    return interests.reshape(num_users, NUM_INTERESTS, 2)


def _draw_themes(rows, interests, catalogue, rng):
    """Fills rows.theme.

    Each click follows one of the user's interests: the interest of the click before or
    another one, see `_draw_stays`.
    """
    picks = np.flatnonzero(rows.clicked)
    user, is_rec = rows.user[picks], rows.is_rec[picks]
    first = np.diff(user, prepend=-1) > 0
    stays = _draw_stays(is_rec, rows.block[picks], first, catalogue, rng)
    step = rng.integers(1, NUM_INTERESTS, len(picks))
    step[stays] = 0
    step[first] = rng.integers(0, NUM_INTERESTS, first.sum())
    total = np.cumsum(step)
    interest = np.zeros(len(rows.user), np.int64)
    interest[picks] = (total - (total - step)[_last_true(first)]) % NUM_INTERESTS

    # Rows without a click follow the interest of their block.
    rest = np.flatnonzero(~rows.clicked)
    drawn = rng.integers(0, NUM_INTERESTS, rows.block[-1] + 1)
    interest[rest] = drawn[rows.block[rest]]
    leader = np.flatnonzero(np.diff(rows.block, prepend=-1) > 0)[rows.block]
    interest = np.where(rows.is_rec | rows.clicked, interest, interest[leader])

    switch = rng.random((len(interests), NUM_INTERESTS))
    progress = (rows.time - _ms(START)) / (_ms(END) - _ms(START))
    later = (progress > switch[rows.user, interest]).astype(np.int64)
    rows.theme[:] = interests[rows.user, interest, later]
    noise = picks[is_rec & (rng.random(len(picks)) < REC_NOISE)]
    rows.theme[noise] = catalogue.draw_themes(len(noise), rng)


def _draw_stays(is_rec, block, first, catalogue, rng):
    """Draws the clicks that keep the interest of the click before.

    The probability depends on the scenarios of both clicks and on how often two items
    of the same theme, or of different themes, have the same category. It gives the
    shares of FIGURE_2. All clicks of a search session have one theme.

    Args:
        is_rec, block: [clicks] scenario and block of each click, by user and time.
        first: [clicks] whether it is a user's first click.
        catalogue: The items.
        rng: Generator of all random draws.
    """
    before = np.roll(is_rec, 1)
    in_session = ~is_rec & (block == np.roll(block, 1)) & ~first
    same, other = catalogue.category_match()
    stays = in_session.copy()
    for (scenario_before, scenario), share in FIGURE_2.items():
        pairs = (before == scenario_before) & (is_rec == scenario) & ~first
        free = pairs & ~in_session
        if not free.any():
            continue
        without_noise = (1 - REC_NOISE) ** (scenario_before + scenario)
        staying = (share - other) / ((same - other) * without_noise)  # Of all pairs.
        chance = (staying * pairs.sum() - in_session[pairs].sum()) / free.sum()
        stays[free] = rng.random(free.sum()) < chance
    return stays


def _draw_shown_items(rows, catalogue, rng):
    """Fills rows.item of rows without a click.

    Half of the recommendations and 30% of the search rows get an item of any theme, the
    others get an item of the row's own theme.
    """
    rest = np.flatnonzero(~rows.clicked)
    theme = rows.theme[rest]
    stray = rng.random(len(rest)) < np.where(rows.is_rec[rest], 0.5, 0.3)
    theme[stray] = catalogue.draw_themes(int(stray.sum()), rng)
    rows.item[rest] = catalogue.draw_items(theme, rng)


def _draw_clicked_items(rows, catalogue, rng):
    """Fills rows.item of clicked rows; a user rarely clicks an item twice."""
    picks = np.flatnonzero(rows.clicked)
    user, theme = rows.user[picks], rows.theme[picks]
    item = catalogue.draw_items(theme, rng)
    for _ in range(3):
        key = user * len(catalogue.theme) + item
        again = np.ones(len(key), bool)
        again[np.unique(key, return_index=True)[1]] = False
        item[again] = catalogue.draw_evenly(theme[again], rng)
    rows.item[picks] = item


def _last_true(marks):
    """[n] index of the last true value up to each place; marks[0] must be true."""
    return np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))


def _ms(moment):
    return int(moment.timestamp() * 1000)
