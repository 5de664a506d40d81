"""Claims, volumes and related objects: which exist, which pods use them, and what must be written for a pod.

``store`` is what filters read, made of ``records``; ``from_api`` reads these from API objects, ``migration`` translates
in-tree volumes to CSI. Behind the store: ``assume_cache`` has what is assumed for a pod, ``pool`` the volumes that are
free, ``users`` the pods that use a claim or disk, ``attachments`` how many volumes nodes can still attach. ``plan`` is
what must be written for a pod.
"""
