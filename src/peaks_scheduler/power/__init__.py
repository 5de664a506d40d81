"""Power models: the power of a node as a function of its CPU use.

``curves`` has the kinds of curve, ``table`` the curves of many nodes as arrays. ``models`` says which node has which
model, ``scope`` what part of the machine its watts are of. ``uncertainty`` gives the errors of predicted rises.
``file`` reads the power model file, ``writing`` writes it. Pure.
"""
