"""The files of a training run's folder, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training run.

    Example:
        >>> RunFolder("file:///data/runs/ID").model
        'file:///data/runs/ID/model.keras'

    Args:
        uri: The folder's path or URI, without a trailing slash.
    """

    uri: str

    @property
    def config(self) -> str:
        """All settings of the training, as YAML."""
        return f"{self.uri}/config.yaml"

    @property
    def about(self) -> str:
        """What the run is: its identity, and the extractor of its features (JSON)."""
        return f"{self.uri}/run.json"

    @property
    def vocabulary(self) -> str:
        """The tokens in order of token_id, what they are (words or subwords), and the longest caption (JSON)."""
        return f"{self.uri}/vocabulary.json"

    @property
    def subwords(self) -> str:
        """The model that splits captions into subwords; only if the tokens are subwords."""
        return f"{self.uri}/subwords.model"

    @property
    def metrics(self) -> str:
        """One JSON line per epoch."""
        return f"{self.uri}/metrics.jsonl"

    @property
    def model(self) -> str:
        """The model of the best epoch."""
        return f"{self.uri}/model.keras"

    @property
    def training(self) -> str:
        """The outcome of a finished training (JSON)."""
        return self.job_line("train")

    @property
    def judgement(self) -> str:
        """The gate's last decision and its basis (JSON)."""
        return f"{self.uri}/judgement.json"

    @property
    def mlflow(self) -> str:
        """The MLflow run that this run is logged to (JSON)."""
        return f"{self.uri}/mlflow.json"

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints."""
        return f"{self.uri}/checkpoints"

    @property
    def attempts(self) -> str:
        """Folder of the attempts at training the run, one file each."""
        return f"{self.uri}/attempts"

    @property
    def heartbeat(self) -> str:
        """The last heartbeat of the driver that holds the run (JSON)."""
        return f"{self.attempts}/beat.json"

    @property
    def external(self) -> str:
        """Folder of the comparisons with other populations, one JSON file each."""
        return f"{self.uri}/external"

    @property
    def page(self) -> str:
        """The run's page."""
        return f"{self.uri}/report/index.html"

    @property
    def explanations(self) -> str:
        """Folder of the explanations that the page shows."""
        return f"{self.uri}/report/explanations"

    def checkpoint(self, name: str) -> str:
        return f"{self.checkpoints}/{name}"

    def attempt(self, number: int) -> str:
        return f"{self.attempts}/{number:06d}.json"

    def tensorboard(self, epoch: int) -> str:
        """TensorBoard's event file of an epoch."""
        return f"{self.uri}/tensorboard/events.out.tfevents.{epoch:010d}.captioner"

    def evaluation(self, split: str) -> str:
        """The scores of a split and what they follow from (JSON)."""
        return f"{self.uri}/evaluate-{split}.json"

    def population(self, name: str) -> str:
        """The comparison of the training photos with another population (JSON)."""
        return f"{self.external}/{name}.json"

    def job_line(self, job: str) -> str:
        """The JSON line that a job printed for this run."""
        return f"{self.uri}/{job}.json"
