"""Who we are to the API server: kubeconfig, service account, credential plugins, and their renewal."""
