"""The makers of segments that the settings ask for, sharing their models.

Knows which module makes which signal; loads nothing until a file needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from indexer.segmenting.document_text import DocumentSegmenter
from indexer.segmenting.faster_whisper_backend import FasterWhisperTranscriber
from indexer.segmenting.ocr import RapidReader, TextReader, TextSegmenter
from indexer.segmenting.onnx_asr_backend import OnnxTranscriber
from indexer.segmenting.openai_whisper_backend import OpenAIWhisperTranscriber
from indexer.segmenting.segmenter import MakerFactory, PictureMaker
from indexer.segmenting.sound import SoundSegmenter
from indexer.segmenting.speech import SpeechSegmenter
from indexer.segmenting.transcriber import Transcriber
from indexer.segmenting.written import WrittenSegmenter
from search.settings import Settings


@dataclass(frozen=True)
class Makers:
    """Factories of segment makers for one worker, and the models they use."""

    factories: Sequence[MakerFactory]  # of everything
    reading: Sequence[MakerFactory]  # of text seen alone, for second visits
    transcriber: Transcriber | None
    reader: TextReader | None

    def release(self) -> None:
        """Release the models; they load again when needed."""
        for model in (self.transcriber, self.reader):
            if model:
                model.release()


def open_makers(settings: Settings) -> Makers:
    """The makers for pictures, and for speech, sound and text if `speech`, `sound` and `ocr` are set."""
    factories: list[MakerFactory] = [PictureMaker, WrittenSegmenter, DocumentSegmenter]
    transcriber = open_transcriber(settings) if settings.speech else None
    reader = RapidReader(settings) if settings.ocr else None
    if transcriber:
        factories.append(lambda: SpeechSegmenter(transcriber, settings.speech_language))
    if settings.sound:
        factories.append(SoundSegmenter)
    reading: list[MakerFactory] = [lambda: TextSegmenter(reader)] if reader else []
    return Makers([*factories, *reading], reading, transcriber, reader)


def open_transcriber(settings: Settings) -> Transcriber:
    """The backend that the setting speech_backend names."""
    match settings.speech_backend:
        case "faster-whisper":
            return FasterWhisperTranscriber(settings)
        case "openai-whisper":
            return OpenAIWhisperTranscriber(settings)
        case "onnx-asr":
            return OnnxTranscriber(settings)
        case never:
            assert_never(never)
