"""What runs where: pods, nodes, load and storage, and the arrays that a decision reads. Pure."""
