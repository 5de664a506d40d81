"""What a workload costs under each strategy: ``peaks-scheduler simulate``."""
