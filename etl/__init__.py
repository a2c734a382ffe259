"""What training runs left behind -> tables and snapshots."""
