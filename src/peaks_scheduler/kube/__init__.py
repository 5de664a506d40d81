"""The client of the API server: one connection for reading and writing. No other package writes to the API server.

``login`` loads and renews our credentials. ``connection`` holds the sessions; ``rotating_connector``, ``proxies`` and
``transport`` are the layers of a request. ``client`` has one method for each request, ``decoding`` reads its answer.
``events`` posts Kubernetes Events, ``election`` and ``lease`` elect the leader, ``limiter`` bounds the bindings in
flight. kopf reads through the same connection (``as_kopf_login``): ``kopf_responses`` and ``schemas`` validate what it
receives. Never keeps the state of the cluster.
"""
