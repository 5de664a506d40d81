"""Where load and measured power come from: one protocol (``source``), a module for each source."""
