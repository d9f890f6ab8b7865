"""Makes `search/spaces/weights/prior.safetensors`: the centre of the sentence space and the class vectors.

    python -m training.prior ../shared/data

The centre is the mean embedding of a bank of captions. A class vector is the mean of three phrasings
of an ImageNet class (its name, a plain sentence, its WordNet gloss), centred by the mean of all classes.
"""

from __future__ import annotations

import gzip
import importlib.util
import random
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from search.spaces.space import unit_rows
from search.spaces.text.minilm import MiniLM
from search.spaces.weights import SHIPPED, package_folder

SEED = 0
BANK = 10_000  # captions, of 140,638: the mean has settled
GLOSS_CHARACTERS = 200


def main(data: Path) -> None:
    """Write the file; takes about two minutes on one core."""
    model = MiniLM.load()
    with gzip.open(data / "text" / "captions.txt.gz", "rt", encoding="utf-8") as file:
        captions = random.Random(SEED).sample(file.read().splitlines(), BANK)
    names = class_names()
    phrasings = (names, [f"There is a {name} in the picture." for name in names], class_glosses())
    vectors = unit_rows(np.sum([model.encode(phrasing) for phrasing in phrasings], axis=0))
    classes = unit_rows(vectors - vectors.mean(axis=0))
    centre = model.encode(captions).mean(axis=0)
    SHIPPED.mkdir(exist_ok=True)
    save_file({"classes": classes.astype(np.float16), "centre": centre}, SHIPPED / "prior.safetensors")


def class_names() -> list[str]:
    """The 1000 names, in the network's order, as OpenAI cleaned them for CLIP."""
    path = package_folder("open_clip", "open_clip_torch") / "zero_shot_metadata.py"
    # The file alone: importing its package would import torchvision.
    spec = importlib.util.spec_from_file_location("zero_shot_metadata", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.IMAGENET_CLASSNAMES)


def class_glosses() -> list[str]:
    """Lemmas with WordNet's definition, in the network's order."""
    folder = package_folder("timm", "timm") / "data" / "_info"
    lines = (folder / "imagenet_synset_to_definition.txt").read_text("utf-8").splitlines()
    definitions = dict(line.split("\t", 1) for line in lines)
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines()
    lemmas = dict(line.split("\t", 1) for line in lines)
    order = (folder / "imagenet_synsets.txt").read_text("utf-8").split()
    return [f"{lemmas[synset]}: {definitions[synset]}"[:GLOSS_CHARACTERS] for synset in order]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
