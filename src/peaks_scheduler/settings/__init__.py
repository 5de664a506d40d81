"""Settings of the daemon and the commands. An option beats the environment, which beats the configuration file.

``table`` lists every setting with its names, type of value and meaning; ``settings`` has the dataclasses and the
defaults. ``loading`` makes the one out of the other, ``combinations`` checks settings against each other, ``options``
makes options of the command line, ``kube_scheduler_configuration`` reads a KubeSchedulerConfiguration.
"""
