"""Makes the report: one HTML page with words, a table and figures inside, that needs no network and no script. Pure.

The same results give the same bytes: nothing of this machine or moment is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from peaks_scheduler.simulation.measurement import Kpis
from peaks_scheduler.text.printable import visible

from .figures import Picture, significant
from .seeds import by_strategy, mean_of
from .tables import Results
from .wording import COLUMNS, Shown, conclusions, simulated

_STYLE = """
body { font: 15px/1.5 sans-serif; color: #000; background: #fff; max-width: 62em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85em; }
th, td { padding: 0.25em 0.6em; text-align: right; border-bottom: 1px solid #999; white-space: nowrap; }
th { vertical-align: bottom; white-space: normal; border-bottom: 2px solid #000; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5em 0; } figure svg { width: 100%; height: auto; } figcaption { font-size: 0.9em; }
dt { font-weight: bold; float: left; clear: left; min-width: 13em; } dd { margin-left: 13.5em; }
""".strip()


def report(results: Results, pictures: Sequence[Picture], *, seed: int, notes: Sequence[str], missing: str = "") -> str:
    """The page. ``notes``: what was assumed or left out; ``missing``: why there are no figures."""
    parts = [
        "<h1>Simulation: what each strategy placed, and what it cost</h1>",
        "<h2>What was simulated</h2>",
        _list(simulated(results, seed, notes)),
        "<h2>Figures by strategy</h2>",
        _table(by_strategy(results)),
        "<h2>What follows, and what does not</h2>",
        _list(conclusions(results)),
        *(_figure(picture) for picture in pictures),
        f"<p>{_text(missing)}</p>" if missing else "",
        "<h2>What the columns mean</h2>",
        _meanings(_shown(by_strategy(results))),
        _FILES,
    ]
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"/>\n<title>Simulation</title>\n<style>\n{_STYLE}\n</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


_SAME = 1e-9  # of a mean: a smaller margin is rounding
_FILES = (
    "<p>Beside this page: nodes.csv and workload.csv say what was simulated, decisions.csv which pod ran where and "
    "when, power.csv the power over time, kpis.csv the table with all digits. Energies can be computed from them.</p>"
)


def inline(picture: Picture) -> str:
    """The figure as part of a page: without a header of its own, and with names that no other figure has."""
    svg = picture.svg.decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", svg)
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    svg = svg.replace("xlink:href=", "href=").replace('href="#', f'href="#{picture.name}-')
    svg = svg.replace(' id="', f' id="{picture.name}-').replace("url(#", f"url(#{picture.name}-")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(picture.title)}"', 1).strip()


def _figure(picture: Picture) -> str:
    caption = f"<figcaption>{_text(picture.caption)}</figcaption>"
    return f"<h2>{_text(picture.title)}</h2>\n<figure>\n{inline(picture)}\n{caption}\n</figure>"


def _table(rows: dict[str, list[Kpis]]) -> str:
    columns = _shown(rows)
    head = "".join(f'<th scope="col">{_text(label)}</th>' for label in ("strategy", *(one.label for one in columns)))
    lines = [
        f'<tr><th scope="row">{_text(name)}</th>' + "".join(f"<td>{_cell(of, one)}</td>" for one in columns) + "</tr>"
        for name, of in rows.items()
    ]
    body = "\n".join(lines)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _shown(rows: dict[str, list[Kpis]]) -> list[Shown]:
    """The columns in which some strategy has a figure."""
    return [one for one in COLUMNS if any(mean_of(of, one.figure) is not None for of in rows.values())]


def _cell(rows: Sequence[Kpis], column: Shown) -> str:
    mean = mean_of(rows, column.figure)
    if mean is None:
        return "-"
    value = f"{mean.value:,.0f}" if mean.value == int(mean.value) else significant(mean.value)
    shown = mean.margin is not None and mean.margin > _SAME * abs(mean.value)
    return f"{value} ± {significant(mean.margin or 0.0, 2)}" if shown else value


def _meanings(columns: Iterable[Shown]) -> str:
    return "<dl>\n" + "\n".join(f"<dt>{_text(c.label)}</dt><dd>{_text(c.meaning)}</dd>" for c in columns) + "\n</dl>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{_text(sentence)}</li>" for sentence in sentences) + "\n</ul>"


def _text(text: str) -> str:
    return escape(visible(text))
