"""What ``--nodes``, ``--workload`` and ``--carbon`` name, read into the records of ``simulation``."""
