"""The captioner's topologies: what a topology is (`base`), and one module for each that the project has."""
