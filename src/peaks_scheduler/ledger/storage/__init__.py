"""Claims, volumes and what stands behind them: which there are, who uses them, and what is to be written for a pod.

``store`` is the picture that filters read, made of ``records`` (``from_api`` gets them from API objects, ``migration``
says what in-tree volumes are as CSI ones). In it ``cache`` lets a pod on its way take volumes and claims, ``pool`` has
the volumes that are still to be had, ``users`` who uses what, ``attachments`` what nodes can still attach. ``plan`` is
what must be written for a pod.
"""
