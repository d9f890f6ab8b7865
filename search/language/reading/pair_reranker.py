"""A second look by a cross-encoder: a third-party model that reads a query and an item together.

Any cross-encoder of sentence-transformers by name or folder, and models that see pictures too, of the kind of
Qwen3-VL-Reranker. What such a model's scores mean is known to nobody before it has been measured on a library, so it
orders hits together with the ranking, half and half. Knows hits and pictures; knows no space.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from search.arrays import FloatArray
from search.errors import LanguageModelError, MediaError, NotFoundError
from search.language.looking import PictureFiles
from search.language.reranker import MAX_HITS, dealt_anew, logit
from search.results import Hit, Kind
from search.runtime.lazy import Exclusive
from search.settings import Settings
from search.spaces.encoders.foreign_weights import find_files, missing_extra, why_not

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PICTURE_SIDE = 512
_BATCH = 16


class PairReranker:
    """Re-sorts hits. Thread-safe; loads its model at first use."""

    def __init__(self, settings: Settings, pictures: PictureFiles) -> None:
        self._model = Exclusive(lambda: load(settings), settings.idle_release_seconds)
        self._pictures = pictures

    def rerank(self, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """Hits in a better order, best first. What the model can't read keeps its place. Raises LanguageModelError."""
        looked = hits[:MAX_HITS]
        with self._model.use() as model:
            read = [
                (position, item) for position, hit in enumerate(looked) if (item := self._item(model, hit)) is not None
            ]
            if len(read) < 2:
                return tuple(hits)
            scores = _scores(model, question, [item for _, item in read])
        places = [position for position, _ in read]
        before = logit(np.array([looked[position].relevance for position in places]))
        order = np.argsort(-(_standard(before) + _standard(scores)), kind="stable")
        return dealt_anew(hits, places, order.tolist())

    def score_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1], in the order given. Raises LanguageModelError."""
        if not texts:
            return []
        with self._model.use() as model:
            scores = _scores(model, query, [{"text": text} for text in texts])
        return [float(score) for score in 1 / (1 + np.exp(-scores))]

    def release(self) -> None:
        """Release the model; it loads again when needed."""
        self._model.release()

    def _item(self, model: CrossEncoder, hit: Hit) -> dict[str, Any] | None:
        if not hit.moments:
            return None
        first = hit.moments[0]
        if first.text:
            return {"text": first.text}
        if not model.supports("image") or hit.asset.kind == Kind.AUDIO:
            return None
        try:
            data = self._pictures(int(hit.asset.id), first.start_seconds, PICTURE_SIDE, first.page)
            return {"image": Image.open(io.BytesIO(data)).convert("RGB")}
        except (NotFoundError, MediaError, OSError):
            return None  # the file is away; its hit stays where it was


def load(settings: Settings) -> CrossEncoder:
    """The model that the setting `reranker` names. Raises LanguageModelError."""
    name = settings.reranker
    files = find_files(name, settings, error=LanguageModelError)
    try:
        # Imported here because torch and the library take seconds.
        import torch

        from search.spaces.device import choose_device, choose_dtype
        from search.spaces.torchvision_schemas import declare_missing

        declare_missing()
        from sentence_transformers import CrossEncoder
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise LanguageModelError(missing_extra()) from None
    disable_progress_bar()
    device = choose_device(settings.device)
    try:
        model: CrossEncoder = CrossEncoder(
            str(files.folder),
            device=str(device),
            local_files_only=True,
            trust_remote_code=False,
            activation_fn=torch.nn.Identity(),
            model_kwargs={"use_safetensors": True, "dtype": choose_dtype(device)},
        )
    except Exception as error:
        raise LanguageModelError(f"the reranker (setting reranker) {why_not(name, error)}") from error
    if model.num_labels != 1:
        raise LanguageModelError(f"{name} (setting reranker) gives {model.num_labels} numbers for a pair, not one")
    model.eval()
    return model


def _scores(model: CrossEncoder, query: str, items: Sequence[dict[str, Any]]) -> FloatArray:
    """Items are named by their kind, unless the model knows words alone: see `search.spaces.encoders.encoder`."""
    sees = model.supports("image")
    # In batches of one kind: a model that sees reads pictures and words in different forms.
    kinds = [next(iter(item)) for item in items]
    scores = np.zeros(len(items))
    for kind in dict.fromkeys(kinds):
        rows = [row for row, other in enumerate(kinds) if other == kind]
        pairs = [({"text": query}, items[row]) if sees else (query, items[row]["text"]) for row in rows]
        try:
            predict: Callable[..., FloatArray] = model.predict
            scores[rows] = predict(pairs, batch_size=_BATCH, show_progress_bar=False)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            raise LanguageModelError(f"the reranker can't read this: {error}") from error
    return scores


def _standard(values: FloatArray) -> FloatArray:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6))
