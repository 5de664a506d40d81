"""A user's own cluster as nodes and jobs of the simulator, and the answer: what each strategy costs a month.

``dump`` reads ``kubectl get ... -o json``, ``prometheus`` the history of a cluster. ``nodes`` and ``jobs`` make the
simulator's records of API objects; ``staying`` and ``volumes`` say which pods cannot be moved; ``curves`` draws true
curves from the errors of the power models; ``answer`` and ``reasons`` print what came of it.
"""
