"""Pages of runs and of analyses, from what their folders hold. Never trains, never steps."""

from .folder import content_of, write_folder
from .pages import render, render_analysis, to_plain, write, write_analysis

__all__ = [
    "content_of",
    "render",
    "render_analysis",
    "to_plain",
    "write",
    "write_analysis",
    "write_folder",
]
