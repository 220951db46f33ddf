"""Writes the results of an evaluation: the table, metrics.json, plot data and figures."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common.files import write_atomically, write_json, write_table
from pipeline.common.names import NORMAL
from pipeline.evaluation.alarms import Alarms, ValidationSummary
from pipeline.evaluation.auc_table import (
    AucTable,
    auc_table,
    auc_text,
    estimate_rows,
    key_metrics,
    metrics_of,
    unmeasurable,
)
from pipeline.evaluation.bag_metrics import MeasuredBags
from pipeline.evaluation.bags import ScoredBag
from pipeline.evaluation.curves import histogram_rows, roc_rows
from pipeline.evaluation.figure_data import (
    TYPICAL,
    pick_exemplars,
    pick_features,
    pick_scans,
    pick_unusual,
)
from pipeline.evaluation.figures import (
    draw_exemplars,
    draw_histogram,
    draw_roc,
    draw_scans,
    draw_tsne,
)
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY, OVERALL, WindowScores
from pipeline.models.bag_scores import Tails
from pipeline.models.trained_model import HEAD_LABELS
from pipeline.patches.store import PatchStore
from pipeline.scans.splits import LABELS_USED
from pipeline.settings.blocks import EvaluateSettings
from pipeline.settings.params import Settings

METRICS = "metrics.json"
DETAILS = "details.json"
TABLE = "table.txt"
BAGS = "bags.txt"
PAGE = "report.html"
FIGURES = "figures"
UNUSUAL_FIGURE = "unusual.png"

IMPLANT_AUC_MEANS = (
    "AUC of validation windows against copies with a piece of another window laid over; 0.5 is "
    "chance"
)
SWEEP_LABELS = "labels of validation scans ranked the sweep's trials (tune)"
NEXT = (
    "next: look at {}; screen new scans with `skipscan screen FOLDER`; add some scans with "
    "labelled threats (docs/formats.md) and run `dvc repro`, to measure what the model finds"
)


def heading_of(settings: Settings, notes: Sequence[str]) -> str:
    """Return the tables' heading: the settings in effect, use of labels, notes on the model."""
    scans = settings.scans
    return "\n".join(
        [
            f"{scans.source}, preset {settings.preset}, seed {settings.train.seed}",
            *([LABELS_USED] if scans.uses_labels else []),
            *notes,
        ]
    )


def describe_results(
    origin: Mapping[str, Any],
    data: str,
    metrics: Mapping[str, Any],
    labelled_bags: int,
    objective: str | None,
) -> str:
    """Return the description of a run in MLflow: `result_paragraphs`, and how to compare runs."""
    compare = (
        "**Compare**: select two runs with the tag `skipscan.kind` = pipeline and press "
        "Compare. The figures are at the top of the artifacts; all metrics, with intervals, "
        f"are in `evaluation/{DETAILS}`, the table in `evaluation/{TABLE}`."
    )
    paragraphs = result_paragraphs(origin, data, metrics, labelled_bags, objective)
    return "\n\n".join([*paragraphs, compare])


def result_paragraphs(
    origin: Mapping[str, Any],
    data: str,
    metrics: Mapping[str, Any],
    labelled_bags: int,
    objective: str | None,
) -> list[str]:
    """Return paragraphs on what was done, on what, and the result, with Markdown's bold.

    Args:
        origin: the settings in effect, by block.
        data: digest of the patches.
        metrics: the content of metrics.json.
        labelled_bags: number of labelled bags that taught the score.
        objective: the metric that ranked the sweep's trials; None if there was no sweep.
    """
    model, scans, extract = origin["model"], origin["scans"], origin["extract"]
    rates = ", ".join(
        f"{metrics[name]:.1%} {windows}"
        for name, windows in (
            ("detection_rate", "of the windows with a threat"),
            ("false_alarm_rate", "of the normal windows"),
        )
        if metrics[name] is not None
    )
    aucs = [
        f"{name} **{value:.3f}**" for name, value in metrics["auc"].items() if value is not None
    ]
    without = metrics["best_auc_without_model"]
    outside = scans["normal_windows"] == "outside"
    learnt = "the windows outside of threats" if outside else "normal scans"
    learnt += " and labelled bags" if labelled_bags else "" if outside else " only"
    scored = "scan" if extract["mode"] == "whole" else "window of a scan"
    used = [LABELS_USED] if outside else []
    used += [HEAD_LABELS.format(labelled_bags)] if labelled_bags else []
    used += [SWEEP_LABELS] if objective == "labelled_auc" else []
    return [
        f"**What**: {model['method']}, trained on {learnt}, scores how suspicious each "
        f"{scored} is (preset {origin['preset']}, seed {origin['train']['seed']}).",
        *([f"**Not unsupervised**: {'; '.join(used)}."] if used else []),
        f"**On what**: {scans['source']} scans, {extract['size']}x{extract['size']} pixels "
        f"(mode {extract['mode']}), patches {data[:8]}.",
        f"**Result**: AUC on the test split: {', '.join(aucs) or 'none is defined'}"
        + (f"; the best score without a model: {without:.3f}" if without is not None else "")
        + (f". Above the stored threshold: {rates}." if rates else "."),
    ]


