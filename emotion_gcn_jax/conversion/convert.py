"""Official checkpoints and torchvision's ImageNet weights to checkpoints of ours, and ours to official state dicts.

A converted checkpoint is one that evaluate, predict and training take. Its meta says in `origin` what file it is from,
that file's SHA-256, the licence of published weights, and the order that its classes had.
"""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from emotion_gcn_jax import checkpoints, labels
from emotion_gcn_jax.conversion import names
from emotion_gcn_jax.conversion.names import OfficialTensor
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.faces.alignment import Crop
from emotion_gcn_jax.graph import word_vectors
from emotion_gcn_jax.torch_files import reading, writing

PathLike = str | pathlib.Path

LABEL_ORDERS = ("affectnet", "affwild2")
"""The class orders of the official models: they were trained on either dataset, in its own order."""

OFFICIAL_LICENCE = "GPL-3.0, if these are the weights published with the official implementation of Emotion-GCN"
IMAGENET_LICENCE = "BSD-3-Clause, torchvision's"

# The image sides of the official models (Emotion-GCN spec, section 5).
_SMALL_SIDE, _LARGE_SIDE = 112, 227
_IMAGENET_MODEL = ("densenet121", "single_task")  # whose features have torchvision's names


def from_official(
    weights: PathLike,
    output: PathLike,
    *,
    trunk: str | None = None,
    model: str | None = None,
    vectors: PathLike | None = None,
    label_order: str = "affectnet",
) -> str:
    """Turns an official checkpoint, or a bare state dict with official names, into a checkpoint of ours.

    A graph model keeps the adjacency of the file. With another order than ours its nodes change places together with
    their edges and their word vectors, so that the outputs come in our order and are otherwise the same. Which word
    stood at which node of such a model is unknown: the word vectors are taken as the official loader takes them, the
    i-th for the file's i-th node.

    Args:
        weights: the PyTorch file.
        output: the new checkpoint's folder.
        trunk: "densenet121" or "bregnext50"; None goes by the tensors' names.
        model: "single_task", "multi_task" or "emotion_gcn"; likewise.
        vectors: a graph model's word vectors, see graph.word_vectors.load_word_vectors; None takes the embedded
            ones, where they are as wide as the model wants.
        label_order: one of LABEL_ORDERS, the order of the file's classes.

    Returns:
        What was done, for the user.

    Raises:
        UserError: a file cannot be read, its tensors are not those of such a model, or `output` exists. Nothing is
            written then.
    """
    checkpoints.check_new(output)
    tensors = _read_state_dict(weights)
    trunk, model = _trunk_and_model(weights, tensors, trunk, model)
    width = _word_vector_width(tensors)
    official = names.official_tensors(trunk, model, word_vector_width=width)
    tensors = _checked(weights, tensors, official)
    order = _file_rows(label_order)
    variables, extras = names.to_variables(names.permuted_classes(tensors, official, order), official)
    if model == "emotion_gcn":
        vectors_9xF = _word_vectors(vectors, width)
        variables["graph"]["head"]["word_vectors"] = vectors_9xF[[*order, *range(len(order), len(vectors_9xF))]]
    elif vectors:
        raise UserError(f"{weights} holds a {model}, which has no graph: leave --word-vectors out.")
    origin = _origin(weights, OFFICIAL_LICENCE) | {"label_order": label_order, "file_rows": order}
    meta = _meta(trunk, model, label_order, origin)
    checkpoints.write(output, variables, meta, extras)
    lines = _report(f"{weights}: {model} on {trunk}", variables, origin)
    config, side = meta["config"]["dataset"], meta["config"]["data"]["image_size"]
    lines.append(
        f"the file does not say what it was trained on, so it is taken for an official model: {side} pixels, faces cut "
        f"as {config['name']}'s by the builder config {config['config']}"
    )
    if label_order != "affectnet":
        moved = ", ".join(f"{row} to {i}" for i, row in enumerate(order) if row != i)
        lines.append(f"classes put from {label_order}'s order into ours: row {moved}")
    return "\n".join([*lines, f"checkpoint: {output}"])


