"""The client of the API server: one connection for reading and writing. No other package writes to the API server.

``login`` loads and renews our credentials, ``http`` sends a request. ``client`` has one method for each request,
``decoding`` reads its answer. ``reflector`` follows all objects of a kind, ``schemas`` validates them. ``events`` posts
Kubernetes Events, ``election`` and ``lease`` elect the leader, ``limiter`` bounds the bindings in flight. kopf reads
through the same connection (``http.connection.as_kopf_login``). Never keeps the state of the cluster.
"""
