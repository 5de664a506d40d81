"""Sensors of nodes: inlet and CPU temperatures, differential pressure, from exporters, BMCs and other servers."""
