"""What keeps outside facts up to date: load, models, pod usage, clocks, measured power."""
