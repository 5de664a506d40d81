"""CSV tables: rows, columns of numbers and times, and rows that are values of series."""
