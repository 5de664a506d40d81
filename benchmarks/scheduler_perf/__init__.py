"""kube-scheduler's own performance cases (``scheduler_perf``), run for both schedulers on a real API server.

The cases are read where Kubernetes' Go module lies, nothing of them is copied. ``reading`` finds and selects them,
``operations`` and ``templates`` make ``steps`` of them, ``objects`` makes what a step creates, ``creating`` creates it
by ``client``, ``run`` drives a scheduler through the steps, ``throughput`` computes the figure, ``part`` measures both
schedulers and makes the table.
"""
