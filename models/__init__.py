"""Networks and graphs in ONNX form; the only place that knows devices."""
