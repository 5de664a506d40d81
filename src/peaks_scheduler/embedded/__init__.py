"""An API server, kubelets and a load-watcher inside this process, for the demo and the tests. Loopback only."""
