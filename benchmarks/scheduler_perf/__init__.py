"""kube-scheduler's own performance cases (``scheduler_perf``), run for both schedulers on a real API server.

The cases are read where Kubernetes' Go module lies, nothing of them is copied. ``reading`` finds and selects them,
``operations`` and ``templates`` understand their steps, ``objects`` makes what a step creates, ``run`` drives a
scheduler through them, ``throughput`` computes their figure, ``part`` measures both schedulers and makes the table.
"""
