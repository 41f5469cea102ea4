"""The page of a run, made from what its folder holds, and the page of an analysis. Never trains, never
steps.

One file without any outside part: hand-made SVG, one style sheet, at most one script, and a content
security policy that lets nothing else in. What a run or an analysis lacks is left out together with its
heading.
"""

from .pages import render, render_analysis, write, write_analysis

__all__ = ["render", "render_analysis", "write", "write_analysis"]
