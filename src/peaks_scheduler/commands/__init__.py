"""The commands beside the daemon, a package for each."""
