"""Keys of the model, its training, and what happens when a worker fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from conf.key import key, text, training_key


@dataclass
class Run:
    id: Annotated[
        str,
        text(
            "run that the job works for: an id, latest, champion, or auto. With auto, training names the run by a "
            "fingerprint of its settings and tables, and jobs that read a run take the latest"
        ),
    ] = "auto"


@dataclass
class Model:
    topology: Annotated[
        str,
        text(
            "architecture of the captioner: merge, attention or transformer (both need feature maps), or package.module:Class",
            affects_training=True,
        ),
    ] = "merge"
    options: Annotated[
        dict[str, float], training_key("further sizes of the topology, such as {heads: 8, key_dim: 512} of attention")
    ] = field(default_factory=dict)
    normalise: Annotated[
        Literal["none", "centred", "standardised"],
        training_key(
            "features minus their mean over the training photos, divided by one standard deviation (centred) or by that of "
            "each channel (standardised)",
            original="none",
        ),
    ] = "centred"
    embedding_dim: Annotated[int, training_key("size of a word's embedding", low=1)] = 256
    lstm_units: Annotated[int, training_key("size of the LSTM's state and of the dense layers", low=1)] = 256
    dropout: Annotated[
        float, training_key("fraction of embeddings and photo features dropped in training", low=0.0, high=0.99)
    ] = 0.5
    tie_embeddings: Annotated[
        bool,
        training_key(
            "share one matrix between embedding and softmax; the merge model needs lstm_units equal to embedding_dim"
        ),
    ] = False
    initial_bias: Annotated[
        Literal["zeros", "frequencies"],
        training_key("initial bias of the logits; frequencies: the log of each word's share of the training captions"),
    ] = "zeros"

    def __post_init__(self) -> None:
        if self.topology == "merge" and self.tie_embeddings:
            self._check_tied_merge()

    def _check_tied_merge(self) -> None:
        """The merge model's last hidden state is multiplied with the embeddings, without a bias."""
        if self.embedding_dim != self.lstm_units:
            raise ValueError(
                f"model.tie_embeddings: found embedding_dim {self.embedding_dim} and lstm_units {self.lstm_units}, expected "
                "equal sizes, since one matrix serves both ends; change one of them"
            )
        if self.initial_bias != "zeros":
            raise ValueError(
                "model.initial_bias: tied embeddings (model.tie_embeddings) have no bias in the merge model; set it to zeros, "
                "or untie them"
            )


