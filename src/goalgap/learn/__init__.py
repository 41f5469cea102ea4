"""Learners: from levels and a goal to policies."""
