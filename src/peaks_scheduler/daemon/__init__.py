"""The daemon: kopf's watches feed the ledger, one task decides, workers bind, keepers keep load and models fresh.

``main.run`` wires it and names every task of the process.
"""
