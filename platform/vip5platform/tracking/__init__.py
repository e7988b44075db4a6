"""MLflow: what is recorded there, how it is found again, and the view of a study in its UI."""
