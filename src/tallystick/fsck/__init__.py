"""Read-only checker: replays history, recomputes every root."""
