"""Hard constraints: one pure function a filter, and the ordered table ``filters.FILTERS``."""
