"""``peaks-scheduler import-models``: imports power models from Kepler's model server, the original plugin, or tables.

``command`` is the command line. One module for each origin (``kepler`` with ``kepler_server`` and ``kepler_weights``,
``plugin``, ``levels`` with ``level_columns``) gives ``imported_models``: models for nodes or labels, a comment for the
top of the file, and notes. No imported model was measured on the node that it is for, and the file says so.
"""
