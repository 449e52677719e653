"""Keys of the corpus, the tables that are made from it, and the places where everything is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from conf.key import key, text, training_key


@dataclass
class Corpus:
    root: Annotated[str, text("folder with the photos, the captions and the split lists; any URI Spark reads")] = (
        "data/sample"
    )
    photos: Annotated[
        str, text("folder of the photos, relative to corpus.root; auto: the only folder that holds pictures")
    ] = "auto"
    captions: Annotated[
        str, text("caption files, relative to corpus.root, separated by commas; auto: found by their contents")
    ] = "auto"
    columns: Annotated[
        dict[str, str],
        key("columns of the caption files, by name or number, such as {image: file, caption: text, split: set}"),
    ] = field(default_factory=dict)
    encoding: Annotated[str, text("encoding of the caption files, such as cp1252; auto: UTF-8 or UTF-16")] = "auto"
    splits: Annotated[
        dict[str, str],
        key("split lists, relative to corpus.root, such as {train: a.txt, dev: b.txt}; {}: found by name"),
    ] = field(default_factory=dict)
    match: Annotated[
        Literal["exact", "base_name", "ignore_case", "normalised"],
        key(
            "what of a photo's name must be equal in captions and lists; normalised ignores folder, case, form and suffix"
        ),
    ] = "exact"
    dry_run: Annotated[bool, key("show how the corpus is read, and write nothing")] = False
    validation_split: Annotated[
        str,
        text(
            "split that chooses the best epoch; made from the training photos if the corpus has none",
            affects_training=True,
        ),
    ] = "dev"
    validation_fraction: Annotated[
        float, training_key("fraction of the training photos in a validation split made this way", low=0.001, high=0.9)
    ] = 0.1
    max_pixels: Annotated[int, key("largest picture that is decoded, in pixels", low=1)] = 50_000_000
    min_side: Annotated[int, key("smallest allowed width and height of a picture, in pixels", low=1)] = 16
    max_bytes: Annotated[int, key("largest file that is read, in bytes", low=1)] = 64 * 2**20
    strict: Annotated[
        bool, key("refuse greyscale, CMYK, 16-bit and animated pictures instead of converting them to 8-bit RGB")
    ] = False


@dataclass
class Sample:
    photos: Annotated[int, key("number of scenes that draw_sample draws", low=10)] = 400
    seed: Annotated[int, key("seed of the drawn corpus", low=0)] = 0
    side: Annotated[int, key("width and height of a drawn photo, in pixels", low=32, high=4096)] = 224


@dataclass
class Paths:
    warehouse: Annotated[str, text("location of the tables: a path, a URI, or catalog.schema (Delta only)")] = (
        "data/warehouse"
    )
    runs: Annotated[str, text("folder of the training runs; driver and executors read and write it")] = "data/runs"


@dataclass
class Storage:
    format: Annotated[Literal["delta", "parquet"], key("table format")] = "delta"


@dataclass
class Extractor:
    name: Annotated[str, text("network of keras.applications: vgg16, inception_v3, mobilenet_v2, resnet50, ...")] = (
        "vgg16"
    )
    layer: Annotated[str, text("layer whose output is the feature; default: the last layer before the classes")] = (
        "default"
    )
    pooling: Annotated[Literal["none", "avg"], key("avg averages the layer's output over its positions")] = "none"
    weights: Annotated[str, text("imagenet (Keras downloads them), a weights file, or random:SEED")] = "imagenet"
    run_weights: Annotated[
        str,
        text(
            "where caption and explain find the weights of a run's network: auto (where training found them), imagenet or a file"
        ),
    ] = "auto"
    batch_size: Annotated[int, key("photos in one forward pass", low=1)] = 32
    precision: Annotated[Literal["float32", "bfloat16"], key("number format of the network")] = "float32"
    resize: Annotated[
        Literal["antialias", "nearest"],
        key("how photos get the network's size: bilinear with antialiasing, or the nearest pixel as in the thesis"),
    ] = "antialias"
    mirrored: Annotated[
        bool, key("compute the features of mirrored photos too, of which train.mirror_share trains on some")
    ] = False
    recompute: Annotated[bool, key("compute all features again; replaces a table that an earlier version wrote")] = (
        False
    )


@dataclass
class Text:
    min_count: Annotated[
        int, key("smallest number of occurrences in the training captions for a word to be in the vocabulary", low=1)
    ] = 5
    max_length: Annotated[
        int, key("longest caption in LSTM steps (start token and words); longer captions are cut", low=2)
    ] = 34
    max_words: Annotated[int, key("largest number of words in a caption; longer captions are refused", low=1)] = 200
    letters_only: Annotated[
        bool, key("drop one-letter words and words with anything but letters, as the thesis did")
    ] = False
    tokenizer: Annotated[
        Literal["words", "subwords"],
        key("what captions are split into: words, or subwords for languages that are written without spaces"),
    ] = "words"
    max_subwords: Annotated[int, key("largest number of subwords in the vocabulary", low=8)] = 4000

    def __post_init__(self) -> None:
        if self.tokenizer == "subwords" and self.letters_only:
            raise ValueError(
                "text.letters_only: it drops words, and text.tokenizer=subwords has none; set one of them to its default"
            )


@dataclass
class Examples:
    shards: Annotated[int, key("shards of the examples table, which is also the largest number of workers", low=1)] = 16
    rows_per_file: Annotated[
        int, key("largest number of photos in a shard's file (one row group); bounds a worker's memory", low=1)
    ] = 512