@dataclass
class Train:
    workers: Annotated[int, key("Spark tasks that train together", low=1)] = 2
    objective: Annotated[
        Literal["cross_entropy", "self_critical"],
        training_key(
            "what is optimised; self_critical: the scores of captions that the model draws (docs/self_critical.md)"
        ),
    ] = "cross_entropy"
    start_from: Annotated[
        str, text("finished run whose weights training begins with; none: new weights", affects_training=True)
    ] = "none"
    second_phase: Annotated[
        dict[str, Any],
        training_key(
            "keys with other values for a second training, which begins with the weights of the first: "
            "{train.objective: self_critical, optimizer.learning_rate: 1e-4}; only keys that affect training"
        ),
    ] = field(default_factory=dict)
    epochs: Annotated[
        int, training_key("epochs; each is a pass over the training examples, or train.steps_per_epoch steps", low=1)
    ] = 20
    steps_per_epoch: Annotated[
        int, training_key("steps after which an epoch ends and the validation photos are scored; 0: a pass", low=0)
    ] = 0
    batch_size: Annotated[int, training_key("global batch size of a step, in train.batch_unit", low=1)] = 512
    batch_unit: Annotated[
        Literal["captions", "photos"],
        training_key("what a batch is counted in; photos: all captions of a photo are in the same batch"),
    ] = "captions"
    mirror_share: Annotated[
        float,
        training_key(
            "share of the training photos that are seen mirrored, drawn anew in each pass; needs extractor.mirrored",
            low=0.0,
            high=1.0,
        ),
    ] = 0.0
    bucket_by_length: Annotated[
        int, training_key("batches across which captions are grouped by length; 0 mixes all lengths", low=0)
    ] = 0
    seed: Annotated[int, training_key("seed of initial weights, shuffling and dropout", low=0)] = 0
    validation_bleu: Annotated[
        bool, training_key("generate captions for the validation photos after each epoch and compute BLEU")
    ] = True
    validation_beam_width: Annotated[
        int, training_key("beam width for these captions; 1 is greedy, whose BLEU varies more", low=1, high=50)
    ] = 1
    monitor: Annotated[Literal["val_loss", "bleu4"], training_key("metric that chooses the best epoch")] = "val_loss"
    patience: Annotated[int, training_key("epochs without improvement before training stops; 0 never stops", low=0)] = 0
    precision: Annotated[
        Literal["float32", "float64", "mixed_bfloat16"],
        training_key("dtype of weights and gradients; mixed_bfloat16 computes in bfloat16 on float32 weights"),
    ] = "float32"
    deterministic: Annotated[bool, training_key("use only operations that give the same bits every time")] = True
    cache_bytes: Annotated[
        int,
        key(
            "bytes of examples that each worker keeps in memory once it has read them; the rest is read every epoch",
            low=0,
        ),
    ] = 512 * 2**20
    progress_seconds: Annotated[
        float, key("seconds between progress lines when there is no terminal; 0 prints none", low=0.0)
    ] = 30.0

    def __post_init__(self) -> None:
        if self.monitor == "bleu4" and not self.validation_bleu:
            raise ValueError("train.monitor: found bleu4, but train.validation_bleu is false; set it to true")
        if self.objective == "self_critical" and self.batch_unit != "photos":
            raise ValueError(
                "train.batch_unit: self-critical training compares the captions of a photo, which must be in one batch; set it "
                "to photos"
            )


@dataclass
class SelfCritical:
    samples: Annotated[int, training_key("captions that are drawn of each photo", low=2, high=50)] = 5
    temperature: Annotated[float, training_key("temperature at which they are drawn", low=0.05, high=10.0)] = 1.0
    bleu_weight: Annotated[
        float, training_key("what a sentence BLEU-4 of 1 earns beside CIDEr-D, which is at most 10", low=0.0)
    ] = 1.0
    bleu1_weight: Annotated[float, training_key("what a sentence BLEU-1 of 1 earns besides", low=0.0)] = 0.0
    cross_entropy_weight: Annotated[
        float, training_key("share of the references' cross-entropy in the objective", low=0.0, high=1.0)
    ] = 0.2


