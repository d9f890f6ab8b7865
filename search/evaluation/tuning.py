"""A space learns from judgements: maps on the query side, kept only where they win queries that they have not seen.

For each judged query, the way from what comes near it now to what is right is learnt (Rocchio's feedback), and carried
over to like queries by kernel ridge regression. How far to go and how much to trust is chosen by cross-validation among
the judged queries; whether the outcome is used is decided on the whole way of a search, each query answered by maps
that were learnt without it. Knows the catalogue, one space and its partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import msgspec
import numpy as np
from msgspec import Struct

from search.active_space import ActiveSpace
from search.arrays import Float32Array, Float64Array, Int64Array
from search.catalog import embeddings, segments
from search.catalog.database import Connection, Database
from search.catalog.feedback.tunings import forget_tuning, store_tuning
from search.catalog.segment_positions import segment_positions
from search.engine import SearchEngine
from search.evaluation.evaluate import Contrast, Evaluation, Measured, Searches, answerable, contrast, measure
from search.evaluation.judgements import JudgedQuery
from search.evaluation.metrics import ndcg
from search.query.parse import parse_query
from search.results import Query, SearchResult
from search.signals import Sense
from search.spaces import query_maps
from search.spaces.query_maps import QueryMap, Tuning
from search.spaces.space import unit_rows

FEWEST_QUERIES = 20  # below it, no held-out part could tell a gain from chance
MOST_QUERIES = 2000
FOLDS = 5
STRENGTHS = (0.25, 0.5, 1.0)
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the kernel's mean diagonal
NEAR = 20  # what comes near a query now, in segments
_BEST_SEGMENTS = 3  # of a long asset: those that the query is nearest to
_POOL = 4000  # vectors that learning is checked against
_SEED = 0
_Trying = Callable[[Tuning], Searches]


class TuningOutcome(Struct, frozen=True, kw_only=True):
    """What came of learning."""

    space: str
    used: bool
    why: str  # for people
    before: Evaluation
    after: Evaluation | None = None  # held out
    gain: Contrast | None = None
    senses: tuple[str, ...] = ()
    reranker: str = ""  # the second look that won, if one was tried
    rerank_gain: Contrast | None = None


class Material(Struct, frozen=True):
    """What one sense has to learn from. Rows are judged queries, `(n, d) float32`."""

    queries: Float32Array
    wanted: Float32Array  # what is right, in the mean; zeros where nothing of it is of this sense
    near: Float32Array  # what comes near now and is not right, in the mean
    pool: Float32Array  # (m, d): vectors to check against
    pool_assets: Int64Array  # (m,)
    relevant: tuple[Mapping[int, int], ...]

    @property
    def known(self) -> Float64Array:
        """Which rows have something right, `(n,) bool`."""
        return np.asarray(self.wanted.any(axis=1) & self.queries.any(axis=1))


def learn(
    engine: SearchEngine,
    judged: Sequence[JudgedQuery],
    *,
    rerank: bool = False,
    listener: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> tuple[TuningOutcome, Tuning]:
    """What the engine's space would learn, and whether it should be used. Stores nothing. Raises UsageError.

    `rerank`: whether the second look that the settings name wins is measured, too.
    """
    queries = answerable(judged)[-MOST_QUERIES:]
    active = engine.active_space
    trying = partial(engine.tried, active=active)
    before = measure("before", trying(Tuning()), queries, listener=lambda done, of: listener("before", done, of))
    maps: dict[Sense, QueryMap] = {}
    outcome = TuningOutcome(
        space=active.record.name,
        used=False,
        why=f"{len(queries)} judged queries have a right answer; {FEWEST_QUERIES} are the least to learn from",
        before=before.evaluation,
    )
    if len(queries) >= FEWEST_QUERIES:
        materials = gather(engine.database, active, queries)
        maps, held_out = _held_out(trying, queries, materials, listener)
        outcome = _judged(outcome, before, held_out, maps)
    tuning = Tuning(maps=maps if outcome.used else {})
    if not rerank:
        return outcome, tuning
    return _with_second_look(trying, engine.second_look, queries, outcome, tuning, listener)


def steps_of(judged: Sequence[JudgedQuery], *, rerank: bool) -> int:
    """How many steps `learn` tells of at most."""
    count = len(answerable(judged)[-MOST_QUERIES:])
    learning = count + FOLDS if count >= FEWEST_QUERIES else 0
    return count + learning + (2 * count if rerank else 0)


def keep(connection: Connection, space_id: int, outcome: TuningOutcome, tuning: Tuning) -> None:
    """Use what was learnt, if any of it won; otherwise the space is as it was made, whatever it had learnt before."""
    if outcome.used or outcome.reranker:
        record = msgspec.json.encode(outcome).decode()
        store_tuning(connection, space_id, query_maps.encode(tuning), record)
    else:
        forget_tuning(connection, space_id)


def gather(database: Database, active: ActiveSpace, queries: Sequence[JudgedQuery]) -> dict[Sense, Material]:
    """What each sense has to learn from, from stored vectors alone."""
    texts = [
        " ".join(part.text for part in parse_query(query.text).parts if part.text and part.weight > 0)
        for query in queries
    ]
    asked = active.space.embed_query_text(texts)
    materials: dict[Sense, Material] = {}
    for sense in Sense:
        vectors = next((asked[signal] for signal in sorted(sense.signals) if signal in asked), None)
        if vectors is not None:
            material = _material(database, active, sense, vectors, queries)
            if material and np.count_nonzero(material.known) >= FEWEST_QUERIES:
                materials[sense] = material
    return materials


def fit(material: Material, rows: Int64Array, strength: float, ridge: float) -> QueryMap:
    """Kernel ridge regression from queries to how they should move, on `rows` `(n,)` of which something is right."""
    rows = rows[material.known[rows]]
    queries = material.queries[rows].astype(np.float64)
    ways = strength * (material.wanted[rows] - material.near[rows]).astype(np.float64)
    mean = queries.mean(axis=0)
    kernel = (queries - mean) @ (queries - mean).T
    trust = max(float(np.trace(kernel)) / len(kernel), 1e-9)
    directions = np.linalg.solve(kernel + ridge * trust * np.eye(len(kernel)), ways)
    return QueryMap(queries.astype(np.float32), directions.astype(np.float32), mean.astype(np.float32))


def choose(material: Material, rows: Int64Array) -> tuple[float, float] | None:
    """The strength and ridge that do best on folds of `rows` `(n,)`; None if none is better than no tuning."""
    rows = rows[material.known[rows]]
    if len(rows) < FEWEST_QUERIES // 2:
        return None
    base = _scores(material, rows, material.queries[rows])
    best, least = None, 0.0
    for strength, ridge in product(STRENGTHS, RIDGES):
        moved = material.queries[rows].copy()
        for fold in _folds(len(rows)):
            learnt = fit(material, np.delete(rows, fold), strength, ridge)
            moved[fold] = learnt(material.queries[rows[fold]])
        gains = _scores(material, rows, moved) - base
        # One standard error above nothing: the best of a dozen is above it by chance often enough.
        sure = float(gains.mean() - gains.std() / np.sqrt(len(gains)))
        if sure > least:
            best, least = (strength, ridge), sure
    return best


def _held_out(
    trying: _Trying,
    queries: Sequence[JudgedQuery],
    materials: Mapping[Sense, Material],
    listener: Callable[[str, int, int], None],
) -> tuple[dict[Sense, QueryMap], Measured | None]:
    """Maps learnt from all queries, and how maps learnt alike do on queries that they have not seen."""
    maps = _fitted(materials, np.arange(len(queries)))
    if not maps:
        return {}, None
    parts = []
    for number, fold in enumerate(_folds(len(queries))):
        tuning = Tuning(maps=_fitted(materials, np.delete(np.arange(len(queries)), fold)))
        parts.append(_Fold(fold, tuning))
        listener("learning", number + 1, FOLDS)
    asked = _ByFold(trying, queries, parts)
    return maps, measure("after", asked, queries, listener=lambda done, of: listener("after", done, of))


def _fitted(materials: Mapping[Sense, Material], rows: Int64Array) -> dict[Sense, QueryMap]:
    chosen = {sense: choose(material, rows) for sense, material in materials.items()}
    return {sense: fit(materials[sense], rows, *how) for sense, how in chosen.items() if how}


def _judged(
    outcome: TuningOutcome, before: Measured, after: Measured | None, maps: Mapping[Sense, QueryMap]
) -> TuningOutcome:
    if after is None:
        return msgspec.structs.replace(outcome, why="nothing that could be learnt helps queries that were held out")
    gain = contrast(before, after)
    error, error_after = before.evaluation.calibration_error, after.evaluation.calibration_error
    worse_calibrated = error is not None and error_after is not None and error_after.low > error.high
    wins = gain.ndcg.mean > 0 and not gain.ndcg.is_noise
    if wins and not worse_calibrated:
        why = "it wins queries that were held out, by more than noise"
    elif wins:
        why = "it ranks better, but its probabilities are clearly further off than before"
    else:
        why = "what it gains on queries that were held out is not to be told from chance"
    return msgspec.structs.replace(
        outcome,
        used=wins and not worse_calibrated,
        why=why,
        after=after.evaluation,
        gain=gain,
        senses=tuple(sense.value for sense in maps),
    )


def _with_second_look(
    trying: _Trying,
    name: str,
    queries: Sequence[JudgedQuery],
    outcome: TuningOutcome,
    tuning: Tuning,
    listener: Callable[[str, int, int], None],
) -> tuple[TuningOutcome, Tuning]:
    plain, looked = (trying(msgspec.structs.replace(tuning, reranker=reranker)) for reranker in ("", name))
    first = measure("without", plain, queries, listener=lambda done, of: listener("without a second look", done, of))
    second = measure("with", looked, queries, listener=lambda done, of: listener("with a second look", done, of))
    gain = contrast(first, second)
    wins = gain.ndcg.mean > 0 and not gain.ndcg.is_noise
    outcome = msgspec.structs.replace(outcome, reranker=name if wins else "", rerank_gain=gain)
    return outcome, msgspec.structs.replace(tuning, reranker=name if wins else "")


class _Fold(Struct, frozen=True):
    rows: Int64Array
    tuning: Tuning


class _ByFold:
    """Answers each query with what was learnt without it."""

    def __init__(self, trying: _Trying, queries: Sequence[JudgedQuery], parts: Sequence[_Fold]) -> None:
        trials = [(trying(part.tuning), part.rows.tolist()) for part in parts]
        self._tried = {queries[row].text: trial for trial, rows in trials for row in rows}

    def search(self, query: Query) -> SearchResult:
        """See `Searches`."""
        return self._tried[query.text].search(query)


def _folds(count: int) -> list[Int64Array]:
    order = np.random.default_rng(_SEED).permutation(count)
    return [part for part in np.array_split(order, FOLDS) if len(part)]


def _scores(material: Material, rows: Int64Array, queries: Float32Array) -> Float64Array:
    """nDCG@10 of each row's query among the pool's assets, `(n,)`."""
    similarities = queries @ material.pool.T
    scores = np.zeros(len(rows))
    for number, row in enumerate(rows.tolist()):
        order = np.argsort(-similarities[number], kind="stable")[: NEAR * 5]
        ranked = list(dict.fromkeys(material.pool_assets[order].tolist()))
        scores[number] = ndcg(ranked, material.relevant[row], 10)
    return scores


def _material(
    database: Database, active: ActiveSpace, sense: Sense, vectors: Float32Array, queries: Sequence[JudgedQuery]
) -> Material | None:
    partitions = [
        partition
        for signal in sense.signals
        if (partition := active.follower.partitions.get(signal)) and len(partition)
    ]
    if not partitions:
        return None
    right = [[asset for asset, grade in judged.relevant.items() if grade > 0] for judged in queries]
    of_assets = _vectors_of_assets(database, active, sense, sorted({asset for group in right for asset in group}))
    wanted, near = np.zeros_like(vectors), np.zeros_like(vectors)
    pool = list(of_assets.values())
    owners = [np.full(len(rows), asset, np.int64) for asset, rows in of_assets.items()]
    for row, query in enumerate(vectors):
        best = [_nearest(of_assets[asset], query) for asset in right[row] if asset in of_assets]
        if best:
            wanted[row] = np.mean(best, axis=0)
        ids = np.concatenate(
            [partition.search(query[None], min(NEAR * 2, len(partition)), None)[1][0] for partition in partitions]
        )
        rows, assets = _stored(database, active, ids[ids >= 0])
        others = ~np.isin(assets, right[row])  # of several right ones none is in the others' way
        if others.any():
            order = np.argsort(-(rows[others] @ query), kind="stable")[:NEAR]
            near[row] = rows[others][order].mean(axis=0)
            if sum(map(len, pool)) < _POOL * 2:
                pool.append(rows[others])
                owners.append(assets[others])
    for partition in partitions:
        ids = partition.ids()
        sample = np.random.default_rng(_SEED).choice(ids, min(len(ids), _POOL), replace=False)
        rows, assets = _stored(database, active, sample)
        if len(rows):
            pool.append(rows)
            owners.append(assets)
    return Material(
        vectors,
        wanted,
        near,
        np.concatenate(pool),
        np.concatenate(owners),
        tuple(judged.relevant for judged in queries),
    )


def _nearest(rows: Float32Array, query: Float32Array) -> Float32Array:
    return np.asarray(rows[np.argsort(-(rows @ query))[:_BEST_SEGMENTS]].mean(axis=0))


def _vectors_of_assets(
    database: Database, active: ActiveSpace, sense: Sense, assets: Sequence[int]
) -> dict[int, Float32Array]:
    """Vectors of the assets' segments of a sense, `(k, d) float32` by asset id; without those that have none."""
    with database.read() as connection:
        owners = {
            segment.id: asset
            for asset in assets
            for segment in segments.segments_of(connection, asset, limit=1000)
            if segment.signal in sense.signals
        }
        ids, rows = embeddings.vectors_of(connection, active.record.id, list(owners))
    vectors: dict[int, list[Float32Array]] = {}
    for segment_id, row in zip(ids.tolist(), rows, strict=True):
        vectors.setdefault(owners[segment_id], []).append(row.astype(np.float32))
    return {asset: unit_rows(np.stack(held)) for asset, held in vectors.items()}


def _stored(database: Database, active: ActiveSpace, ids: Int64Array) -> tuple[Float32Array, Int64Array]:
    """Vectors of segments, `(k, d) float32` unit rows, and whose they are, `(k,)`; of those that are still there."""
    with database.read() as connection:
        stored, rows = embeddings.vectors_of(connection, active.record.id, ids.tolist())
        held = segment_positions(connection, stored.tolist())
    kept = np.array([segment_id in held for segment_id in stored.tolist()], bool)
    assets = np.array([held[segment_id][1] for segment_id in stored[kept].tolist()], np.int64)
    return unit_rows(rows[kept].astype(np.float32)), assets
