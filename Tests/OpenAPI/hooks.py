"""What schemathesis has to be told about natter: who asks, lines of JSON, and that a test has no minute to wait."""

import json
import os
import uuid

import requests
import schemathesis

LONGEST_WAIT = 1
LINES = "application/x-ndjson"

# All from tools/check/openapi. Accounts and the token that others are made with must last to the end of the run.
PROTECTED_ACCOUNTS = {"operator", "bob", "maker"}
maker = os.environ["MAKER_TOKEN"]
MAKER_ID = os.environ["MAKER_ID"]

# A description can't know the id of a store's conversation.
EXAMPLE_ID = "0123456789abcdef0123456789abcdef"
GENERAL_ID = os.environ["GENERAL_ID"]

# Each of these may end what it asks with.
ENDING = {"logout", "endSession", "revokeToken", "changePassword"}


def current_maker(base):
    """The token that others are made with. A logout of everything, or a new password, ends it. The next one is that of
    a new account: the generated wrong passwords have used up the attempts of the old one."""
    global maker
    if requests.get(base + "/v1/whoami", headers={"Authorization": "Bearer " + maker}, timeout=20).status_code == 401:
        # Each phase is a process of its own, and a name is never given twice.
        name = f"maker-{uuid.uuid4().hex[:12]}"
        account = {"name": name, "password": f"a password of {name}"}
        answer = requests.post(base + "/v1/register", json=account, timeout=20)
        answer.raise_for_status()
        PROTECTED_ACCOUNTS.add(name)
        maker = answer.json()["token"]
    return maker


def is_ending(operation):
    return operation.definition.raw.get("operationId") in ENDING


@schemathesis.auth(refresh_interval=None)
class Auth:
    def get(self, case, context):
        base = case.operation.schema.config.base_url
        if not is_ending(case.operation):
            return current_maker(base) if "tokens" in case.operation.tags else os.environ["ADMIN_TOKEN"]
        wanted = {"label": "for one request", "scope": "all"}
        authority = {"Authorization": "Bearer " + current_maker(base)}
        made = requests.post(base + "/v1/tokens", json=wanted, headers=authority, timeout=20)
        made.raise_for_status()
        return made.json()["token"]

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": "Bearer " + token}


@schemathesis.serializer(LINES)
def lines(context, value):
    """The description has a list where there is an object a line."""
    if not isinstance(value, list):
        value = [value]
    return "".join(json.dumps(line) + "\n" for line in value).encode()


@schemathesis.deserializer(LINES)
def objects(context, response):
    return [json.loads(line) for line in response.content.split(b"\n") if line.strip()]


calls = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    global calls
    calls += 1
    # Where a wait is asked for that the server would grant, a short one.
    wait = str((case.query or {}).get("wait"))
    if wait.isascii() and wait.isdigit() and int(wait) > LONGEST_WAIT:
        case.query["wait"] = LONGEST_WAIT
    # Nobody who still has to ask may be disabled, or lose their token.
    parameters = case.path_parameters or {}
    if case.operation.path.startswith("/v1/admin/users/") and parameters.get("user") in PROTECTED_ACCOUNTS:
        parameters["user"] = "mallory"
    if is_ending(case.operation) and parameters.get("id") == MAKER_ID:
        parameters["id"] = "0"
    if parameters.get("conversation_id") == EXAMPLE_ID:
        parameters["conversation_id"] = GENERAL_ID
    # Most names are of no conversation.
    if "conversation" in parameters and calls % 3 != 0:
        parameters["conversation"] = ["general", "@bob"][calls // 3 % 2]
    # Every second list is asked for in lines, but where a link leads on from it: links look into JSON.
    is_linked = case.meta is not None and case.meta.phase.name == "stateful"
    if calls % 2 == 0 and case.method.upper() == "GET" and not is_linked:
        case.headers = {**(case.headers or {}), "Accept": LINES}
