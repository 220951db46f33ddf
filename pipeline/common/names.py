"""Names that several packages share: labels, splits, and array types with their shapes."""

import numpy as np
from numpy.typing import NDArray

# Labels of windows and scans, in addition to the names of the abnormal classes.
NORMAL = "normal"
IGNORED = "ignored"  # an object that makes a window neither normal nor abnormal

TRAIN = "train"  # normal scans only
VALIDATION = "validation"  # normal scans only: best epoch, score bounds, threshold
IGNORED_VALIDATION = "ignored_validation"  # the same scans' windows on ignored objects
LABELLED_TRAINING = "labelled_training"  # bags with a threat: they teach `model.head`
LABELLED_VALIDATION = "labelled_validation"  # normal and abnormal: a sweep's objective
TEST = "test"  # normal and abnormal: read only once, by evaluation
SPLITS = (TRAIN, VALIDATION, LABELLED_TRAINING, LABELLED_VALIDATION, TEST)

# (H, W, C), 0 to 255, bright where nothing absorbs. C is 1 (grey), 2 (low and high energy) or 3
# (RGB), the same in all scans of a set.
Image = NDArray[np.uint8]
MAX_CHANNELS = 3
Patches = NDArray[np.uint8]  # (N, H, W, C), values and C as in `Image`
Scores = NDArray[np.float64]  # (N,), higher means more abnormal
PValues = NDArray[np.float64]  # (N,), above 0 to 1, lower means more abnormal

FALSE_ALARM_RATE = 0.2  # share of normal bags that may raise an alarm, unless another is asked for
