"""An image-text-to-text model of transformers: reads texts as any causal model does, and pictures besides.

Without pictures in a prompt everything is `CausalModel`'s. Knows processors of transformers; knows no library.
Not thread-safe; see Exclusive.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image as Pillow

from search.errors import LanguageModelError
from search.language.causal import CausalModel, cut_at_stop
from search.language.llm import Image, Limits, Prompt
from search.spaces.device import Lanes


class ImageTextModel(CausalModel):
    """A model with its processor."""

    sees = True

    def __init__(self, model: Any, processor: Any, lanes: Lanes | None = None) -> None:
        super().__init__(model, processor.tokenizer, lanes)
        self._processor = processor

    def write(self, prompts: Sequence[Prompt], limits: Limits) -> list[str]:
        """See LanguageModel.write."""
        plain = [prompt for prompt in prompts if not _pictured(prompt)]
        texts = iter(super().write(plain, limits) if plain else [])
        return [self._see(prompt, limits) if _pictured(prompt) else next(texts) for prompt in prompts]

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        """See LanguageModel.stream; what is written about pictures comes in one piece."""
        if _pictured(prompt):
            yield self._see(prompt, limits)
        else:
            yield from super().stream(prompt, limits)

    @torch.inference_mode()
    def _see(self, prompt: Prompt, limits: Limits) -> str:
        pieces = [self._plain(piece) if isinstance(piece, str) else piece for piece in prompt]
        pictures = [Pillow.open(io.BytesIO(piece.data)).convert("RGB") for piece in pieces if isinstance(piece, Image)]
        try:
            inputs = self._inputs(pieces, pictures).to(self._model.device)
            # Pictures are computed in float32; the network may hold fewer bits.
            inputs = inputs.to(self._model.dtype) if hasattr(inputs, "to") else inputs
            written = self._model.generate(**inputs, max_new_tokens=limits.tokens, do_sample=False)
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            raise LanguageModelError(f"the language model can't read the pictures: {_first_line(error)}") from None
        text = self._decode(written[0, inputs["input_ids"].shape[1] :].tolist()).strip()
        cut = cut_at_stop(text, limits)
        return text if cut is None else cut.strip()

    def _inputs(self, pieces: Sequence[Any], pictures: Sequence[Pillow.Image]) -> Any:
        if getattr(self._processor, "chat_template", None):
            shown = iter(pictures)
            content = [
                {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image", "image": next(shown)}
                for piece in pieces
            ]
            return self._processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        mark = self._mark()
        text = "".join(piece if isinstance(piece, str) else mark for piece in pieces)
        return self._processor(text=text, images=list(pictures), return_tensors="pt")

    def _mark(self) -> str:
        """The placeholder for a picture in a text."""
        mark = getattr(self._processor, "image_token", None)
        if not isinstance(mark, str):
            raise LanguageModelError(
                f"{type(self._processor).__name__} has neither a chat template nor an image token: "
                "Medley can't show it pictures"
            )
        return mark

    def _plain(self, text: str) -> str:
        """Words of the library can spell no special token: neither a turn nor a picture."""
        for token in {*self._tokenizer.all_special_tokens, getattr(self._processor, "image_token", None)} - {None, ""}:
            text = text.replace(str(token), " ")
        return text


def _pictured(prompt: Prompt) -> bool:
    return any(isinstance(piece, Image) for piece in prompt)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
