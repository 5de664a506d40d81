"""Is everything there that the scheduler needs? The answer of ``peaks-scheduler check``, a line for each check.

``gather`` asks everything at once, ``facts`` is what was answered, ``..._checks`` judge it, ``finding`` is a line. It
reads the same configuration as the daemon, asks the same servers, decides nothing and changes nothing.
"""
