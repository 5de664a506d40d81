"""``peaks-scheduler demo``: the real daemon against an embedded cluster, and a table at the end."""
