//! What this service publishes in its feed, and what it reads from those of others.
