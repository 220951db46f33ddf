"""Writes the page of an evaluation: settings, tables, figures, and bags with their heat maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.evaluation.bags import ScoredBag, heat_of
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.scores import ANOMALY
from pipeline.models.bag_scores import Tails, bag_score
from pipeline.pages.pictures import draw_outlines, page_pictures
from pipeline.pages.writer import data_url, file_data_url, write_page
from pipeline.scans.display import displayable
from pipeline.screening.image_screener import Look, windows_to_look_at

MAX_BAGS = 10  # that are shown: of the highest scores, and of the misses


@dataclass(frozen=True)
class BagPicture:
    """A bag as the page shows it.

    Attributes:
        title: its classes and its scan's id.
        p_value: of the bag.
        scan, heat: the pictures as data URLs.
        width, height: of the scan, in pixels.
        looks: the windows to look at.
        seen: whether the first of them touches a threat; None for a normal bag.
    """

    title: str
    p_value: float
    scan: str
    heat: str
    width: int
    height: int
    looks: Sequence[Look]
    seen: bool | None


def ranked(bags: Iterable[ScoredBag], tails: Tails) -> list[tuple[float, ScoredBag]]:
    """Return bags with their p-values by the model, the most suspicious first."""
    scored = [(bag_score(tails.windows.p_values(bag.scores[ANOMALY])), bag) for bag in bags]
    scored.sort(key=lambda pair: -pair[0])
    p_values = tails.bags.p_values(np.array([score for score, _ in scored]))
    return [(p_value, bag) for p_value, (_, bag) in zip(p_values.tolist(), scored, strict=True)]


def picture_of(
    bag: ScoredBag, p_value: float, inputs: EvaluationInputs, tails: Tails
) -> BagPicture:
    """Draw a bag: the scan with its threats outlined, and the heat to lay over it."""
    row = next(row for row in inputs.scans if row.scan_id == bag.scan_id)
    scan = inputs.source.read(row.entry())
    scores = bag.scores[ANOMALY]
    p_values = tails.windows.p_values(scores)
    looks = windows_to_look_at(
        inputs.detector, inputs.rule, scan.image, bag.origins, scores, p_values
    )
    shown = draw_outlines(displayable(scan.image), scan.threats())
    picture_file, heat_file = page_pictures(shown, heat_of(scan.image, bag, tails))
    return BagPicture(
        title=f"{', '.join(row.classes).replace('_', ' ') or 'normal'} ({row.scan_id})",
        p_value=p_value,
        scan=data_url(picture_file, ".jpg"),
        heat=data_url(heat_file, ".png"),
        width=scan.image.shape[1],
        height=scan.image.shape[0],
        looks=looks,
        seen=bool(bag.touches[scores.argmax()]) if bag.has_threat and looks else None,
    )


def write_evaluation_page(
    path: Path,
    paragraphs: Sequence[str],
    texts: Sequence[tuple[str, Path]],
    figures: Sequence[Path],
    inputs: EvaluationInputs,
    bags: Sequence[ScoredBag],
    tails: Tails,
) -> None:
    """Write the page.

    Args:
        path: of the page.
        paragraphs: what was done, on what, and the result, with Markdown's bold.
        texts: titles and files of text tables; files that do not exist are left out.
        figures: files of figures.
        inputs: the test scans.
        bags: the test bags.
        tails: of the anomaly score on validation scans.
    """
    by_rank = ranked(bags, tails)
    misses = [pair for pair in reversed(by_rank) if pair[1].has_threat]
    write_page(
        path,
        "evaluation.html",
        paragraphs=paragraphs,
        texts=[(title, file.read_text(encoding="utf-8")) for title, file in texts if file.exists()],
        figures=figures,
        data_url=file_data_url,
        highest=(picture_of(bag, p, inputs, tails) for p, bag in by_rank[:MAX_BAGS]),
        misses=(picture_of(bag, p, inputs, tails) for p, bag in misses[:MAX_BAGS]),
        any_bags=bool(by_rank),
        any_threats=bool(misses),
    )