def from_imagenet(weights: PathLike, output: PathLike) -> str:
    """Turns torchvision's densenet121 of ImageNet into trunk weights, for `--config.init.trunk`.

    Args:
        weights: the PyTorch file, with the present or the older names; its classifier is ignored.
        output: the new checkpoint's folder; no model can be loaded from it, since it has no head.

    Returns:
        What was done, for the user.

    Raises:
        UserError: as `from_official`.
    """
    checkpoints.check_new(output)
    trunk, model = _IMAGENET_MODEL
    official = tuple(t for t in names.official_tensors(trunk, model) if not t.name.startswith("classifier."))
    tensors = {n: t for n, t in _read_state_dict(weights).items() if not n.startswith("classifier.")}
    variables, _ = names.to_variables(_checked(weights, tensors, official), official)
    origin = _origin(weights, IMAGENET_LICENCE)
    checkpoints.write(output, variables, {"config": {"model": {"trunk": trunk}}, "origin": origin})
    return "\n".join([*_report(f"{weights}: {trunk}", variables, origin), f"trunk weights: {output}"])


def to_torch(checkpoint: PathLike, output: PathLike) -> str:
    """Writes a checkpoint's model as a state dict with the official names, classes in the order that they came in.

    A graph model's word vectors are in no official state dict: they are written beside it, as STEM_emb.pkl.

    Args:
        checkpoint: a run's working directory (its best checkpoint) or one checkpoint's folder.
        output: the file to write.

    Returns:
        What was done, for the user.

    Raises:
        UserError: there is no checkpoint, it has no head, its graph is propagated by rows, or a file cannot be written
            or exists.
    """
    output = pathlib.Path(output)
    beside = output.with_name(f"{output.stem}_emb.pkl")
    for path in (output, beside):
        checkpoints.check_new(path)
    read = checkpoints.read(checkpoint)
    if "head" not in read.variables["params"]:
        raise UserError(f"{checkpoint} holds the weights of a trunk alone, and no model that could be written.")
    config, graph = read.meta["config"]["model"], read.variables["graph"].get("head")
    if graph and read.meta["config"]["graph"]["propagation"] != "transposed":
        raise UserError(
            f"{checkpoint} was trained with config.graph.propagation=row, which the official code does not know: with "
            f"these weights it would give other answers; convert a model trained with transposed."
        )
    official = names.official_tensors(
        config["trunk"],
        config["name"],
        word_vector_width=graph["word_vectors"].shape[1] if graph else 0,
        num_classes=config["num_classes"],
    )
    tensors = names.to_state_dict(read.variables, read.extras, official)
    tensors = {t.name: tensors[t.name].astype(t.dtype) for t in official}
    order = np.argsort(read.meta.get("origin", {}).get("file_rows", range(config["num_classes"]))).tolist()
    writing.save(output, names.permuted_classes(tensors, official, order))
    lines = [f"{checkpoint}: {config['name']} on {config['trunk']}, {len(tensors)} tensors", f"state dict: {output}"]
    if graph:
        vectors_9xF = np.asarray(graph["word_vectors"], np.float32)
        writing.save(beside, vectors_9xF[[*order, *range(len(order), len(vectors_9xF))]])
        lines.append(f"word vectors: {beside}")
    return "\n".join(lines)


def _read_state_dict(path: PathLike) -> dict[str, Any]:
    """The state dict in a file: the file's object, or what its dict has under model_state_dict."""
    loaded = reading.load(path)
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in ("model_state_dict", "state_dict") if key in loaded), loaded)
    is_dict = isinstance(loaded, dict) and all(isinstance(name, str) for name in loaded)
    if not is_dict or not any(isinstance(tensor, np.ndarray) for tensor in loaded.values()):
        raise UserError(
            f"{path} holds no state dict: a dict with model_state_dict, or a bare dict of tensors, was expected."
        )
    return names.normalised_names(loaded)


