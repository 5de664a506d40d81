"""Strategies: the cost of a pod on each node, and the table ``strategies.STRATEGIES``."""
