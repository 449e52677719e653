"""The network laboratory: a virtual cluster of network namespaces with limited links, running Spark's standalone mode.

Only this folder needs root. The jobs that run in the laboratory do not depend on it.
"""

from lab.cluster.laboratory import Laboratory
from lab.cluster.settings import LaboratorySettings, load_settings

__all__ = ["Laboratory", "LaboratorySettings", "load_settings"]
