"""A Prometheus server: its HTTP API, its answers, and the nodes' load from it."""
