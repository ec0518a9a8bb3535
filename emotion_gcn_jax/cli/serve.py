"""`emotion-gcn serve`: a page in the browser."""

import argparse

from emotion_gcn_jax.cli.arguments import Subparsers, add_checkpoint, add_subcommand, model_name
from emotion_gcn_jax.errors import UserError


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = add_subcommand(
        subparsers,
        "serve",
        _run,
        "open a page that judges photographs, a camera and videos on this machine",
        "emotion-gcn serve\n  emotion-gcn serve --checkpoint runs/demo --port 9000",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; another than 127.0.0.1 needs a token"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes any that is free; 8000")
    parser.add_argument("--token", help="what visitors must know; beyond this machine one is made up")
    parser.add_argument(
        "--static", metavar="FOLDER", help="serve a folder of export --format web, without a model here"
    )


def _run(arguments: argparse.Namespace) -> int:
    from emotion_gcn_jax.files import user_path
    from emotion_gcn_jax.serving import page_files, server

    if arguments.token == "":
        raise UserError("--token must not be empty: leave it out, and one is made up where it is needed.")
    where = arguments.host, arguments.port
    if arguments.static:
        if arguments.checkpoint:
            raise UserError("--static serves a folder that has its model in it: leave --checkpoint out.")
        files = page_files.folder_files(user_path(arguments.static))
        opened = server.listen(*where, files, token=arguments.token)
    else:
        from emotion_gcn_jax.inference.model import load

        name = model_name(arguments.checkpoint)
        opened = server.open_server(load(arguments.checkpoint), name, *where, arguments.token)
    with opened:
        try:
            print(f"open {opened.address} in a browser; Ctrl-C ends", flush=True)
            opened.serve_forever()
        except KeyboardInterrupt:
            print("\nended")
    return 0
