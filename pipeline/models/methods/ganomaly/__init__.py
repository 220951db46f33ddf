"""GANomaly (Akcay, Atapour-Abarghouei, Breckon; ACCV 2018; arXiv 1805.06725)."""
