"""Trains anything that implements `udfs.engine.task.Task` with a gang of workers.

The engine imports nothing of the captioner: `task` says what it needs of a model and its examples.
"""
