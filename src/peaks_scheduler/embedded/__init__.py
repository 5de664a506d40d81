"""An API server, kubelets and a load-watcher in this process, for the demo and the tests. Loopback only."""
