"""One module a case: the runs that it needs, and its tables and figures. ``cases`` lists them."""
