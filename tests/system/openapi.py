"""Whether real answers are as src/api/openapi.json says. Every answer that the harness reads comes through here."""

import json
import os
import re
import sys

try:
    import jsonschema
except ImportError:  # another interpreter than Debian's; the package is pure Python
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import jsonschema
    except ImportError:
        jsonschema = None

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src", "api",
                      "openapi.json")
with open(SOURCE, encoding="utf-8") as source:
    DOCUMENT = json.load(source)
# Bigger bodies are many of the same: they would cost the tests more than they tell.
BODY_LIMIT = 8 * 1024
_validators = {}


def validator(schema):
    """For a schema of the document; its references lead into the document's components."""
    key = json.dumps(schema, sort_keys=True)
    if key not in _validators:
        jsonschema.Draft202012Validator.check_schema(schema)
        _validators[key] = jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return _validators[key]


def validate(value, schema):
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(value))
    if error is not None:
        raise AssertionError(f"not as openapi.json says: {error.json_path}: {error.message} in {json.dumps(value)[:500]}")


def operation(method, path):
    """The path's template and its operation, or (None, None)."""
    path = path.split("?")[0]
    for template, item in DOCUMENT["paths"].items():
        pattern = re.escape(template).replace(r"\{name\}", "[^/]+")
        if re.fullmatch(pattern, path):
            return template, item.get("get" if method == "HEAD" else method.lower())
    return None, None


def check(method, path, answer):
    """Fails when the status, the content type or the body of an answer is not in the document."""
    if jsonschema is None:
        return
    _, known = operation(method, path)
    if known is None:
        response = DOCUMENT["components"]["responses"]["Error"]
        assert answer.status >= 400, f"{method} {path} is answered with {answer.status} and not in openapi.json"
    else:
        response = known["responses"].get(str(answer.status))
        if response is None:
            assert answer.status >= 400, f"{method} {path}: the status {answer.status} is not in openapi.json"
            response = known["responses"]["default"]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    kind = answer.headers.get("Content-Type")
    if "content" not in response:
        assert answer.body == b"", f"{method} {path}: {answer.status} has no body in openapi.json"
        return
    assert kind in response["content"], f"{method} {path}: {kind} is not in openapi.json"
    if method == "HEAD" or len(answer.body) > BODY_LIMIT:
        return
    schema = response["content"][kind]["schema"]
    if kind == "application/json":
        validate(json.loads(answer.body), schema)
    elif kind == "application/x-ndjson":
        for line in answer.body.splitlines():
            validate(json.loads(line), schema)
