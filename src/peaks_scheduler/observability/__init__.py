"""What operators see of this process: Prometheus metrics, HTTP endpoints, logs."""
