"""What the daemon and the commands can be told, and where: flags, environment, file, in that order of rank.

``subjects`` has the dataclasses, ``keys`` the table of names, ``reading`` makes the ones out of the others,
``combinations`` says what cannot work together, ``plugin`` reads a KubeSchedulerConfiguration.
"""
