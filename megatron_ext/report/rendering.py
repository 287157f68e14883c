"""A template and its plots to one self-contained page: it needs no network, follows light and dark, and prints.

Templates extend `base.html.j2` and fill its blocks `title`, `style` and `main`. Every text from outside goes through
jinja2's escaping, and what is drawn through JSON's.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Figure = dict[str, Any]
"""What Plotly draws: {"traces": [...], "layout": {...}}."""


def figure(traces: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """A plot. Of the layout only what is its own: colours, fonts and margins are the page's.

    A line among `shapes` without a colour is drawn in that of the text.
    """
    return {"traces": list(traces), "layout": layout}


def rendered(
    template: Path,
    *,
    figures: Mapping[str, Figure],
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: Any,
) -> str:
    """The HTML of a template. A figure is drawn into the element that has its name for an id, if it has traces."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"pretty": lambda value: json.dumps(value, indent=1), **(filters or {})}
    return environment.get_template(template.name).render(
        values,
        shared_style=Markup((HERE / "style.css").read_text()),
        plotly=Markup(get_plotlyjs()),
        drawn=Markup(json.dumps(figures).replace("</", "<\\/")),
        plots=Markup((HERE / "plots.js").read_text()),
    )
