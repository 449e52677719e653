"""The virtual cluster: hosts, links, limits, Spark, and observation of a training in it."""
