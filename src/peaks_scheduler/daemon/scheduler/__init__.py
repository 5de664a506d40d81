"""The scheduling loop, and what carries a decision out: binding, volumes, events, failures."""
