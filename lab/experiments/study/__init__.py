"""The scaling study: how long training takes to reach a target BLEU, by engine, number of nodes and bandwidth.

    python -m lab.experiments.study lab/experiments/study.yaml

It has five parts, each of which continues where it was interrupted:

- `trajectories`: BLEU after each epoch, outside the laboratory, since bandwidth does not change what is learned.
- `cells`: seconds a step in the laboratory, for each combination of engine, nodes and bandwidth.
- `contention`: how much the nodes slow each other down on their common machine.
- `faults`: what faults cost.
- `report`: joins the measurements into docs/scaling.json, figures and docs/scaling.md.
"""
