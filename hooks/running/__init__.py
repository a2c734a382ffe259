"""A script that knows nothing of us, run and listened to; ``hooks.run`` is its command line."""
