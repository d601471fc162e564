"""Act 7: tables of what the federation reached and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from portal.demo.experiment import ALL
from portal.demo.hospitals import Hospital

COLUMNS = {
    "alone": "alone",
    "federated_private": "federated, epsilon 1",
    "federated_no_noise": "federated, no noise *",
    "pooled": "pooled *",
}


def auc_table(
    hospitals: Sequence[Hospital], results: Mapping[str, Mapping[str, float | None]]
) -> Table:
    """Test AUC by hospital; where one class is absent it is undefined and said so."""
    table = Table(title="Test AUC (30% of each hospital, seen by no site)")
    table.add_column("hospital")
    table.add_column("test rows", justify="right")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for hospital in hospitals:
        cells = [shown(results[key].get(hospital.slug)) for key in COLUMNS]
        table.add_row(hospital.name, str(len(hospital.test)), *cells)
    total = sum(len(hospital.test) for hospital in hospitals)
    cells = ["" if key == "alone" else shown(results[key].get(ALL)) for key in COLUMNS]
    table.add_row("all", str(total), *cells, style="bold")
    table.caption = (
        "* computed outside the federation by the demonstration, as an experimenter on public data"
    )
    return table


def shown(value: float | None) -> str:
    """An AUC, or that it is undefined."""
    return "one class" if value is None else f"{value:.3f}"


def facts_table(report: Mapping[str, Any]) -> Table:
    """Returns a table of what was spent, sent, waited for and anchored."""
    table = Table(title="What it cost", show_header=False)
    table.add_column("what")
    table.add_column("value")
    privacy = report["privacy"]
    table.add_row(
        "epsilon of the training",
        f"{privacy['coordinator']:.3f} against the coordinator with {privacy['colluding']} "
        f"colluding, {privacy['insiders']:.3f} against all other insiders "
        f"(delta {privacy['delta']:g})",
    )
    for name, accounts in report["ledgers"].items():
        lines = (
            f"{one['dataset']}, {one['unit']}: epsilon {one['spent_epsilon']:.3f} of "
            f"{one['allotted_epsilon']:g} (delta {one['allotted_delta']:g})"
            for one in accounts
        )
        table.add_row(f"ledger of {name}", "\n".join(lines))
    sizes = report["bytes"]
    total = sum(sizes.values())
    table.add_row(
        "bytes sent by the sites",
        f"{total:,}: " + ", ".join(f"{kind} {size:,}" for kind, size in sizes.items()),
    )
    seconds = report["seconds_by_phase"]
    table.add_row(
        "seconds a round (median)",
        ", ".join(f"{phase} {value:.2f}" for phase, value in seconds.items()),
    )
    blocks = ", ".join(str(anchor["block"]) for anchor in report["anchors"])
    table.add_row("anchors", f"{len(report['anchors'])}, in blocks {blocks or 'none'}")
    return table


def release_table(benchmark: Mapping[str, Any]) -> Table:
    """The benchmark's release: statistics with their 95% intervals."""
    release = benchmark["release"]
    table = Table(
        title=f"Training and scoring, {release['count']} organizations "
        f"({benchmark['virtual']} virtual)"
    )
    table.add_column("metric")
    table.add_column("statistic")
    table.add_column("noisy value", justify="right")
    table.add_column("95% interval")
    for metric in release["metrics"]:
        given = metric["statistics"]
        for name in ("mean", "std", "p10", "p25", "median", "p75", "p90"):
            if name in given:
                one = given[name]
                interval = f"{one['lower']:,.4g} to {one['upper']:,.4g}"
                table.add_row(metric["key"], name, f"{one['value']:,.4g}", interval)
    return table
