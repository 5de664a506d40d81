"""The daemon: kopf's watches feed the ledger, one task decides, workers bind, keepers bring load, models and health.

``main`` is the life of the process, ``wiring`` builds its parts, ``keeper`` says what a source of facts must have,
``status`` answers probes and scrapes.
"""
