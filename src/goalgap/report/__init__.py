"""Pages of runs and of analyses, from what their folders hold. Nothing here trains or steps."""

from .folder import content_of, write_folder
from .pages import render, render_analysis, write, write_analysis

__all__ = ["content_of", "render", "render_analysis", "write", "write_analysis", "write_folder"]
