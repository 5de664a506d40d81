"""A simulated cluster in which the production scheduler decides, and what its placements cost.

``cluster``, ``workload`` and ``carbon`` say what is simulated, ``replay`` lets time pass and pods be placed, ``energy``
and ``bound`` measure what came of it. All of it is pure: commands read the inputs and write the results.
"""