@dataclass
class Optimizer:
    name: Annotated[
        Literal["sgd", "adam", "adamw", "adamax", "rmsprop", "adagrad"], training_key("Keras optimizer")
    ] = "adam"
    momentum: Annotated[float, training_key("momentum of sgd", low=0.0, high=0.9999)] = 0.0
    nesterov: Annotated[bool, training_key("Nesterov momentum for sgd")] = False
    learning_rate: Annotated[float, training_key("learning rate, before the schedule reduces it", low=1e-12)] = 1e-3
    schedule: Annotated[
        Literal["constant", "cosine", "linear", "exponential"],
        training_key("learning rate schedule over all steps; cosine and linear end at 0"),
    ] = "constant"
    warmup_steps: Annotated[
        int, training_key("updates over which the learning rate grows from 0 to what the schedule says", low=0)
    ] = 0
    decay: Annotated[
        float, training_key("factor of the learning rate per epoch, with schedule exponential", low=1e-6, high=1.0)
    ] = 0.8
    clip_norm: Annotated[float, training_key("largest global norm of the gradient; 0 does not clip", low=0.0)] = 0.0
    l1: Annotated[float, training_key("weight of the sum of |w| over all weight matrices in the loss", low=0.0)] = 0.0
    l2: Annotated[float, training_key("weight of the sum of w^2 over all weight matrices in the loss", low=0.0)] = 0.0
    weight_decay: Annotated[
        float, training_key("decoupled weight decay of the weight matrices; adamw needs a value", low=0.0)
    ] = 0.0
    label_smoothing: Annotated[
        float, training_key("share of a target's probability spread evenly over the vocabulary", low=0.0, high=0.99)
    ] = 0.0
    ema_decay: Annotated[
        float,
        training_key(
            "decay of an exponential moving average of the weights, which is validated and saved; 0 uses the weights",
            low=0.0,
            high=0.9999,
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.name == "adamw" and not self.weight_decay:
            raise ValueError("optimizer.weight_decay: found 0, and adamw is adam without it; set it, 0.004 for example")
        if self.name != "sgd" and self.momentum:
            raise ValueError(
                f"optimizer.momentum: found {self.momentum} with optimizer.name={self.name}, expected it with sgd only; "
                "set it to 0"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov: found true without momentum; set optimizer.momentum, 0.9 for example")


@dataclass
class Communication:
    gradient_accumulation_steps: Annotated[
        int, training_key("steps whose gradients are summed before one all-reduce and one update", low=1)
    ] = 1
    local_sgd_steps: Annotated[
        int,
        training_key(
            "updates that each worker makes alone before the weights are averaged (local SGD); 0 all-reduces every gradient",
            low=0,
        ),
    ] = 0
    outer_momentum: Annotated[
        float, training_key("Nesterov momentum of the averaged updates in local SGD", low=0.0, high=0.99)
    ] = 0.0
    dtype: Annotated[
        Literal["full", "bfloat16", "float16"],
        training_key("dtype in which gradients or weights are sent; full: as they are"),
    ] = "full"
    powersgd_rank: Annotated[
        int,
        training_key(
            "rank of the two factors that are sent for each gradient matrix (PowerSGD); 0 sends it whole", low=0
        ),
    ] = 0
    sparse_embedding: Annotated[
        bool, training_key("send only the rows of the embedding's gradient that are not zero, if that is smaller")
    ] = False
    collectives: Annotated[
        Literal["ring", "auto"], training_key("TensorFlow's all-reduce implementation; on GPUs ring means NCCL")
    ] = "ring"

    def __post_init__(self) -> None:
        if self.powersgd_rank and self.local_sgd_steps:
            raise ValueError(
                "communication.powersgd_rank: communication.local_sgd_steps sends no gradients; set one of them to 0"
            )


@dataclass
class Recovery:
    checkpoint_every: Annotated[
        int, key("steps between checkpoints within an epoch; 0 writes one at its end only", low=0)
    ] = 200
    keep_checkpoints: Annotated[int, key("number of newest checkpoints kept in the run folder", low=1)] = 2
    max_restarts: Annotated[int, key("restarts after a lost or stalled worker", low=0)] = 3
    restart_pause: Annotated[float, key("seconds before the first restart; doubles for each further one", low=0.0)] = (
        2.0
    )
    start_timeout: Annotated[float, key("seconds within which all workers must have started", low=1.0)] = 300.0
    stall_timeout: Annotated[float, key("seconds within which a worker must complete a step", low=1.0)] = 300.0
    lease_timeout: Annotated[
        float, key("seconds without a heartbeat after which another driver may resume the run", low=3.0)
    ] = 60.0
    take_over: Annotated[bool, key("take the run from a driver that still holds it")] = False
    allow_plain_grpc: Annotated[bool, key("train even though Spark's network is encrypted and TensorFlow's is not")] = (
        False
    )


@dataclass
class Tracking:
    mlflow: Annotated[str, text("MLflow tracking URI; auto: the variable MLFLOW_TRACKING_URI; none: no logging")] = (
        "auto"
    )
    experiment: Annotated[str, text("MLflow experiment")] = "captioner"
