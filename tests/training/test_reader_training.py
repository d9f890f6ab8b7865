"""Training the reader: a step stays on the device that its weights were given on."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models
from torch.nn import functional

from training.reader import batches
from training.reader_network import ADAPTED, LAYERS, WIDTH, ReaderNetwork
from training.reading.lessons import Lesson


def weights(device: str) -> dict[str, torch.Tensor]:
    """Of BERT, by their published names; the widened layer is as narrow as the rest."""
    held = {
        "embeddings.word_embeddings.weight": torch.zeros(200, WIDTH),
        "embeddings.position_embeddings.weight": torch.zeros(64, WIDTH),
        "embeddings.token_type_embeddings.weight": torch.zeros(2, WIDTH),
    }
    norms = ["embeddings"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ADAPTED:
            held |= {f"{layer}.{part}.weight": torch.zeros(WIDTH, WIDTH), f"{layer}.{part}.bias": torch.zeros(WIDTH)}
        norms += [f"{layer}.attention.output", f"{layer}.output"]
    for name in norms:
        held |= {f"{name}.LayerNorm.weight": torch.ones(WIDTH), f"{name}.LayerNorm.bias": torch.zeros(WIDTH)}
    return {name: tensor.to(device) for name, tensor in held.items()}


def test_a_step_keeps_to_the_device_of_the_weights() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    # There may be no GPU here, but torch lets no operation mix "meta" with the CPU, either.
    network = ReaderNetwork(weights("meta"), rank=2)
    lessons = [Lesson("Who came?", ("Ada came.", "It rained."), 0), Lesson("Who left?", ("It rained.",), -1)]
    ((inputs, wanted),) = batches(lessons, tokenizer, network.device)
    functional.cross_entropy(network(*inputs, 2), wanted).backward()
    learnt = [parameter for parameter in network.parameters() if parameter.grad is not None]
    assert learnt
    assert {parameter.device.type for parameter in learnt} == {"meta"}
