"""Follow-up, survival curves with numbers at risk, forests of estimates, calibration and AUC over time."""

import numpy as np

from cinema.plots.style import GREY, SERIES


def follow_up(ax, time, event, width=0.5):
    """How long patients were followed, stacked: lost or still alive at the end, and dead."""
    time, event = np.asarray(time), np.asarray(event, bool)
    bins = np.arange(0, time.max() + width, width)
    ax.hist(
        [time[~event], time[event]],
        bins,
        stacked=True,
        color=["#cccccc", SERIES[3][0]],
        label=[f"alive when last seen (n = {np.sum(~event)})", f"dead (n = {event.sum()})"],
    )
    ax.set(xlabel="Follow-up (years)", ylabel="Patients")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))


def kaplan_meier(ax, curves, at, at_risk=True):
    """Survival over time with 95 % bands, and below the axis how many are still at risk.

    curves: name -> survival.kaplan_meier table on a fine grid that holds the times `at` (years) of the numbers.
    """
    for i, (name, curve) in enumerate(curves.items()):
        colour, line, _ = SERIES[i]
        ax.step(curve["time"], curve["survival"], where="post", color=colour, ls=line, label=name)
        ax.fill_between(curve["time"], curve["lower"], curve["upper"], step="post", color=colour, alpha=0.15, lw=0)
        for moment in at if at_risk else ():
            number = curve["at_risk"].iloc[int(np.abs(curve["time"] - moment).argmin())]
            ax.annotate(
                f"{number}",
                (moment, 0),
                (0, -36 - 9 * i),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                color=colour,
                annotation_clip=False,
            )
    if at_risk:
        ax.annotate(
            "at risk",
            (0, 0),
            (-10, -36),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=6.5,
            color=GREY,
            annotation_clip=False,
        )
    ax.set(xlabel="Years after the scan", ylabel="Alive (share)", xticks=at, xlim=(0, max(at)))


def forest(ax, estimates, label, reference=None, marks=None, mark_name="", log=False):
    """One row an estimate with its 95 % interval.

    estimates: name -> Estimate, or series -> name -> Estimate for several dots a row (names of the first).
    reference: value of a dotted line. marks: name -> known value (diamond), called mark_name in the legend.
    """
    several = isinstance(next(iter(estimates.values())), dict)
    series = estimates if several else {"": estimates}
    names = list(next(iter(series.values())))
    place = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for k, (called, rows) in enumerate(series.items()):
        colour, _, marker = SERIES[k if several else 1]
        for name, estimate in rows.items():
            y = place[name] + 0.16 * ((len(series) - 1) / 2 - k) * (2 if several else 1)
            error = [[estimate.value - estimate.lower], [estimate.upper - estimate.value]]
            ax.errorbar(
                estimate.value,
                y,
                xerr=error,
                fmt=marker,
                color=colour,
                ms=4,
                capsize=2,
                lw=1,
                label=called if called and name == names[0] else None,
            )
    for i, (name, value) in enumerate((marks or {}).items()):
        ax.plot(value, place[name], "D", mfc="none", mec=GREY, ms=7, label=mark_name if i == 0 else None)
    if reference is not None:
        ax.axvline(reference, color=GREY, ls=":", lw=0.8)
    ax.set_yticks(list(place.values()), names)
    ax.set(xlabel=label, ylim=(-0.6, len(names) - 0.4))
    if log:
        low, high = ax.get_xlim()
        ticks = [t for t in (0.25, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4) if low <= t <= high]
        ax.set_xscale("log")
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    else:
        ax.locator_params(axis="x", nbins=6)


def calibration(ax, tables, horizon):
    """Observed against predicted risk of death by `horizon` (years); tables: name -> survival.calibration_table."""
    ax.axline((0, 0), slope=1, color=GREY, lw=0.8, ls="--", label="perfect")
    for (name, table), (colour, line, marker) in zip(tables.items(), SERIES, strict=False):
        predicted, observed, lower, upper = (100 * table[c] for c in ("predicted", "observed", "lower", "upper"))
        ax.errorbar(
            predicted,
            observed,
            [observed - lower, upper - observed],
            color=colour,
            ls=line,
            marker=marker,
            ms=4,
            lw=0.8,
            capsize=2,
            label=f"{name} (groups of {table['n'].iloc[0]})",
        )
    ax.set(xlabel=f"Predicted risk by {horizon:g} years (%)", ylabel="Observed risk (%, 95 % CI)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))


def auc_over_time(ax, aucs):
    """AUC between dead and alive at each horizon; aucs: name -> {years: Estimate}. Dots are moved apart sideways."""
    for k, ((name, row), (colour, line, marker)) in enumerate(zip(aucs.items(), SERIES, strict=False)):
        years = np.array(list(row)) + 0.07 * (k - (len(aucs) - 1) / 2)
        value, lower, upper = np.array([estimate[:3] for estimate in row.values()]).T
        ax.errorbar(
            years,
            value,
            [value - lower, upper - value],
            color=colour,
            ls=line,
            marker=marker,
            ms=3.5,
            lw=0.9,
            capsize=2,
            label=name,
        )
    ax.axhline(0.5, color=GREY, ls=":", lw=0.8)
    ax.set(xlabel="Horizon (years after the scan)", ylabel="AUC, dead against alive then (95 % CI)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def detectable(ax, patients, ratios, planted, n):
    """Smallest hazard ratio per SD that is found over the number of patients; the axis is logarithmic in ratio - 1.

    ratios: name -> (len(patients),). planted: name -> hazard ratio, drawn as levels (inverted below 1). n: this study.
    """
    for (name, ratio), (colour, line, _) in zip(ratios.items(), SERIES, strict=False):
        ax.plot(patients, np.array(ratio) - 1, color=colour, ls=line, label=name)
    for name, ratio in planted.items():
        level = max(ratio, 1 / ratio) - 1
        ax.axhline(level, color=GREY, lw=0.6, ls=":")
        ax.annotate(name, (1.01, level), xycoords=("axes fraction", "data"), va="center", fontsize=6.5)
    ax.axvline(n, color=GREY, lw=0.8, label=f"this cohort (n = {n})")
    ticks = [1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5]
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="Patients",
        ylabel="Detectable hazard ratio per SD",
        xlim=(min(patients), max(patients)),
    )
    ax.set_yticks([t - 1 for t in ticks], [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


def ceiling(ax, value, label):
    """A dashed line at the best that anybody could reach."""
    ax.axvline(value, color=SERIES[3][0], ls="--", lw=0.8, label=label)
    ax.margins(x=0.1)
