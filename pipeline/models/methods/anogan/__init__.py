"""AnoGAN (Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth, Langs; IPMI 2017; arXiv 1703.05921)."""
