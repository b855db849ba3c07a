"""The command line of a module: answers as JSON, `--self-test`, and `--serve` where the module brings a server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import ModuleError, load, self_test
from .errors import BadInput
from .integrity import read_manifest
from .model import MODULE_FILE
from .wire import as_json, ask

EPILOG = "Exit codes: 0 answered, 1 refused or the self-test says no."


def main(arguments=None) -> int:
    options = _options(arguments)
    try:
        if options.version:
            return _versioned()
        if options.self_test:
            return _tested(options)
        if options.serve:
            return _served(options)
        with load(threads=options.threads) as model:
            return _answered(model, options)
    except ModuleError as error:
        print("{}: {}\n  fix: {}".format(__package__, error.problem, error.fix), file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the answer, such as `head`, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return 1


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m " + __package__, description="Ask the model.", epilog=EPILOG)
    parser.add_argument(
        "text", nargs="*", help="a text; the second of a pair, or the context of a question, behind it; - is standard input"
    )
    parser.add_argument("--threads", type=int, help="of the runtime; one for each core if left out")
    parser.add_argument("--max-tokens", type=int, help="the most tokens to write, of a model that writes (128)")
    parser.add_argument("--prompt", metavar="NAME", help="which of its prompts a model for vectors puts before the text; '' for none")
    parser.add_argument("--chat", action="store_true", help="the text is a user's message, or a JSON list of messages")
    parser.add_argument("--window", default="refuse", help="refuse, or slide to go on where no position is left (%(default)s)")
    parser.add_argument("--lookup-tokens", type=int, default=0, help="tokens to try at once where the text repeats itself (%(default)s)")
    parser.add_argument("--version", action="store_true", help="print the module's name and version")
    parser.add_argument("--self-test", action="store_true", help="check the files and ask the golden texts")
    parser.add_argument("--serve", action="store_true", help="answer over HTTP")
    parser.add_argument("--host", default="127.0.0.1", help="to listen at; anything else than loopback is seen by others (%(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name by which clients reach the server; may be repeated"
    )
    parser.add_argument("--port", type=int, default=8090, help="to listen at (%(default)s)")
    options = parser.parse_args(arguments)
    if not (options.text or options.self_test or options.serve or options.version):
        parser.error("give a text, --self-test or --serve")
    return options


def _versioned() -> int:
    manifest = read_manifest(Path(__file__).parent / "model", MODULE_FILE)
    print(manifest["name"], manifest["version"])
    return 0


def _tested(options) -> int:
    result = self_test(threads=options.threads)
    print(json.dumps(as_json(result), ensure_ascii=False))
    return 0 if result.ok else 1


def _served(options) -> int:
    try:
        from .server import serve
    except ImportError as error:
        raise ModuleError("cannot serve: {}".format(error), "ship --for linux, and pip install -r requirements.txt") from None
    with load(threads=options.threads) as model:
        serve(model, options.host, options.port, options.allow_host)
    return 0


def _answered(model, options) -> int:
    texts = [sys.stdin.read().rstrip("\n") if text == "-" else text for text in options.text]
    if model.task == "text-generation":
        limit = {} if options.max_tokens is None else {"max_tokens": options.max_tokens}
        text = " ".join(texts)
        for piece in model.stream(**_asked(text, options.chat), window=options.window, lookup_tokens=options.lookup_tokens, **limit):
            print(piece.text, end="", flush=True)
        print()
        return 0
    settings = {} if options.prompt is None else {"prompt": options.prompt}
    if settings and model.task != "feature-extraction":
        raise ModuleError("--prompt: a model for {} has no prompts".format(model.task), "leave it out")
    print(json.dumps(as_json(ask(model, texts, **settings)), ensure_ascii=False))
    return 0


def _asked(text: str, chats: bool) -> dict:
    if not chats:
        return {"prompt": text}
    if not text.lstrip().startswith("[{"):
        return {"messages": [{"role": "user", "content": text}]}
    try:
        return {"messages": json.loads(text)}
    except ValueError as error:
        raise BadInput("the messages are not JSON: {}".format(error), 'give [{"role": "user", "content": "..."}]') from None


if __name__ == "__main__":
    sys.exit(main())
