"""Load of nodes, use of pods and measured power: one protocol for load (``source``), a module for each source."""
