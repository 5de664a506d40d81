"""``peaks-scheduler simulate validate``: measured work is replayed, and its power compared with measured power.

``parquet`` reads columns, ``work`` and ``power`` make sense of them (OpenDC's units), ``hosts`` lets the production
scheduler place the work and gives the use of each host, ``comparison`` learns the curve from the past and predicts,
``report`` shows the figures. ``command`` has the options and the order of the steps.
"""
