"""Pictures of a day: what owner and pilots used, and what happened to pilots. Nothing is computed.

The only module that imports matplotlib, and imported only when a picture is asked for. Colours are
from Okabe and Ito's palette, which people with any form of colour blindness can tell apart; what a
colour means is also told by its place or its hatching.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from plancton_tick.ctl.picture_panel import EVENT_BINS, Panel, count_events, time_marks
from plancton_tick.ctl.picture_svg import shrink_svg

OWNER, PILOTS, SHORT, INK, FAINT = "#0072B2", "#F2B134", "#D55E00", "#222222", "#6E6E6E"
LANES = {"#009E73": "spawned", "#56B4E9": "paused", "#CC3311": "killed"}
GIB = 2**30
DOTS_PER_INCH = 160
# Margins, in inches.
LEFT, RIGHT = 0.95, 0.3
# Versions of matplotlib differ in what type they take for this.
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "hatch.linewidth": 1.1,
    "path.simplify": True,
    # Letters as outlines look the same everywhere; ids from a fixed salt, so files do not change.
    "svg.fonttype": "path",
    "svg.hashsalt": "plancton",
}


def draw(
    panels: Sequence[Panel], title: str, files: Mapping[str, str], *, subtitle: str = ""
) -> None:
    """Draw panels side by side and write them to files, given by their formats, svg or png.

    Raises OSError where a file cannot be written.
    """
    has_memory = any(panel.memory_total is not None for panel in panels)
    with matplotlib.rc_context(STYLE):
        figure = _make_figure(panels, title, subtitle, has_memory=has_memory)
        for form, path in files.items():
            _save(figure, form, path)


def _save(figure: Figure, form: str, path: str) -> None:
    if form != "svg":
        figure.savefig(path, format=form, dpi=DOTS_PER_INCH, facecolor="white")
        return
    text = io.StringIO()
    figure.savefig(text, format=form, metadata={"Date": None}, facecolor="white")
    with open(path, "w", encoding="utf-8") as file:
        file.write(shrink_svg(text.getvalue()))


def _make_figure(panels: Sequence[Panel], title: str, subtitle: str, *, has_memory: bool) -> Figure:
    heights = [3.2, 1.0, *([1.25] if has_memory else [])]
    lines = max(len(panel.figures) for panel in panels)
    width = 11.0 if len(panels) == 1 else max(11.0, 4.45 * len(panels))
    # In inches, so that text has its room whatever the size.
    height, head, foot = 5.2 + 1.2 * has_memory + 0.24 * lines, 1.02 + 0.24 * lines, 0.82
    figure = Figure(figsize=(width, height))
    grid = figure.add_gridspec(
        len(heights),
        len(panels),
        height_ratios=heights,
        left=LEFT / width,
        right=1 - RIGHT / width,
        top=1 - head / height,
        bottom=foot / height,
        hspace=0.16,
        wspace=0.09,
    )
    figure.text(LEFT / width, 1 - 0.36 / height, title, fontsize=16, weight="bold", va="center")
    right = 1 - RIGHT / width
    figure.text(right, 1 - 0.36 / height, subtitle, color=FAINT, ha="right", va="center")
    most = max(1, *(max(count_events(panel, name)) for panel in panels for name in LANES.values()))
    for at, panel in enumerate(panels):
        axes = [figure.add_subplot(grid[row, at]) for row in range(len(heights))]
        _draw_cores(axes[0], panel)
        _draw_events(axes[1], panel, most)
        if has_memory:
            _draw_memory(axes[2], panel)
        for each in axes:
            _finish(
                each,
                panel,
                at_most=9 if len(panels) == 1 else 4,
                is_first=at == 0,
                is_last=at == len(panels) - 1,
                is_lowest=each is axes[-1],
            )
        top = axes[0].get_position().y1
        left = axes[0].get_position().x0
        for line, text in enumerate(reversed(panel.figures)):
            figure.text(left, top + (0.14 + 0.24 * line) / height, text, va="bottom")
        head_at = top + (0.17 + 0.24 * len(panel.figures)) / height
        figure.text(left, head_at, panel.title, fontsize=13, weight="bold", va="bottom")
    _draw_legend(figure, panels, 0.3 / height)
    return figure


def _fill(
    axes: Axes, panel: Panel, low: Sequence[float], high: Sequence[float], colour: str
) -> None:
    """Fill between two series of steps, hatched where the owner is short."""
    # Steps that are equal to the one before are left out: most of a file is such points.
    kept = [
        at for at in range(len(low)) if not at or (low[at], high[at]) != (low[at - 1], high[at - 1])
    ]
    axes.stairs(
        [high[at] for at in kept],
        [*(panel.times[at] for at in kept), panel.end],
        baseline=[low[at] for at in kept],
        fill=True,
        facecolor=colour,
        edgecolor="white" if colour == SHORT else colour,
        hatch="/////" if colour == SHORT else None,
        linewidth=0,
    )


def _draw_cores(axes: Axes, panel: Panel) -> None:
    owner = list(panel.owner_cores)
    both = [mine + theirs for mine, theirs in zip(owner, panel.pilot_cores, strict=True)]
    _fill(axes, panel, [0.0] * len(owner), owner, OWNER)
    _fill(axes, panel, owner, both, PILOTS)
    if any(short > 0.02 * panel.ncpus for short in panel.short_cores):
        wanted = [mine + short for mine, short in zip(owner, panel.short_cores, strict=True)]
        _fill(axes, panel, owner, wanted, SHORT)
    if panel.room_cores:
        edges = [*panel.times, panel.end]
        room = [*panel.room_cores, panel.room_cores[-1]]
        axes.plot(edges, room, color=INK, linewidth=0.9, drawstyle="steps-post")
    axes.axhline(panel.ncpus, color=INK, linewidth=1.0)
    if panel.limit_cores is not None:
        axes.axhline(panel.limit_cores, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set_ylim(0, panel.ncpus * 1.04)
    axes.set_ylabel("cores")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _draw_memory(axes: Axes, panel: Panel) -> None:
    if panel.memory_total is None:
        axes.set_axis_off()
        return
    owner = [held / GIB for held in panel.owner_memory]
    both = [mine + held / GIB for mine, held in zip(owner, panel.pilot_memory, strict=True)]
    total = panel.memory_total / GIB
    _fill(axes, panel, [0.0] * len(owner), owner, OWNER)
    _fill(axes, panel, owner, both, PILOTS)
    if max(both) > total:
        over = [max(total, each) for each in both]
        _fill(axes, panel, [total] * len(over), over, SHORT)
    axes.axhline(total, color=INK, linewidth=1.0)
    axes.set_ylim(0, total * 1.38)
    axes.set_ylabel("GiB")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))


def _draw_events(axes: Axes, panel: Panel, most: int) -> None:
    """Draw a lane for each kind: a mark where something happened, the higher the more often."""
    edges = [panel.end / EVENT_BINS * each for each in range(EVENT_BINS)]
    in_bins = panel._replace(times=edges)
    for lane, (colour, name) in enumerate(LANES.items()):
        foot = float(len(LANES) - 1 - lane)
        # The square root of how many: one shows, and a hundred are not a hundred times as high.
        heights = [
            foot + (0.14 + 0.68 * (count / most) ** 0.5 if count else 0.0)
            for count in count_events(panel, name)
        ]
        _fill(axes, in_bins, [foot] * EVENT_BINS, heights, colour)
        axes.axhline(foot, color=FAINT, linewidth=0.6)
    axes.set_ylim(0, len(LANES))
    axes.set_yticks([each + 0.4 for each in range(len(LANES))], list(LANES.values())[::-1])
    axes.tick_params(axis="y", length=0)


def _finish(
    axes: Axes, panel: Panel, *, at_most: int, is_first: bool, is_last: bool, is_lowest: bool
) -> None:
    axes.set_xlim(0, panel.end)
    marks = list(time_marks(panel, at_most))
    if not is_last and marks[-1][0] >= panel.end:
        # The next panel's first time stands there.
        marks.pop()
    axes.set_xticks([at for at, _ in marks], [text for _, text in marks] if is_lowest else [])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not is_first:
        axes.set_ylabel("")
        axes.set_yticklabels([])
    axes.margins(0)


def _draw_legend(figure: Figure, panels: Sequence[Panel], foot: float) -> None:
    entries: list[tuple[Patch | Line2D, str]] = [
        (Patch(color=OWNER), "owner"),
        (Patch(color=PILOTS), "pilots"),
        (Line2D([], [], color=INK, linewidth=1.0), "all the host has"),
    ]
    if any(panel.limit_cores is not None for panel in panels):
        line = Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        entries.append((line, "less the reserve"))
    short = Patch(facecolor=SHORT, edgecolor="white", hatch="/////", linewidth=0)
    entries.append((short, "the owner is short"))
    handles, names = zip(*entries, strict=True)
    figure.legend(
        handles,
        names,
        loc="center",
        bbox_to_anchor=(0.5, foot),
        ncols=len(entries),
        frameon=False,
        handlelength=1.6,
    )
