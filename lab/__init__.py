"""The network laboratory: a virtual cluster of network namespaces with capped links, and Spark's standalone mode inside it.

Nothing outside this folder needs root, and nothing that runs inside the laboratory knows of it.
"""

from lab.cluster.laboratory import Laboratory
from lab.cluster.settings import Settings, load

__all__ = ["Laboratory", "Settings", "load"]
