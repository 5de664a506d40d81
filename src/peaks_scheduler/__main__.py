"""``python -m peaks_scheduler``."""

from .cli import main

main()
