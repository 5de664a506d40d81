"""Where would a pod go, and why? The answer of ``peaks-scheduler explain``, live or from files.

``reading`` takes objects out of files, and with them the pods (``made_pods``) that ``templates`` would make;
``cluster`` puts nodes, pods, load and models together; ``answer`` puts the question to the core and renders what it
says. A door beside the daemon: it goes through the same core and never writes to the API server.
"""
