"""Files of users: reading them safely, YAML and JSON documents, CSV tables, and writing results."""
