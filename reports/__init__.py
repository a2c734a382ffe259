"""A snapshot -> one HTML report that opens anywhere, offline."""
