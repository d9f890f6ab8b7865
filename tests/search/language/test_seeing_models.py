"""Larger models that see: pictures reach them, bounded and only where they may go; what they say is checked."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from PIL import Image as Pillow
from support.language_world import WordModel, WordPointer, WordReader, embed, pictured, spoken

from search.errors import TransientMediaError
from search.language.answerer import Answerer
from search.language.backends import open_language_model
from search.language.llm import Image, LanguageModel, Limits, Prompt, Request
from search.language.prompt_pictures import MAX_FRAMES, MAX_PICTURES, SIDE, PromptPictures
from search.language.question_planning import plan_question
from search.language.span_scoring import SpanScorer
from search.results import Answer, Hit, Kind
from search.settings import Settings
from search.signals import Signal

LIMITS = Limits(tokens=8, stop=(), chat=True)
BRIDGE = "The bridge over the river was opened in nineteen fifty-two."


def picture(colour: str) -> Image:
    data = io.BytesIO()
    Pillow.new("RGB", (60, 40), colour).save(data, "JPEG")
    return Image(data.getvalue())


# A local image-text-to-text model of transformers.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llava of random weights and its processor."""
    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("tiny-llava")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(["<|end|>", "<image>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|end|>",
        additional_special_tokens=["<image>"],
    )
    shown = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        shown,
        fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    torch.manual_seed(3)
    text = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=1))
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 0
    model.float().save_pretrained(folder)
    return folder


@pytest.fixture
def local(settings: Settings, checkpoint: Path) -> Iterator[LanguageModel]:
    model = open_language_model(msgspec.structs.replace(settings, llm=str(checkpoint), device="cpu"))
    yield model
    model.release()


def test_a_local_model_that_sees_writes_about_pictures_and_still_reads_and_scores(local: LanguageModel) -> None:
    assert local.sees
    red, blue = local.write([(picture("red"), " What is it?"), (picture("blue"), " What is it?")], LIMITS)
    assert red != blue
    assert list(local.stream((picture("red"), " What is it?"), LIMITS)) == [red]
    assert len(local.write([("No picture.",), (picture("red"), picture("blue"), " Compare.")], LIMITS)) == 2
    assert local.score(("abc",), [Request((), "def")])[0].tokens == 3


def test_words_can_not_spell_a_picture(local: LanguageModel) -> None:
    said, spelled = (
        local.write([(f"The sign reads {words}: ", picture("red"))], LIMITS)[0] for words in (" ", "<image>")
    )
    assert said == spelled


def test_a_local_model_is_shown_no_picture_where_none_may_be(settings: Settings, checkpoint: Path) -> None:
    model = open_language_model(msgspec.structs.replace(settings, llm=str(checkpoint), llm_pictures="never"))
    assert not model.sees


# A server that speaks OpenAI's language.


class Server(BaseHTTPRequestHandler):
    bodies: ClassVar[list[dict[str, Any]]] = []
    blind: ClassVar[int] = 0  # status with which pictures are refused

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        pictures = not isinstance(body["messages"][0]["content"], str) and "image_url" in str(body)
        self.send_response(self.blind if self.blind and pictures else 200)
        self.end_headers()
        event = json.dumps({"choices": [{"delta": {"content": "A red door."}}]})
        self.wfile.write(f"data: {event}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def address() -> Iterator[str]:
    Server.bodies, Server.blind = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("where", "pictures", "sees"),
    [
        ("http://127.0.0.1:11434/v1", "local", True),
        ("http://localhost:11434/v1", "local", True),
        ("http://[::1]:8000/v1", "local", True),
        ("https://api.openai.com/v1", "local", False),
        ("http://127.0.0.1.example.com/v1", "local", False),
        ("http://192.168.1.7:8000/v1", "local", False),
        ("https://api.openai.com/v1", "always", True),
        ("http://127.0.0.1:11434/v1", "never", False),
    ],
)
def test_pictures_leave_this_machine_only_where_the_setting_says_so(
    settings: Settings, where: str, pictures: str, sees: bool
) -> None:
    changed = msgspec.structs.replace(settings, llm="openai:m", llm_base_url=where, llm_pictures=pictures)
    assert open_language_model(changed).sees is sees


@pytest.mark.parametrize("status", [400, 415, 422, 500])
def test_a_server_that_refuses_pictures_is_asked_without_them(settings: Settings, address: str, status: int) -> None:
    model = open_language_model(msgspec.structs.replace(settings, llm="openai:blind", llm_base_url=address))
    Server.blind = status
    assert model.sees
    assert model.write([("What is it?", picture("red"))], Limits()) == ["A red door."]
    assert not model.sees
    assert len(Server.bodies) == 2
    assert "image_url" not in str(Server.bodies[-1])


# Which pictures.


