"""Text for people: messages, tables and progress on a terminal, and foreign text made safe to print."""
