"""Seeing what a run did: timelines of videos, and one page that says all of it."""
