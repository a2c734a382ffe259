"""A snapshot -> a package in the outbox -> boards on Weave and on W&B, now or when a network is."""
