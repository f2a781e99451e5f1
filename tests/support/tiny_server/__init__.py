"""The smallest server that stands on the chassis: keys in a table, and notes that their authors write and read."""
