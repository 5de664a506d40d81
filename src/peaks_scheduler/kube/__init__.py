"""The API server: one connection for reading and writing, and the only code that writes to it.

``connection`` has credentials, sessions and the server's clock; ``client`` the requests; ``events`` what is told about
pods; ``election`` who may write; ``limiter`` how much at once. kopf reads through the same connection
(``as_kopf_login``). Never holds what the core decides on.
"""
