"""Small randomly initialised models of real architectures, written to disk as their makers would."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.spaces import torchvision_schemas

BASE = ("<pad>", "<s>", "</s>", "<unk>")
_SAID = "a dog cat red blue query passage yes no user system assistant of on the beach is with : , . ?"
WORDS = tuple(_SAID.split(" "))
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
OPEN_CLIP: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 96, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m.role }} {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    # Before anything imports transformers: torchvision's operators may be missing.
    torchvision_schemas.declare_missing()


def _seeded() -> None:
    import torch

    torch.manual_seed(1)


def tokenizer(special: Sequence[str] = (), longest: int = 64) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((*BASE, *special, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=longest,
        additional_special_tokens=list(special),
    )


def llama(heads: int = 4, key_heads: int = 2) -> Any:
    """A decoder of eight layers, 16 wide, over the words of `tokenizer`."""
    from transformers import LlamaConfig, LlamaModel

    _seeded()
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 8}
    shape |= {"num_attention_heads": heads, "num_key_value_heads": key_heads, "attn_implementation": "sdpa"}
    return LlamaModel(LlamaConfig(vocab_size=len(tokenizer()), **shape)).eval()


def save_bert(folder: Path, prompts: dict[str, str] | None = None) -> Path:
    """Words alone, with the prompts that sentence-transformers' own configuration names."""
    from transformers import BertConfig, BertModel

    _seeded()
    words = tokenizer()
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **SMALL)).save_pretrained(folder)
    words.save_pretrained(folder)
    if prompts:
        _as_sentence_transformer(folder, prompts)
    return folder


def save_gemma(folder: Path) -> Path:
    """The text model of EmbeddingGemma: Gemma 3, pooled by the mean, with prompts."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    _seeded()
    words = tokenizer()
    config = Gemma3TextConfig(
        vocab_size=len(words), head_dim=8, num_key_value_heads=1, use_bidirectional_attention=True, **SMALL
    )
    Gemma3TextModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    _as_sentence_transformer(folder, {"query": "query : ", "document": "passage : "})
    return folder


def save_clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    _seeded()
    words = tokenizer(longest=16)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    text = {**SMALL, **ends, "vocab_size": len(words), "max_position_embeddings": 16}
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, words).save_pretrained(folder)
    return folder


def imported_open_clip() -> Any:
    """open_clip, once search.spaces has made it importable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("search.spaces.clip")
        return importlib.import_module("open_clip")


def save_open_clip(folder: Path) -> Path:
    """A folder as the hub has them: configuration and safetensors."""
    from safetensors.torch import save_file

    open_clip = imported_open_clip()
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": OPEN_CLIP, "preprocess_cfg": {}}))
    _seeded()
    model = open_clip.CLIP(OPEN_CLIP["embed_dim"], OPEN_CLIP["vision_cfg"], OPEN_CLIP["text_cfg"])
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_llama(folder: Path) -> Path:
    """A causal language model that knows WORDS."""
    from transformers import LlamaConfig, LlamaForCausalLM

    _seeded()
    words = tokenizer()
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"vocab_size": len(words), "num_hidden_layers": 3, "initializer_range": 0.3}
    config = LlamaConfig(**SMALL | ends | sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    _seeded()
    words = tokenizer()
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 64, "projection_size": 16}
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), words).save_pretrained(folder)
    return folder


def save_clap(folder: Path) -> Path:
    """Sounds at 48 kHz, and words."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    _seeded()
    words = tokenizer()
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 70, "projection_dim": 12}
    audio = {
        "num_mel_bins": 64, "spec_size": 256, "hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1],
        "num_attention_heads": [1, 2], "window_size": 8, "num_hidden_layers": 2, "projection_dim": 12,
    }  # fmt: skip
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    ClapProcessor(ClapFeatureExtractor(truncation="rand_trunc"), words).save_pretrained(folder)
    return folder


def save_qwen_vl(folder: Path, *, generates: bool = False) -> Path:
    """Qwen3-VL-Embedding's architecture, or that of Qwen3-VL-Reranker, which `generates` yes or no."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLModel,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    _seeded()
    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>")
    words = tokenizer(special, longest=512)
    start, end, image, video = words.convert_tokens_to_ids(list(special[:4]))
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    text = SMALL | {"vocab_size": len(words), "num_hidden_layers": 2, "num_key_value_heads": 1, "head_dim": 8}
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "patch_size": 8,
        "spatial_merge_size": 2, "out_hidden_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64,
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )
    (Qwen3VLForConditionalGeneration if generates else Qwen3VLModel)(config).save_pretrained(folder)
    pictures = Qwen2VLImageProcessor(patch_size=8, size={"shortest_edge": 256, "longest_edge": 4096})
    Qwen3VLProcessor(pictures, words, Qwen3VLVideoProcessor(patch_size=8), chat_template=TEMPLATE).save_pretrained(
        folder
    )
    return folder


def save_cross_encoder(folder: Path) -> Path:
    """A BERT that reads a query and a passage together and gives one number."""
    from transformers import BertConfig, BertForSequenceClassification

    _seeded()
    words = tokenizer()
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, **SMALL | {"num_labels": 1})
    BertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_seeing_reranker(generating: Path, folder: Path) -> Path:
    """A generating Qwen3-VL as a cross-encoder: the logarithm of how much likelier yes is than no."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    reader = Transformer(str(generating), transformer_task="any-to-any")
    yes, no = reader.tokenizer.convert_tokens_to_ids(["yes", "no"])
    CrossEncoder(modules=[reader, LogitScore(true_token_id=yes, false_token_id=no)], device="cpu").save_pretrained(
        str(folder)
    )
    return folder


def _as_sentence_transformer(folder: Path, prompts: dict[str, str]) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
