"""Compiled loops, and fast ways to run a cell over time: `choice` picks among those."""
