"""The makers of segments that the settings ask for, sharing their models.

Knows which module makes which signal; loads nothing until a file needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.fast_transcriber import FastTranscriber
from indexer.ocr import RapidReader, TextReader, TextSegmenter
from indexer.segmenter import MakerFactory, PictureMaker
from indexer.sound import SoundSegmenter
from indexer.speech import SpeechSegmenter
from indexer.torch_transcriber import TorchTranscriber
from indexer.transcriber import Transcriber
from search.errors import SettingsError
from search.settings import Settings


@dataclass(frozen=True)
class Makers:
    """Factories of segment makers for one worker, and the models behind them."""

    factories: Sequence[MakerFactory]  # of everything
    reading: Sequence[MakerFactory]  # of text seen alone, for second visits
    transcriber: Transcriber | None
    reader: TextReader | None

    def release(self) -> None:
        """Let go of the models; they load again when needed."""
        for model in (self.transcriber, self.reader):
            if model:
                model.release()


def open_makers(settings: Settings) -> Makers:
    """Pictures always; speech, sound and text seen as the settings `speech`, `sound` and `ocr` say."""
    factories: list[MakerFactory] = [PictureMaker]
    transcriber = open_transcriber(settings) if settings.speech else None
    reader = RapidReader(settings) if settings.ocr else None
    if transcriber:
        factories.append(lambda: SpeechSegmenter(transcriber, settings.speech_language))
    if settings.sound:
        factories.append(SoundSegmenter)
    reading: list[MakerFactory] = [lambda: TextSegmenter(reader)] if reader else []
    return Makers([*factories, *reading], reading, transcriber, reader)


def open_transcriber(settings: Settings) -> Transcriber:
    """The backend that the setting speech_backend names. Raises SettingsError."""
    match settings.speech_backend:
        case "faster-whisper":
            return FastTranscriber(settings)
        case "openai-whisper":
            return TorchTranscriber(settings)
    raise SettingsError(
        f"the setting speech_backend is {settings.speech_backend!r}; it can be faster-whisper or openai-whisper"
    )