def _trunk_and_model(path: PathLike, tensors: dict[str, Any], trunk: str | None, model: str | None) -> tuple[str, str]:
    found = names.infer_trunk_and_model(set(tensors), trunk, model)
    if found is None:
        some = ", ".join(list(tensors)[:3])
        raise UserError(
            f"{path} is no official Emotion-GCN model: it has {len(tensors)} tensors such as {some}; name --trunk and "
            f"--model to be told what differs from one."
        )
    return found


def _checked(path: PathLike, tensors: dict[str, Any], official: Sequence[OfficialTensor]) -> dict[str, np.ndarray]:
    """The tensors in the official types, if they are those of the model."""
    if problems := names.problems(tensors, official):
        classifier = tensors.get("classifier.weight")
        is_imagenet = isinstance(classifier, np.ndarray) and classifier.shape[:1] == (1000,)
        hint = "; it seems to be torchvision's ImageNet file: add --imagenet" if is_imagenet else ""
        raise UserError(f"{path} does not fit, and nothing was written: {'; '.join(problems)}{hint}.")
    return {t.name: tensors[t.name].astype(t.dtype) for t in official if t.name in tensors}


def _word_vector_width(tensors: dict[str, Any]) -> int:
    layer = tensors.get("gc1.weight")
    return layer.shape[0] if isinstance(layer, np.ndarray) and layer.ndim == 2 else 300


def _word_vectors(path: PathLike | None, width: int) -> np.ndarray:
    vectors_9xF = word_vectors.load_word_vectors(path)
    if vectors_9xF.shape[1] != width:
        held = f"{path} has {vectors_9xF.shape[1]}" if path else f"the embedded ones have {vectors_9xF.shape[1]}"
        raise UserError(
            f"The model wants word vectors of {width} numbers, {held}: give those that it was trained with by "
            f"--word-vectors, the official emb.pkl or a GloVe text file such as glove.6B.{width}d.txt."
        )
    return vectors_9xF


def _file_rows(label_order: str) -> list[int]:
    """For each of our classes, in order, the row that it has in a file of the given order."""
    if label_order not in LABEL_ORDERS:
        raise UserError(f"Unknown label order {label_order!r}: choose one of {', '.join(LABEL_ORDERS)}.")
    to_ours = labels.CLASS_ORDERS[label_order].to_expression
    return sorted(range(len(labels.EXPRESSIONS)), key=lambda row: to_ours[row])


def _origin(path: PathLike, licence: str) -> dict[str, Any]:
    with pathlib.Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": pathlib.Path(path).name, "sha256": digest, "licence": licence}


def _meta(trunk: str, model: str, dataset: str, origin: dict[str, Any]) -> dict[str, Any]:
    """What the training loop writes, as far as it is known of a model trained elsewhere (see configs/common.py)."""
    large = dataset == "affectnet" and not trunk.startswith("bregnext")
    side = _LARGE_SIDE if large else _SMALL_SIDE
    # AffectNet's official crops are described by what comes nearest to them, as the builder's csv_official does.
    crop = Crop(side=1.0 if dataset == "affectnet" else 1.05, size=side, enlarge=True)
    builds = {"affectnet": "csv_official" if large else "csv_official_112", "affwild2": "expr_va"}
    return {
        "config": {
            # AffectNet's None, Uncertain and Non-Face have valence and arousal, and no official model saw them.
            "dataset": {
                "name": dataset,
                "config": builds[dataset],
                "require": "expression" if dataset == "affectnet" else "none",
            },
            "data": {
                "image_size": side,
                "resize": "bilinear_antialiased",
                "eval_batch_size": 64,
                "threads": 4,
            },
            "model": {
                "trunk": trunk,
                "name": model,
                "num_classes": len(labels.EXPRESSIONS),
                "dtype": "float32",
                "remat": False,
            },
            "graph": {"propagation": "transposed"},
        },
        "label_names": list(labels.EXPRESSIONS),
        "nodes": list(labels.NODES),
        "crop": crop.to_dict(),
        "dataset": dataset,
        "validation": {},
        "origin": origin,
    }


def _report(what: str, variables: dict[str, Any], origin: dict[str, Any]) -> list[str]:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return [f"{what}, {parameters:,} parameters", f"sha256: {origin['sha256']}", f"licence: {origin['licence']}"]
