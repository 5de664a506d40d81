"""Files that people write and read: text in any encoding, YAML and JSON documents, CSV tables. All bounded."""
