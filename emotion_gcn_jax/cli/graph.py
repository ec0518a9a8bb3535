"""`emotion-gcn graph`: the graph's edges from a dataset's annotations."""

import argparse
import pathlib
import re
from collections.abc import Callable

from emotion_gcn_jax.cli.arguments import Subparsers, add_subcommand
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import atomic_write, user_path


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "graph",
        _run,
        "compute the graph's edges from the annotations of a dataset",
        "emotion-gcn graph --dataset affwild2 --config expr_va --output adjacency.csv --plot graph.png",
    )
    parser.usage = "%(prog)s --dataset NAME --output FILE [OPTIONS]"
    parser.add_argument("--dataset", required=True, help="a dataset that `tfds build` has made")
    parser.add_argument("--config", help="the dataset's config; needed where several are built")
    parser.add_argument("--data-dir", help="where it was built; by default where TFDS builds")
    parser.add_argument("--split", default="train", help="the split whose annotations count (default: train)")
    parser.add_argument("--model", default="emotion_gcn", help="emotion_gcn (default) or emotion_gcn_au: which nodes")
    parser.add_argument("--vocabulary", help="the classes that are nodes, with commas between them")
    parser.add_argument("--threshold", type=float, default=0.1, help="the weakest correlation that is an edge (0.1)")
    parser.add_argument(
        "--output", required=True, help="CSV file for the correlations, for --config.graph.correlations"
    )
    parser.add_argument("--plot", help="PNG file for a drawing of the edges")


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax import presets
    from emotion_gcn_jax.data import selection
    from emotion_gcn_jax.data.builds import open_split
    from emotion_gcn_jax.graph import adjacency, picture
    from emotion_gcn_jax.graph.nodes import nodes_of, targets
    from emotion_gcn_jax.tasks import registry

    if arguments.plot and pathlib.Path(arguments.plot).suffix.lower() != ".png":
        raise UserError(f"--plot draws a PNG file, found {arguments.plot}: name one that ends in .png.")
    fields = presets.tasks(arguments.model)
    if arguments.vocabulary:
        fields["expression"]["vocabulary"] = arguments.vocabulary
    tasks = registry.from_config(fields)
    nodes = nodes_of(tasks)
    split = open_split(arguments.dataset, arguments.split, config=arguments.config, data_dir=arguments.data_dir)
    try:
        selection.check_known([split], tasks)
    except UserError as error:  # here the config's field is an option
        raise UserError(re.sub(r"(--)?config\.tasks\.expression\.vocabulary", "--vocabulary", str(error))) from None
    labels = registry.read_labels(tasks, split.columns, split.metadata)
    correlations_NxN = adjacency.spearman_correlations(targets(tasks, labels), nodes)
    adjacency_NxN = adjacency.adjacency_from_correlations(correlations_NxN, nodes, threshold=arguments.threshold)
    edges = picture.edges(correlations_NxN, adjacency_NxN)
    print(f"{split!r}: Spearman correlations\n\n{picture.table(correlations_NxN, nodes)}\n")
    print(f"edges (correlations of at least {arguments.threshold:g}):\n{picture.listing(edges, nodes)}\n")
    _write(arguments.output, lambda path: adjacency.write_correlations(path, correlations_NxN, nodes))
    if arguments.plot:
        title = f"{split.dataset}, {split.name}: correlations of at least {arguments.threshold:g}"
        _write(arguments.plot, lambda path: atomic_write(path, picture.draw(correlations_NxN, edges, nodes, title)))
    threshold = f"--config.graph.threshold={arguments.threshold}"
    print(f"train with it: --config.graph.correlations={arguments.output} {threshold}")
    return 0


def _write(name: str, write: Callable[[pathlib.Path], object]) -> None:
    """Writes a file, or says in a sentence why it cannot be written."""
    path = user_path(name)
    try:
        write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from None
    print(f"wrote {path}")
