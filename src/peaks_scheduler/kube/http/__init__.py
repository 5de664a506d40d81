"""One request to the API server and its response, whoever sends it.

``transport`` is what callers use: bytes in, bytes out or one of our errors. ``connection`` adds our credentials and has
the two ways to the socket: aiohttp's sessions for lists and watches (``rotating_connector``; kopf's too, whose
responses ``kopf_responses`` validates), ``kept_connections`` for writes, in the vocabulary of ``outgoing``.
``proxies`` finds the proxy, ``proxied`` writes through it. ``response_limits`` bounds what is read, ``reachability``
notes whether there are answers at all. Knows no kind of object.
"""
