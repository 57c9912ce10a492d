"""What the service says about itself: the schema of ``/classify``, and a page.

The page is one file without scripts, and loads nothing.
"""

from collections.abc import Iterator, Mapping
from html import escape

from ser_lib.serve.limits import Limits
from ser_lib.serve.uploads import FIELD

CLASSIFY_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Recordings: WAV, FLAC, MP3, OGG ...",
                    }
                },
            }
        }
    },
}
CLASSIFY_RESPONSES = {
    200: {
        "description": "A row for each recording: path (the name that was sent), "
        "label, score, p_... for each label, and error (null or a sentence)."
    },
    400: {"description": "The form is damaged, or holds something else than files."},
    408: {"description": "The request stopped arriving, or took too long."},
    413: {"description": "The request is too large; it was not read to its end."},
    415: {"description": "The request is not multipart/form-data."},
    422: {"description": "No recording could be used; the rows say why."},
    503: {"description": "Busy. Retry-After says in how many seconds to try again."},
    504: {"description": "The answer takes too long."},
}
_STREAM = """\
> {"sample_rate_hz": 16000}          the settings, as text
> (bytes)                            samples, in messages of any length
< {"start_s": 0.0, "end_s": 4.0, "label": "happy", "score": 0.8, ...}
> (bytes)
> {"end": true}
< {"end": true, "n_windows": 1, "duration_s": 4.3}
"""
_SETTINGS = (
    "Further settings: sample_format (int16 or float32, little-endian), channels, "
    "window_s (4), hop_s (1), unknown_below. A mistake is answered with "
    '{"error": "..."}, and the connection is closed with the code 1008; a busy service '
    "closes it with 1013."
)
_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
       padding: 0 1rem; color-scheme: light dark; }
h2 { margin-top: 2.5rem; } pre, code { font-family: ui-monospace, monospace; }
pre { padding: .8rem; overflow-x: auto; border: 1px solid #8888; border-radius: 6px; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
"""


def documentation_page(schema: Mapping, limits: Limits) -> str:
    """Return the page, in HTML.

    Arguments
    ---------
    schema : Mapping
        The OpenAPI description of the service.
    limits : Limits
        They are listed.
    """
    info = schema["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
        "<p>For programs: <a href='/openapi.json'>/openapi.json</a></p>",
    ]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation)
    parts += [
        "<h2>WS /stream</h2><p>Recognise emotions in a stream of samples.</p>",
        f"<pre>{escape(_STREAM)}</pre><p>{escape(_SETTINGS)}</p>",
        "<h2>Limits</h2>",
        _table((name, f"{value:g}") for name, value in vars(limits).items()),
        "</body></html>",
    ]
    return "".join(parts)


def _operation(method: str, path: str, operation: Mapping) -> Iterator[str]:
    yield f"<h2>{method} {escape(path)}</h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    if "requestBody" in operation:
        command = f"curl -F {FIELD}=@speech.wav -F {FIELD}=@call.flac ADDRESS{path}"
        yield f"<pre>{escape(command)}</pre>"
    responses = operation["responses"].items()
    yield _table((str(code), answer["description"]) for code, answer in responses)


def _table(rows: Iterator[tuple[str, str]]) -> str:
    cells = (
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table>{''.join(cells)}</table>"
