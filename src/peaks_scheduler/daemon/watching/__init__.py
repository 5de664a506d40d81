"""Watches of the API server that fill the ledger, and the audit that compares both."""
