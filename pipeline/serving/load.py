"""MLflow runs this file to load the model (models from code), so that nothing is pickled."""

from mlflow.models import set_model

from pipeline.serving.scan_model import ScanModel

set_model(ScanModel())
