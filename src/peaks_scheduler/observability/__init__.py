"""What others see of us: Prometheus metrics, HTTP endpoints, logs."""
