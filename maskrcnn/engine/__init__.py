"""Activities: training, evaluating and predicting, each a few calls into the floors below."""
