"""The scaling study: how long training takes to a target BLEU, for each engine, number of nodes and bandwidth.

    python -m lab.experiments.study lab/experiments/study.yaml

Four parts, each of which goes on where it was stopped: `trajectories` (BLEU after each epoch; no laboratory, since no
bandwidth changes what is learned), `cells` (seconds a step in the laboratory), `crowd` (what the nodes' common machine
costs them) and `faults`. `report` joins them.
"""
