"""What runs where: pods, nodes, load, storage and signals, and the arrays that a decision reads. Pure."""
