"""A W&B server's runs -> an export folder that travels; ``etl.pull`` is its command line."""
