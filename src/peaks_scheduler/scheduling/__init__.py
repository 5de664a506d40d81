"""The decision: filter, score, select; the queue, and which event makes a failed pod schedulable. Pure."""
