"""Keys of everything that uses a trained run: decoding, scores, comparison, the gate, explanations, cleaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from conf.key import key, text


@dataclass
class Evaluate:
    split: Annotated[str, text("split that is captioned and scored")] = "test"


@dataclass
class Decoding:
    beam_width: Annotated[int, key("beam width; 1 is greedy decoding", low=1, high=50)] = 3
    length_penalty: Annotated[
        float,
        key(
            "exponent of the length by which a caption's log-probability is divided; 0 favours short captions",
            low=0.0,
            high=5.0,
        ),
    ] = 0.7
    no_repeat_ngram_size: Annotated[
        int, key("size of the n-grams that must not occur twice in a caption; 0 allows all", low=0, high=10)
    ] = 0
    batch_size: Annotated[int, key("photos decoded together", low=1)] = 256


@dataclass
class Bootstrap:
    resamples: Annotated[int, key("bootstrap samples of the evaluated photos", low=100, high=100_000)] = 1000
    confidence: Annotated[float, key("confidence level of the reported intervals", low=0.5, high=0.999)] = 0.95
    seed: Annotated[int, key("seed of the bootstrap", low=0)] = 0


@dataclass
class Caption:
    photos: Annotated[str, text("folder of photos to caption, with all folders below it; any URI Spark reads")] = "none"
    output: Annotated[str, text("folder for the captions; with delta also catalog.schema.table")] = "data/captions"
    format: Annotated[Literal["csv", "json", "parquet", "delta"], key("file format of the captions")] = "csv"


@dataclass
class Compare:
    runs: Annotated[str, text("two runs, the baseline first: ids, champion, or latest")] = "champion,latest"


@dataclass
class Gate:
    margin: Annotated[float, key("BLEU-4 (0 to 1) by which a challenger must beat the champion", low=0.0, high=1.0)] = (
        0.0
    )
    confidence: Annotated[float, key("share of the bootstrap samples in which it must do so", low=0.5, high=0.999)] = (
        0.95
    )
    tolerance: Annotated[
        float, key("how far a guard metric (0 to 1) may fall below the champion's", low=0.0, high=1.0)
    ] = 0.01
    min_variety: Annotated[
        float, key("share of the champion's distinct captions that a challenger must have", low=0.0, high=1.0)
    ] = 0.5


@dataclass
class Explain:
    photos: Annotated[
        str, text("photos to explain: a folder, a picture or a .txt list of pictures; auto: the corpus's photos")
    ] = "auto"
    photos_limit: Annotated[int, key("largest number of photos explained, in order of name", low=1, high=1000)] = 4
    output: Annotated[str, text("folder of the explanations; auto: report/explanations in the run's folder")] = "auto"
    smooth_samples: Annotated[int, key("noisy copies of the photo that SmoothGrad averages", low=1, high=1000)] = 12
    smooth_noise: Annotated[
        float, key("standard deviation of their noise, as a share of the photo's range", low=0.0, high=1.0)
    ] = 0.15
    occlusion_patch: Annotated[
        int, key("side of the square that occlusion hides, in pixels of the network's input", low=2)
    ] = 32
    occlusion_stride: Annotated[int, key("pixels by which that square moves", low=1)] = 16
    curve_steps: Annotated[int, key("steps of the deletion and insertion curves", low=2, high=196)] = 8
    random_orders: Annotated[int, key("random maps that the curves are compared with", low=1, high=100)] = 5
    sanity_photos: Annotated[
        int, key("photos explained with randomised weights too; each takes about four times as long", low=0)
    ] = 1
    batch_size: Annotated[
        int, key("copies of a photo in one forward pass; a backward pass takes an eighth of it", low=1)
    ] = 32
    seed: Annotated[int, key("seed of noise, random maps and randomised weights", low=0)] = 0


@dataclass
class External:
    root: Annotated[
        str, text("second corpus, laid out like corpus.root; none: the split evaluate.split of the corpus")
    ] = "none"
    bins: Annotated[
        int, key("equal groups of photos by distance to the training photos and by caption length", low=2, high=20)
    ] = 4
    min_photos: Annotated[
        int, key("smallest number of evaluated photos for an object to be scored on its own", low=2)
    ] = 20
    same_bits: Annotated[
        int, key("largest number of differing bits of two 64-bit perceptual hashes of the same photo", low=0, high=24)
    ] = 8
    words: Annotated[int, key("over- and under-represented words that are listed", low=1, high=1000)] = 15
    seed: Annotated[int, key("seed of the random halves of the training photos", low=0)] = 0


@dataclass
class Clean:
    keep_days: Annotated[
        float, key("days for which checkpoints, table versions and temporary files are kept", low=0.0)
    ] = 30.0
    apply: Annotated[bool, key("delete; otherwise the job only counts what it would delete")] = False


@dataclass
class Log:
    level: Annotated[
        Literal["debug", "info", "warning", "error"], key("smallest severity of the messages on standard error")
    ] = "info"
