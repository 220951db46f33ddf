"""Skip-GANomaly (Akcay, Atapour-Abarghouei, Breckon; IJCNN 2019; arXiv 1901.08954)."""
