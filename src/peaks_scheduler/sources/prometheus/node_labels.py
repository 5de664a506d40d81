"""The labels that name the node of a series, in the order in which they are tried."""

NODE_LABELS = ("node", "node_name", "nodename", "kubernetes_node", "instance")
"""The first of these that a series has names its node."""


def node_labels(first: str | None) -> tuple[str, ...]:
    """NODE_LABELS, with ``first`` (a setting) before them."""
    return NODE_LABELS if first is None else (first, *(each for each in NODE_LABELS if each != first))
