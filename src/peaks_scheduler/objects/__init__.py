"""What the API server tells us: pods, nodes, quantities, selectors. Frozen values; pure."""
