"""How the workers of a gang keep their weights equal, one object per way.

`choose_communication` picks it once. The training loop sees `Communication` only.
"""

from udfs.engine.communication.choice import choose_communication
from udfs.engine.communication.protocol import Communication

__all__ = ["Communication", "choose_communication"]
