"""Inference servers that predict a node's watts, and how the cluster says which node has which."""
