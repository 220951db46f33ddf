"""Which windows the picture of found and missed threats shows."""

import numpy as np

from experiments.detection.pictures import pick

# By bag: label and score of each window.
BAGS = {
    "a": [("gun", 9.0), ("normal", 8.0), ("knife", 2.0)],
    "b": [("normal", 5.0), ("gun_part", 4.0), ("normal", 6.0), ("normal", 1.0)],
    "c": [("knife", 3.0), ("normal", 4.0)],
    "d": [("normal", 9.5)],
}


def test_found_are_on_top_of_their_bag_and_missed_are_below_most_normals() -> None:
    labels = np.array([label for bag in BAGS.values() for label, _ in bag])
    scores = np.array([score for bag in BAGS.values() for _, score in bag])
    scan_ids = np.array([name for name, bag in BAGS.items() for _ in bag])
    found, missed, highest = pick(labels, scan_ids, scores, 2, seed=0)
    assert [(look.row, look.title) for look in found] == [(0, "found: gun")]
    assert [(look.row, look.title) for look in missed] == [
        (4, "missed: gun part\n2 normal windows are higher"),
        (7, "missed: knife\n1 normal windows are higher"),
    ]
    assert [look.row for look in highest] == [5, 8]
