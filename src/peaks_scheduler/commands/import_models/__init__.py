"""Power models that others have made, taken over: Kepler's model server, the original plugin, tables of load levels.

``command`` is ``peaks-scheduler import-models``; one module for each origin (``kepler``, ``plugin``, ``levels``) makes
of what it reads the same thing (``imported``): models for nodes or labels, a comment for the head of the file, and
notes on what was odd. A door that reads tables and writes files as ``learn`` does. Nothing that comes from here was
measured on the node it is for, and the file says so.
"""
