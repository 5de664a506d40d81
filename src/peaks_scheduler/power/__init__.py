"""Power models: what a node draws as a function of its CPU use (``curves``), many nodes at once (``table``), which node
has which model and how well it is known (``models``), of what its watts are (``scope``), and the file that says so
(``file``, ``writing``)."""
