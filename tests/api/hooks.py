"""What a schema cannot say: requests that succeed, and refusals of requests that
are valid member by member."""

import base64
import json
import pathlib
import re

import schemathesis

CAPTURES = pathlib.Path(__file__).resolve().parents[2] / "vectors/api/captures"
SEED = json.loads((CAPTURES / "seed.json").read_text())
POSTS = json.loads((CAPTURES / "post.json").read_text())

# Refusals of valid data: status, beginning of the text, why it is right.
RIGHT_REFUSALS = [
    (422, r"pagination=0 is not allowed with cursor", "the two exclude each other"),
    (422, r"Invalid cursor: ", "a cursor is what the node gave, which is no matter of its form"),
    (422, r".*end (date|block) cannot be lower than start", "spans have a direction"),
    (422, r".*Cursor pagination is not supported with tx-time", "the order changes between pages"),
    (400, r"Cursor pagination is not supported for (forgotten|removed)", "the list of what is gone has none"),
    (400, r"msgStatuses=forgotten/removed cannot be combined", "what is gone has other members"),
    (400, r"Filters not supported for (forgotten|removed)", "the content is gone"),
    (422, r"Message \S+ is not processed", "there is nothing to show"),
    (400, r"Message is not an executable or store message", "the message costs nothing"),
    (410, r"This message has been (forgotten|removed)", "there is no bill of it"),
    (422, r"InvalidMessageFormat$", "the hash must be that of the content, the content that of its type"),
    (422, r"422: Could not decode metadata: ", "the part holds a signed message as text"),
    (400, r"the form cannot be read: ", "the names of parts are texts of headers"),
    (422, r"422: Unprocessable Entity$", "a number that no node can read"),
    (400, r"this CID cannot be opened here: ", "a CID is what it names, which is no matter of its form"),
    (422, r"422: 'data': must be deserializable as JSON", "the text must be that of a message"),
    (422, r'\{"publication_status".*"message_status":"rejected"\}$', "the signature is wrong"),
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    text = response.content.decode(errors="replace")
    return not any(
        response.status_code == status and re.match(beginning, text, re.DOTALL)
        for status, beginning, _ in RIGHT_REFUSALS
    )


@schemathesis.hook
def filter_query(context, query):
    """In the text of a URL an object is a text like any other."""
    return not any(isinstance(value, dict) for value in (query or {}).values())


@schemathesis.hook
def before_add_examples(context, examples):
    """Every recorded write that succeeded, once more."""
    operation = context.operation
    for step in SEED["steps"] + POSTS:
        same = (step["method"], step["path"]) == (operation.method.upper(), operation.path)
        if not same or step["expect"]["status"] not in (200, 202):
            continue
        if step["kind"] == "json":
            examples.append(operation.Case(body=step["json"], media_type="application/json"))
        if step["kind"] == "multipart" and all("b64" in p or "text" in p for p in step["parts"]):
            body = {part["name"]: content(part) for part in step["parts"]}
            examples.append(operation.Case(body=body, media_type="multipart/form-data"))


def content(part):
    return base64.b64decode(part["b64"]) if "b64" in part else part["text"]
