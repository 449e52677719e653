"""Every key that a job understands, with its type, default, bounds and meaning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

MONITORS = ("val_loss", "bleu4")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamax", "adamw")


def setting(default: Any, meaning: str, *, choices: tuple = (), low: float | None = None, high: float | None = None):
    """A field that knows what it means and which values are possible."""
    return field(default=default, metadata={"meaning": meaning, "choices": choices, "low": low, "high": high})


def section(kind: type):
    return field(default_factory=kind)


@dataclass
class Corpus:
    root: str = setting("data/sample", "folder with the photos, the captions and the split lists; any URI Spark reads")
    photos: str = setting("auto", "folder of the photos under corpus.root; auto takes the only one that holds pictures")
    captions: str = setting("auto", "caption file under corpus.root: *.token.txt, an image,caption CSV or a COCO JSON")
    max_pixels: int = setting(50_000_000, "a picture with more pixels is refused before it is decoded", low=1)
    min_side: int = setting(16, "a picture with a shorter side (pixels) is refused", low=1)
    max_bytes: int = setting(64 * 2**20, "a file with more bytes is refused without being read", low=1)
    convert: bool = setting(False, "accept grey, CMYK, 16-bit and animated pictures by converting them to 8-bit RGB")


@dataclass
class Sample:
    photos: int = setting(400, "number of scenes that draw_sample draws", low=10)
    seed: int = setting(0, "seed of the drawn corpus", low=0)
    side: int = setting(224, "width and height of a drawn photo, in pixels", low=32, high=4096)


@dataclass
class Paths:
    warehouse: str = setting("data/warehouse", "where the tables are: a path or URI, or catalog.schema (Delta only)")
    runs: str = setting("data/runs", "folder of the training runs, readable and writable by driver and executors")


@dataclass
class Storage:
    format: str = setting("delta", "table format", choices=("delta", "parquet"))


@dataclass
class Extractor:
    name: str = setting("vgg16", "network of keras.applications: vgg16, inception_v3, mobilenet_v2, resnet50, ...")
    layer: str = setting("default", "layer whose output is the feature; default: the network's last before the classes")
    pooling: str = setting("none", "avg averages a layer's output over its positions", choices=("none", "avg"))
    weights: str = setting("imagenet", "imagenet (downloaded by Keras), a weights file, or random:SEED")
    batch_size: int = setting(32, "photos in one forward pass", low=1)
    precision: str = setting("float32", "number format of the network", choices=("float32", "bfloat16"))
    recompute: bool = setting(False, "compute every photo's feature again, also those that are in the table")


@dataclass
class Text:
    min_count: int = setting(5, "a word seen fewer times in the training captions becomes the unknown token", low=1)
    max_length: int = setting(34, "longest caption in LSTM steps (start token and words); the rest is cut off", low=2)
    max_words: int = setting(200, "a caption with more words is refused", low=1)
    letters_only: bool = setting(False, "drop one-letter words and words with other than letters, as the thesis did")


@dataclass
class Examples:
    shards: int = setting(16, "shards of the examples table; no run can have more workers", low=1)
    rows_per_file: int = setting(512, "most photos in one file (row group) of a shard; bounds a worker's memory", low=1)


@dataclass
class Model:
    embedding_dim: int = setting(256, "size of a word's embedding", low=1)
    lstm_units: int = setting(256, "size of the LSTM's state and of the dense layers", low=1)
    dropout: float = setting(0.5, "share of embedding and photo features dropped in training", low=0.0, high=0.99)
    tie_embeddings: bool = setting(
        False, "one matrix for the words' embeddings and the softmax; model.lstm_units must equal model.embedding_dim"
    )


@dataclass
class Run:
    id: str = setting(
        "auto",
        "run that the job works for; auto: training takes a fingerprint, explain the champion, others the latest run; "
        "champion: the promoted one",
    )


@dataclass
class Train:
    workers: int = setting(2, "executor tasks that train together", low=1)
    epochs: int = setting(20, "passes over the training captions", low=1)
    batch_size: int = setting(512, "global batch size of a step, in captions", low=1)
    length_window: int = setting(
        0, "batches among which captions of similar length are brought together; 0: lengths are mixed", low=0
    )
    learning_rate: float = setting(
        1e-3, "learning rate of the optimizer, at the start where a schedule lowers it", low=1e-12
    )
    learning_rate_schedule: str = setting(
        "constant",
        "course of the learning rate over all steps; the others end at 0",
        choices=("constant", "cosine", "linear", "exponential"),
    )
    learning_rate_decay: float = setting(
        0.8, "factor of the learning rate each epoch, with the schedule exponential", low=1e-6, high=1.0
    )
    optimizer: str = setting("adam", "Keras optimizer", choices=OPTIMIZERS)
    clip_norm: float = setting(0.0, "clip the global norm of the reduced gradient; 0 does not clip", low=0.0)
    l1: float = setting(0.0, "times the sum of |w| over all weight matrices is added to the mean loss", low=0.0)
    l2: float = setting(0.0, "times the sum of w^2 over all weight matrices is added to the mean loss", low=0.0)
    weight_decay: float = setting(
        0.0, "share of each weight matrix, times the learning rate, taken off at each update; adamw needs one", low=0.0
    )
    label_smoothing: float = setting(
        0.0, "share of the next word's probability that training spreads over the vocabulary", low=0.0, high=0.99
    )
    ema_momentum: float = setting(
        0.0,
        "validate and keep a moving average of the weights, of which each update keeps this share, such as 0.98; 0: the weights",
        low=0.0, high=0.9999,
    )  # fmt: skip
    seed: int = setting(0, "seed of initial weights, order and dropout", low=0)
    initial_bias: str = setting(
        "zeros",
        "bias of the logits at the start; frequencies: of each word's share of the training captions, which otherwise the first "
        "steps have to learn",
        choices=("zeros", "frequencies"),
    )
    validation_split: str = setting(
        "dev", "split that chooses the best epoch; made from train where the corpus has none"
    )
    validation_share: float = setting(0.1, "share of the training photos for a made split", low=0.001, high=0.9)
    validation_bleu: bool = setting(True, "caption the validation photos after each epoch and score them with BLEU")
    validation_beam_width: int = setting(
        1,
        "hypotheses kept while these are captioned; 1 is greedy, whose BLEU swings more between epochs",
        low=1,
        high=50,
    )
    monitor: str = setting("val_loss", "what the best epoch is best in", choices=MONITORS)
    patience: int = setting(0, "epochs without a better one after which training stops; 0: never early", low=0)
    precision: str = setting(
        "float32",
        "number format of weights and gradients; mixed_bfloat16 computes in bfloat16 on weights of float32",
        choices=("float32", "float64", "mixed_bfloat16"),
    )
    deterministic: bool = setting(True, "use operations that give the same bits each time")
    collectives: str = setting("ring", "how sums travel; on GPUs ring means NCCL", choices=("ring", "auto"))
    sync_every: int = setting(1, "steps whose gradients are summed before they are exchanged for one update", low=1)
    average_every: int = setting(
        0,
        "updates that each worker makes on its own before all weights are averaged (local SGD), once more at an epoch's end; "
        "0: the gradients of each update are exchanged",
        low=0,
    )
    outer_momentum: float = setting(
        0.0, "Nesterov momentum of the averages in local SGD; 0: plain means", low=0.0, high=0.99
    )
    all_reduce: str = setting(
        "full", "number format in which gradients or weights travel", choices=("full", "bfloat16", "float16")
    )
    embedding_gradient: str = setting(
        "dense",
        "how the embedding's gradient travels; auto sends the rows of the words that occurred where that is less",
        choices=("dense", "auto"),
    )
    gradient_rank: int = setting(
        0, "each matrix of the gradient travels as two thin ones of this rank (PowerSGD); 0: whole", low=0
    )
    gradient_sides: int = setting(
        2,
        "how many of those two travel at each step; 1: left and right in turn, in half the messages (ACP-SGD)",
        low=1,
        high=2,
    )
    checkpoint_every: int = setting(200, "steps between checkpoints inside an epoch; 0: only at its end", low=0)
    keep_checkpoints: int = setting(2, "newest checkpoints kept in the run folder", low=1)
    max_restarts: int = setting(3, "times the gang is started again after a lost or stalled worker", low=0)
    restart_pause: float = setting(2.0, "seconds before the first restart; doubled for each further one", low=0.0)
    start_timeout: float = setting(300.0, "seconds the gang may take to assemble", low=1.0)
    stall_timeout: float = setting(300.0, "seconds a worker may take for a step", low=1.0)
    progress_seconds: float = setting(
        30.0, "seconds between lines of progress where there is no terminal; 0: none", low=0.0
    )
    lease_timeout: float = setting(
        60.0, "seconds without a sign after which another driver may go on with the run", low=3.0
    )
    take_over: bool = setting(False, "take the run from a driver that still holds it")
    allow_plain_grpc: bool = setting(False, "train although Spark's network is encrypted and TensorFlow's is not")


@dataclass
class Tracking:
    mlflow: str = setting("auto", "MLflow tracking URI; auto takes the variable MLFLOW_TRACKING_URI, none logs nothing")
    experiment: str = setting("captioner", "MLflow experiment")


@dataclass
class Evaluate:
    split: str = setting("test", "split that is captioned and scored")
    beam_width: int = setting(3, "hypotheses kept while decoding; 1 is greedy", low=1, high=50)
    length_exponent: float = setting(
        0.7,
        "a hypothesis's log-probability is divided by its length to this power; 0 favours short ones",
        low=0.0,
        high=5.0,
    )
    no_repeated_trigram: bool = setting(False, "never generate three words in a row that the caption has already")
    batch_size: int = setting(256, "photos decoded together", low=1)


@dataclass
class Caption:
    photos: str = setting("none", "folder of photos to caption, of any depth; any URI Spark reads")
    output: str = setting("data/captions", "folder for the captions; with delta also catalog.schema.table")
    format: str = setting("csv", "what is written there", choices=("csv", "json", "parquet", "delta"))
    weights: str = setting(
        "auto", "the run's extractor weights; auto: from where they were in training, or imagenet or a file as it moved"
    )


@dataclass
class Compare:
    runs: str = setting("champion,auto", "two runs, the one to beat first: ids, champion, or auto for the latest")
    resamples: int = setting(1000, "bootstrap samples of the evaluated photos", low=100, high=100_000)
    confidence: float = setting(0.95, "share of the samples inside a reported interval", low=0.5, high=0.999)
    seed: int = setting(0, "seed of the bootstrap", low=0)


@dataclass
class Gate:
    margin: float = setting(0.0, "BLEU-4 (0 to 1) by which a challenger must beat the champion", low=0.0, high=1.0)
    confidence: float = setting(0.95, "share of the bootstrap samples in which it must do so", low=0.5, high=0.999)
    tolerance: float = setting(0.01, "how far a guard metric (0 to 1) may fall below the champion's", low=0.0, high=1.0)


@dataclass
class Explain:
    photos: str = setting(
        "auto", "photos to explain: a folder, a picture or a .txt list of them; auto: the corpus's photos"
    )
    photos_limit: int = setting(4, "photos explained, in order of their names", low=1, high=1000)
    output: str = setting("auto", "folder of the explanations; auto: report/explanations in the run's folder")
    smooth_samples: int = setting(12, "noisy copies of the photo that SmoothGrad averages over", low=1, high=1000)
    smooth_noise: float = setting(0.15, "their noise, as a share of the photo's range", low=0.0, high=1.0)
    occlusion_patch: int = setting(32, "side of the square that occlusion hides, in the network's pixels", low=2)
    occlusion_stride: int = setting(16, "pixels by which that square moves", low=1)
    curve_steps: int = setting(8, "steps of the deletion and insertion curves", low=2, high=196)
    random_orders: int = setting(5, "random orders that the curves are compared with", low=1, high=100)
    sanity_photos: int = setting(
        1, "photos explained with randomised weights too, which costs as much again thrice", low=0
    )
    batch_size: int = setting(
        32, "changed copies of a photo in one forward pass; a backward pass takes an eighth", low=1
    )
    seed: int = setting(0, "seed of noise, random orders and randomised weights", low=0)


@dataclass
class External:
    root: str = setting(
        "none", "second corpus, laid out like corpus.root, for validate_externally; none: evaluate.split"
    )
    bins: int = setting(
        4, "equal groups of photos by distance to the training photos, and by caption length", low=2, high=20
    )
    min_photos: int = setting(20, "an object named in fewer evaluated photos is not scored by itself", low=2)
    same_bits: int = setting(
        8, "photos whose 64-bit perceptual hashes differ in so many bits or fewer count as the same", low=0, high=24
    )
    words: int = setting(15, "over- and under-represented words that are listed", low=1, high=1000)
    seed: int = setting(0, "seed of the random halves of the training photos", low=0)


@dataclass
class Clean:
    keep_days: float = setting(30.0, "days that checkpoints, table versions and leftovers are kept", low=0.0)
    apply: bool = setting(False, "delete; otherwise only count what would be deleted")


@dataclass
class Settings:
    corpus: Corpus = section(Corpus)
    sample: Sample = section(Sample)
    paths: Paths = section(Paths)
    storage: Storage = section(Storage)
    extractor: Extractor = section(Extractor)
    text: Text = section(Text)
    examples: Examples = section(Examples)
    model: Model = section(Model)
    run: Run = section(Run)
    train: Train = section(Train)
    tracking: Tracking = section(Tracking)
    evaluate: Evaluate = section(Evaluate)
    caption: Caption = section(Caption)
    compare: Compare = section(Compare)
    gate: Gate = section(Gate)
    explain: Explain = section(Explain)
    external: External = section(External)
    clean: Clean = section(Clean)


# What may be typed for keys on the command line; one that several jobs have sets it for all of them.
SHORT = {"run": ("run.id",), "runs": ("compare.runs",), "photos": ("caption.photos", "explain.photos")}


def fields_by_key() -> dict[str, dataclasses.Field]:
    """Every key as `section.name` with the field that describes it."""
    keys = {}
    for group in dataclasses.fields(Settings):
        for item in dataclasses.fields(group.default_factory):
            keys[f"{group.name}.{item.name}"] = item
    return keys
