"""Where would a pod go, and why? The answer of ``peaks-scheduler explain``, live or from files.

``file_objects`` reads objects from files and adds the pods (``made_pods``) that pod ``templates`` would make;
``cluster`` brings together nodes, pods, load and models; ``answer`` asks the core; ``answer_table`` prints the answer.
It uses the same core as the daemon and never writes to the API server.
"""
