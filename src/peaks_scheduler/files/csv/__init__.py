"""CSV tables: reading their text, finding the header, and columns of numbers and of times."""