def files(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
    if asset_id == 404:
        raise TransientMediaError("is on a disk that is not there")
    data = io.BytesIO()
    Pillow.new("RGB", (3000, 2000), (int(seconds or 0), 10 * asset_id % 255, 0)).save(data, "PNG")
    return data.getvalue()


def test_pictures_are_bounded_in_number_and_pixels() -> None:
    hits = [pictured(f"{n}.jpg", n) for n in range(1, 9)]
    shown = PromptPictures(files).of([spoken("words"), pictured("gone.jpg", 404), *hits])
    assert [picture.name for picture in shown] == [f"{n}.jpg" for n in range(1, MAX_PICTURES + 1)]
    for picture in shown:
        assert picture.image.media_type == "image/jpeg"
        assert max(Pillow.open(io.BytesIO(picture.image.data)).size) <= SIDE


def test_a_document_is_shown_at_the_page_that_matches() -> None:
    asked: list[int | None] = []

    def noting(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        asked.append(page)
        return files(asset_id, seconds, side, page)

    still = pictured("contract.pdf", 5)
    moment = msgspec.structs.replace(still.moments[0], signal=Signal.TEXT, page=7)
    asset = msgspec.structs.replace(still.asset, kind=Kind.DOCUMENT)
    assert len(PromptPictures(noting).of([Hit(asset=asset, relevance=0.8, moments=(moment,))])) == 1
    assert asked == [7]


def test_a_video_is_shown_at_its_best_moments() -> None:
    still = pictured("film.mp4", 5)
    moments = [
        msgspec.structs.replace(still.moments[0], signal=signal, start_seconds=float(at))
        for at, signal in enumerate([Signal.SPEECH, Signal.FRAME, Signal.FRAME, Signal.FRAME], start=10)
    ]
    video = msgspec.structs.replace(still.asset, kind=Kind.VIDEO)
    film = Hit(asset=video, relevance=0.8, moments=tuple(moments))
    shown = PromptPictures(files).of([film])
    assert [picture.moment.start_seconds for picture in shown] == [11.0, 12.0][:MAX_FRAMES]


# What such a model says.


class SeeingModel(WordModel):
    """Writes what it is told to, and says of a picture shown alone what it is told to."""

    def __init__(self, says: str, shows: str = "Yes.") -> None:
        super().__init__(says, name="large", scores=False, sees=True)
        self.shows = shows
        self.prompts: list[Prompt] = []

    def write(self, given: Sequence[Prompt], limits: Limits) -> Sequence[str]:
        self.prompts += given
        return [self.shows for _ in given]

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        self.prompts.append(prompt)
        yield from super().stream(prompt, limits)


def ask(question: str, hits: list[Hit], model: WordModel) -> Answer:
    scorer = SpanScorer(WordReader(), WordPointer(), embed)
    one = Answerer(model, embed, "starter", scorer, pictures=PromptPictures(files))
    return one.answer(plan_question(question), hits, {})


def test_a_model_that_sees_answers_from_the_picture_as_an_impression() -> None:
    model = SeeingModel("The collar is red [1].")
    answer = ask("What colour is the dog's collar?", [pictured("dog.jpg", 3)], model)
    assert answer.answer == "The collar is red, as dog.jpg seems to show. [1]"
    assert answer.citations[0].path == "dog.jpg"
    written, checked = model.prompts
    assert sum(isinstance(piece, Image) for piece in written) == 1
    assert isinstance(checked[0], Image)


def test_what_the_picture_does_not_carry_is_not_said_and_the_source_is_quoted() -> None:
    model = SeeingModel("The bridge is made of gold [1].", shows="No.")
    hits = [spoken(BRIDGE), pictured("bridge.jpg", 3)]
    answer = ask("When was the bridge over the river opened?", hits, model)
    assert answer.answer == f"“{BRIDGE}” [1]"


@pytest.mark.parametrize("says", ["It belongs to Walter Brown [1].", "There are 4711 birds [1]."])
def test_names_and_numbers_are_not_read_off_a_picture(says: str) -> None:
    answer = ask("What is on the sign?", [pictured("sign.jpg", 3)], SeeingModel(says))
    assert "Brown" not in answer.answer
    assert "4711" not in answer.answer


def test_a_model_that_does_not_see_is_shown_nothing() -> None:
    model = WordModel("NOT FOUND", name="large", sees=False)
    ask("What colour is the dog's collar?", [pictured("dog.jpg", 3), spoken(BRIDGE)], model)
    assert "Image(" not in "".join(model.seen)


def test_who_asks_what_was_said_gets_words_and_no_picture_is_sent() -> None:
    model = SeeingModel("NOT FOUND")
    ask("What did she say about the bridge?", [pictured("bridge.jpg", 3), spoken(BRIDGE)], model)
    assert not any(isinstance(piece, Image) for prompt in model.prompts for piece in prompt)
