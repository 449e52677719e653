"""What the executors run. `__version__` is the version of the whole project."""

__version__ = "0.2.0"
