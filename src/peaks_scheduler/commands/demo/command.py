"""The whole thing on one machine, no cluster: embedded API server, load endpoint and kubelets around the real daemon.

Owns everything that only exists to show or to test the scheduler. ``stage`` puts the parts together; ``apiserver`` is
also what tests of the Kubernetes client talk to. Listens on loopback only. Nothing outside this package and the command
line may import it, and it never reaches into the daemon: they meet over HTTP.
"""


def run_demo(nodes: int, pods: int, seed: int) -> int:
    """Show the scheduler at work on ``nodes`` made-up nodes and ``pods`` pods. Returns the command's exit code.

    0 when every pod was bound, 1 with the end of the daemon's log otherwise, 130 after ctrl-C. Raises
    ConfigurationError for numbers of nodes and pods that make no sense.
    """
    # here and not above: who only wants the API server should not load what the stage needs
    from . import stage

    return stage.run_demo(nodes, pods, seed)


__all__ = ["run_demo"]
