"""Our credentials for the API server: kubeconfig, service account, credential plugins, and their renewal."""