def write_report(
    folder: Path,
    store: PatchStore,
    test: WindowScores,
    validated: ValidationSummary,
    settings: EvaluateSettings,
    heading: str,
    bags: MeasuredBags,
) -> AucTable:
    """Write the tables, both files of metrics and the CSV files of the plots; return the AUCs.

    If no AUC is defined, table.txt says why, and gives the criterion that needs no labels.
    """
    classes = tuple(name for name in store.classes if name != NORMAL)
    table = auc_table(test, classes, settings.bootstrap, settings.seed)
    alarms = Alarms.of(
        test, validated, classes, settings.bootstrap, settings.seed, bags.with_threat
    )
    details = {**metrics_of(table, test), "threshold": alarms.metrics(), "bags": bags.details()}
    write_json(folder / DETAILS, details)
    write_json(folder / METRICS, key_metrics(details))
    text = auc_text(table, test, heading)
    if reason := unmeasurable(test, classes):
        criterion = f"implant_auc {validated.criterion:.3f} ({IMPLANT_AUC_MEANS})"
        text = "\n".join([heading, reason, criterion])
    lines = [text, alarms.text()]
    if test.only_normal:
        lines += [NEXT.format(folder / FIGURES / UNUSUAL_FIGURE)]
    write_atomically(folder / TABLE, ("\n".join(lines) + "\n").encode())
    write_atomically(folder / BAGS, f"{heading}\n{bags.text()}\n".encode())
    rows = estimate_rows(table)
    write_table(folder / "auc.csv", list(rows[0]), rows)
    roc_columns = ("class", "false_positive_rate", "true_positive_rate")
    write_table(folder / "roc.csv", roc_columns, list(roc_rows(test, classes)))
    columns = ("class", "anomaly_score", "density")
    write_table(folder / "histogram.csv", columns, list(histogram_rows(test)))
    return table


def write_figures(
    folder: Path,
    inputs: EvaluationInputs,
    test: WindowScores,
    table: AucTable,
    settings: EvaluateSettings,
    bags: Sequence[ScoredBag],
    tails: Tails,
) -> None:
    """Remove an earlier evaluation's figures; draw each figure that the test split has data for.

    Args:
        folder: of the figures.
        inputs: the test split, its scans and the model.
        test: the scores of the test windows.
        table: the AUCs.
        settings: how many windows are shown, in which colours.
        bags: the test bags, none if each patch is a whole scan.
        tails: of the anomaly score on validation scans.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if len(test.labels) == 0:
        return
    colours = {NORMAL: settings.normal_colour, "abnormal": settings.abnormal_colour}
    seed = settings.seed
    if table[ANOMALY][OVERALL].auc is not None:
        draw_roc(folder / "roc.png", test, table, inputs.threshold)
    draw_histogram(folder / "histogram.png", test, inputs.threshold, colours)
    if test.only_normal:
        unusual = pick_unusual(inputs, test, settings.exemplars)
        draw_exemplars(folder / UNUSUAL_FIGURE, unusual)
    else:
        features, normal = pick_features(inputs, test, settings.tsne_points, seed)
        if (features != features[0]).any():
            draw_tsne(folder / "tsne.png", features, normal, colours, seed)
    exemplars = pick_exemplars(inputs, test, settings.exemplars, seed)
    draw_exemplars(folder / "exemplars.png", exemplars)
    if bags:
        draw_scans(folder / "scans.png", pick_scans(inputs, bags, tails), TYPICAL)
