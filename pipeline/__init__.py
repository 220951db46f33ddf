"""SkipScan: unsupervised threat detection in X-ray baggage scans."""
