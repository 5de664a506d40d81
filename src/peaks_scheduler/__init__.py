"""peaks-scheduler: puts every pod on the node whose power it raises least, and says so in watts."""

__version__ = "0.1.0"
