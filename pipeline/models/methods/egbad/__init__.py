"""EGBAD (Zenati, Foo, Lecouat, Manek, Chandrasekhar; ICLR workshop 2018; arXiv 1802.06222)."""
