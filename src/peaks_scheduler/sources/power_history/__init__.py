"""Measured power of nodes: which series belong to which node, and their values over time."""
