"""Networks in onnxruntime on the CPU: the face detector's and, where it is the faster engine, the model's."""

import pathlib

import onnxruntime


def cpu_session(model: bytes | pathlib.Path) -> onnxruntime.InferenceSession:
    """Opens an ONNX model, given as bytes or as a file; its warnings are not shown."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of the face detector's unused constants
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave their core alone
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
