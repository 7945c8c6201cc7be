"""Read models: one file a model with its tables, what it makes of the events, and its queries."""
