"""The AUC by its definition."""


def slow_auc(normal: list[float], abnormal: list[float]) -> float:
    """The share of pairs in which the abnormal one scores higher; ties count half."""
    wins = sum((a > n) + 0.5 * (a == n) for a in abnormal for n in normal)
    return wins / (len(normal) * len(abnormal))
