"""Readers of what people have, and the codec that turns it into numbers."""
