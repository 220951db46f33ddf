"""The AUCs that the paper prints: S. Akçay et al., Skip-GANomaly, IJCNN 2019, Tables I and II."""

CASES = ("bird", "car", "cat", "deer", "dog", "frog", "horse", "plane", "ship", "truck")
# Of UBA and, the last, of FFOB; by our names.
CLASSES = ("gun", "gun_part", "knife", "overall", "full_weapon")

TABLE_1 = {
    "anogan": (0.411, 0.492, 0.399, 0.335, 0.393, 0.321, 0.399, 0.516, 0.567, 0.511),
    "egbad": (0.383, 0.514, 0.448, 0.374, 0.481, 0.353, 0.526, 0.577, 0.413, 0.555),
    "ganomaly": (0.510, 0.631, 0.587, 0.593, 0.628, 0.683, 0.605, 0.633, 0.616, 0.617),
    "skip_ganomaly": (0.448, 0.953, 0.607, 0.602, 0.615, 0.931, 0.788, 0.797, 0.659, 0.907),
}
TABLE_2 = {
    "anogan": (0.598, 0.511, 0.599, 0.569, 0.703),
    "egbad": (0.614, 0.591, 0.587, 0.597, 0.712),
    "ganomaly": (0.747, 0.662, 0.520, 0.643, 0.882),
    "skip_ganomaly": (0.972, 0.945, 0.904, 0.940, 0.903),
}


def table_1(method: str) -> dict[str, float]:
    """Return the figures of a method, by the class left out."""
    return dict(zip(CASES, TABLE_1[method], strict=True))


def table_2(method: str) -> dict[str, float]:
    """Return the figures of a method, by class."""
    return dict(zip(CLASSES, TABLE_2[method], strict=True))
