"""Answers about nodes and pods that filters need beyond arrays, kept up to date by the ledger.

``indices.Indices`` owns them: node labels by value (``labels``, ``label_column``), taints and features (``by_value``), pods by
their labels (``pods``), affinity terms of running pods (``terms``) and of an incoming pod (``near``), many selectors at
once (``bulk``), host ports (``ports``).
"""
