"""Networks in onnxruntime on the CPU: the face detector's and, where it is the faster engine, the model's."""

import pathlib

import onnxruntime


def cpu_session(model: bytes | pathlib.Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Opens an ONNX model, given as bytes or as a file; its warnings are not shown.

    Args:
        model: the network.
        threads: that work on one run; 0 takes one a core. 1 is for who runs several at once.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of the face detector's unused constants
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave their core alone
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
