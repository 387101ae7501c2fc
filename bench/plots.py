# SPDX-License-Identifier: MIT
"""The report's pictures, by Debian's python3-matplotlib."""

import report as reports

# One colour for each candidate in every picture.
COLOURS = {"plain": "#7f7f7f", "tun": "#1f77b4", "bpf": "#2ca02c", "direct-tc": "#98df8a",
           "direct-xdp": "#17becf", "xdp-forwarder": "#c7c7c7", "tayga": "#d62728",
           "nftables": "#ff7f0e", "jool": "#9467bd"}
PICTURES = {
    "bulk": ("Bulk TCP", lambda row: row["what"].startswith("TCP,")),
    "frames": ("Smallest UDP frames; new flows",
               lambda row: row["what"] in (reports.SMALL, reports.NEW)),
    "throughput": ("Smallest UDP frames without loss",
                   lambda row: row["what"] == reports.THROUGHPUT),
    "latency": ("Latency at half of each one's own rate",
                lambda row: row["unit"] == "µs" and row["variant"].startswith("p")),
}


def missing():
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return "python3-matplotlib is not installed (scripts/install-deps bench)"
    return ""


def groups(rows):
    """[(label, {candidate: row})] in order."""
    found = {}
    for row in rows:
        label = f"{row['what']},\n{row['variant']}" if row["unit"] != "µs" else row["variant"]
        found.setdefault(label, {})[row["candidate"]] = row
    return list(found.items())


def draw(axes, rows):
    """Bars side by side, with a line from the lowest to the highest round."""
    bars = groups(rows)
    names = list(dict.fromkeys(row["candidate"] for row in rows))
    width = 0.85 / len(names)
    for number, name in enumerate(names):
        places, heights, below, above = [], [], [], []
        for place, (_, by_candidate) in enumerate(bars):
            row = by_candidate.get(name)
            if row:
                places.append(place + (number - (len(names) - 1) / 2) * width)
                heights.append(row["median"])
                below.append(row["median"] - row["lowest"])
                above.append(row["highest"] - row["median"])
        axes.bar(places, heights, width, yerr=(below, above), label=name,
                 color=COLOURS.get(name), error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(bars)), [label for label, _ in bars])
    axes.set_ylabel(rows[0]["unit"])
    axes.grid(axis="y", linewidth=0.3)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small", ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def write(folder, name, report):
    """Writes the pictures that there are figures for; returns their file names."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    about = report["about"]
    written = []
    for picture, (title, wanted) in PICTURES.items():
        rows = [row for row in report["rows"] if wanted(row)]
        if not rows:
            continue
        figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
        draw(axes, rows)
        if picture == "latency":
            axes.set_yscale("log")
        axes.set_title(f"{title}\n{about['cpu']}, {about['cpus']} processors, Linux "
                       f"{about['kernel']}, {about['time'][:10]}, commit {about['commit']}",
                       fontsize="medium")
        file = f"{name}-{picture}.png"
        figure.savefig(folder / file, dpi=110)
        pyplot.close(figure)
        written.append(file)
    return written
