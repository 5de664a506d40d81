"""The types that the core relies on, checked on every object that arrives."""
