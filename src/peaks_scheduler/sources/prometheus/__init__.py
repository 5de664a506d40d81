"""A Prometheus server: its HTTP API, its answers, and load from it."""
