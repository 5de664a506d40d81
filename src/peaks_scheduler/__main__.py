"""``python -m peaks_scheduler``."""

from peaks_scheduler.cli import main

main()
