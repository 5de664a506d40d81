"""JSON schemas of the objects that scheduling reads, and their validation."""
