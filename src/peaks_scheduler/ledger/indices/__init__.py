"""What filters ask about nodes and pods beyond arrays, kept up to date by the ledger.

``indices.Indices`` is the way in. Behind it: node labels (``labels``, ``label_column``), taints and features
(``by_value``), pods by their labels (``pods``), affinity terms of existing pods (``terms``) and of an incoming pod
(``near``), many selectors at once (``bulk``), host ports (``ports``).
"""
