"""What do the predictors say? The answer of ``peaks-scheduler predict``: the power curve of each node as decisions
would use it now, as a table, a picture or a power model file.

``asking`` asks sensors and predictors once, ``node_curve`` is what becomes of a node's answer, ``report``, ``plot`` and
``model_file`` show it. Decides nothing and changes nothing.
"""
