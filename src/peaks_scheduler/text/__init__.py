"""Text for people: messages, terminals, and what others wrote made safe to print."""
