"""Is everything there that the scheduler needs? The answer of ``peaks-scheduler check``, a line for each thing.

``reading`` asks everything at once; ``cluster``, ``load`` and ``models`` judge what came; ``finding`` is a line. A door
beside the daemon: it reads the same configuration and reaches the same servers, decides nothing and changes nothing.
"""
