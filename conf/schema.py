"""The jobs' configuration: all sections, the rules across sections, and names that have changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.sections.data import Corpus, Examples, Extractor, Paths, Sample, Storage, Text
from conf.sections.results import (
    Bootstrap,
    Caption,
    Clean,
    Compare,
    Decoding,
    Evaluate,
    Explain,
    External,
    Gate,
    Log,
)
from conf.sections.sweep import Sweep
from conf.sections.training import Communication, Model, Optimizer, Recovery, Run, SelfCritical, Tracking, Train

__all__ = [
    "REMOVED",
    "RENAMED",
    "SHORT_NAMES",
    "Bootstrap",
    "Caption",
    "Clean",
    "Communication",
    "Compare",
    "Corpus",
    "Decoding",
    "Evaluate",
    "Examples",
    "Explain",
    "External",
    "Extractor",
    "Gate",
    "Log",
    "Model",
    "Optimizer",
    "Paths",
    "Recovery",
    "Run",
    "Sample",
    "Settings",
    "Storage",
    "Sweep",
    "Text",
    "Tracking",
    "Train",
]


@dataclass
class Settings:
    corpus: Corpus = field(default_factory=Corpus)
    sample: Sample = field(default_factory=Sample)
    paths: Paths = field(default_factory=Paths)
    storage: Storage = field(default_factory=Storage)
    extractor: Extractor = field(default_factory=Extractor)
    text: Text = field(default_factory=Text)
    examples: Examples = field(default_factory=Examples)
    run: Run = field(default_factory=Run)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    self_critical: SelfCritical = field(default_factory=SelfCritical)
    optimizer: Optimizer = field(default_factory=Optimizer)
    communication: Communication = field(default_factory=Communication)
    recovery: Recovery = field(default_factory=Recovery)
    tracking: Tracking = field(default_factory=Tracking)
    sweep: Sweep = field(default_factory=Sweep)
    evaluate: Evaluate = field(default_factory=Evaluate)
    decoding: Decoding = field(default_factory=Decoding)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    compare: Compare = field(default_factory=Compare)
    gate: Gate = field(default_factory=Gate)
    caption: Caption = field(default_factory=Caption)
    explain: Explain = field(default_factory=Explain)
    external: External = field(default_factory=External)
    clean: Clean = field(default_factory=Clean)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        if self.optimizer.ema_decay and self.communication.local_sgd_steps:
            raise ValueError(
                "optimizer.ema_decay: workers that update alone (communication.local_sgd_steps) share no moving average; "
                "set one of them to 0"
            )


# Short names on the command line. A short name sets every key listed for it.
SHORT_NAMES = {
    "run": ("run.id",), "runs": ("compare.runs",), "photos": ("caption.photos", "explain.photos"),
    "dry_run": ("corpus.dry_run",),
}  # fmt: skip

# Keys of version 0.1 and their names since. Messages and the records of old runs use it.
RENAMED = {
    "train.optimizer": "optimizer.name",
    "train.learning_rate": "optimizer.learning_rate",
    "train.learning_rate_schedule": "optimizer.schedule",
    "train.learning_rate_decay": "optimizer.decay",
    "train.clip_norm": "optimizer.clip_norm",
    "train.l1": "optimizer.l1",
    "train.l2": "optimizer.l2",
    "train.weight_decay": "optimizer.weight_decay",
    "train.label_smoothing": "optimizer.label_smoothing",
    "train.ema_momentum": "optimizer.ema_decay",
    "train.sync_every": "communication.gradient_accumulation_steps",
    "train.average_every": "communication.local_sgd_steps",
    "train.outer_momentum": "communication.outer_momentum",
    "train.all_reduce": "communication.dtype",
    "train.gradient_rank": "communication.powersgd_rank",
    "train.embedding_gradient": "communication.sparse_embedding",
    "train.collectives": "communication.collectives",
    "train.checkpoint_every": "recovery.checkpoint_every",
    "train.keep_checkpoints": "recovery.keep_checkpoints",
    "train.max_restarts": "recovery.max_restarts",
    "train.restart_pause": "recovery.restart_pause",
    "train.start_timeout": "recovery.start_timeout",
    "train.stall_timeout": "recovery.stall_timeout",
    "train.lease_timeout": "recovery.lease_timeout",
    "train.take_over": "recovery.take_over",
    "train.allow_plain_grpc": "recovery.allow_plain_grpc",
    "train.validation_split": "corpus.validation_split",
    "train.validation_share": "corpus.validation_fraction",
    "train.length_window": "train.bucket_by_length",
    "train.initial_bias": "model.initial_bias",
    "evaluate.beam_width": "decoding.beam_width",
    "evaluate.length_exponent": "decoding.length_penalty",
    "evaluate.no_repeated_trigram": "decoding.no_repeat_ngram_size",
    "evaluate.batch_size": "decoding.batch_size",
    "compare.resamples": "bootstrap.resamples",
    "compare.confidence": "bootstrap.confidence",
    "compare.seed": "bootstrap.seed",
    "caption.weights": "extractor.run_weights",
}

# Keys of version 0.1 that are gone, with what to do.
REMOVED = {
    "corpus.convert": "corpus.strict replaces it with the opposite meaning: pictures are converted unless it is true",
    "train.gradient_sides": "it was removed, since PowerSGD always sends both factors; leave it out",
}
