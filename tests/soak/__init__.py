"""Does the scheduler keep its size? A long run of churn on a real control plane: ``python -m tests.soak``."""
