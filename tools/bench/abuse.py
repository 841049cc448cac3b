"""The clients of tools/bench/abuse: honest ones, and such as ask for what costs most.

    abuse.py honest SECONDS PORT TOKENS     20 clients; prints for each request the method, the seconds and the status
    abuse.py judge FILE                     prints the 99th percentile of that, of GET, and of POST in ms, and what was refused
    abuse.py prepare 0 PORT TOKENS          makes a group of each hostile account, with 500 members
    abuse.py hostile SECONDS PORT TOKENS    200 clients of three accounts and of none
    abuse.py silent SECONDS PORT TOKENS     6,050 connections that say nothing, say it byte by byte, or do not read
    abuse.py cost PROCESS PORT TOKENS TRIED prints a row for each attack: its requests and answers in the file TRIED, then the
                                            server's processor time for one of them alone
TOKENS are those of an honest account, of three hostile ones, and one that may only read, with commas between.
'hostile' and 'silent' end at SIGTERM, too. Both print for each attack and answer, with tabs, how many there were.
"""
import asyncio, collections, json, os, signal, socket, sys, time

mode, subject = sys.argv[1:3]
port, tokens = (int(sys.argv[3]), sys.argv[4].split(",")) if len(sys.argv) > 3 else (0, ["", "", ""])
honest, *hostile, reader = tokens
NDJSON = "application/x-ndjson"


async def ask(method, path, token=None, body=b"", kind="application/json", host="localhost", more=""):
    """A connection that has sent a request."""
    stream, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}"
    if body: head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    if token: head += f"Authorization: Bearer {token}\r\n"
    writer.write(head.encode() + b"\r\n" + body)
    return stream, writer


async def request(*what, deaf=0, **more):
    """The status of an answer, or 0 if there is none. With 'deaf' it does not read for so many seconds."""
    stream, writer = await ask(*what, **more)
    try:
        await asyncio.sleep(deaf)
        line = (await stream.readline()).split()
        while await stream.read(1 << 16): pass
        return int(line[1]) if line else 0
    finally:
        writer.close()


async def leave(seconds, *what):
    """Goes away after so many seconds, and reads nothing before."""
    _, writer = await ask(*what)
    try:
        writer.transport.pause_reading()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.sleep(seconds)
        return "not read"
    finally:
        writer.transport.abort()


def text(**fields): return json.dumps(fields, ensure_ascii=False).encode()


many_fields = b"{" + b",".join(b'"f%d":1' % n for n in range(95_000)) + b"}"
marks = "\u0301\u0316" * 100_000
beginnings = "+".join(a + b + "*" for a, b in zip("tswcgpbdrkmnlaei", "hteaoreoenaioanf"))
long_text = text(conversation="@me", text="\x01" * 60_000)
many_marks = text(conversation=marks, text="x")
marked_kind = text(conversation="general", kind=marks, text="x")
short_texts = (text(conversation="@me", text="x") + b"\n") * 20_000
numbers = iter(range(os.getpid() << 32, 1 << 62))
crowd = {token: f"crowd-{n}" for n, token in enumerate(hostile + [None])}


def change(token, *changes):
    """One of the changes of a group after the other."""
    return request("PATCH", "/v1/groups/" + crowd[token], token, text(**changes[next(numbers) % len(changes)]))


async def make_and_delete(token):
    name = f"m{next(numbers)}"
    status = await request("POST", "/v1/groups", token, text(name=name))
    return await request("DELETE", "/v1/groups/" + name, token) if status == 201 else status


# What an attack is called, and its request with a token that may be missing.
attacks = [
    ("a conversation of 200,000 combining marks", lambda t: request("POST", "/v1/messages", t, many_marks)),
    ("a kind of 200,000 combining marks", lambda t: request("POST", "/v1/messages", t, marked_kind)),
    ("a name of 3,500 combining marks, without an account", lambda t: request("POST", "/v1/register", None,
        text(name="a" + marks[:3_500], password="long enough"))),
    ("95,000 unknown fields in a message", lambda t: request("POST", "/v1/messages", t, many_fields)),
    ("95,000 unknown fields, without an account", lambda t: request("POST", "/v1/register", None, many_fields)),
    ("a search for 900 beginnings of words", lambda t: request("GET", "/v1/search?q=" + "t*+" * 900, t)),
    ("a search for 16 beginnings of words", lambda t: request("GET", "/v1/search?q=" + beginnings, t)),
    ("a search from somebody who wrote nothing", lambda t: request("GET", "/v1/search?q=the&from=alice", t)),
    ("1,000 messages for a client that reads late", lambda t: request("GET", "/v1/conversations/general/messages?limit=1000", t, deaf=2)),
    ("a text of 60,000 control characters", lambda t: request("POST", "/v1/messages", t, long_text)),
    ("a page of 200 of them", lambda t: request("GET", "/v1/conversations/@me/messages?limit=200", t)),
    ("the same, never read", lambda t: leave(2, "GET", "/v1/conversations/@me/messages?limit=200", t)),
    ("a GET with a body of 1 MiB", lambda t: request("GET", "/v1/whoami", t, b"x" * (1 << 20))),
    ("a message of 2 MiB", lambda t: request("POST", "/v1/messages", t, b"x" * (2 << 20))),
    ("a head of 20 KB", lambda t: request("GET", "/v1/whoami", t, more="X: " + "x" * 20_000 + "\r\n")),
    ("a head of 2,000 lines", lambda t: request("GET", "/v1/whoami", t, more="X:x\r\n" * 2_000)),
    ("bulk of 300,000 lines of 2 bytes", lambda t: request("POST", "/v1/messages", t, b"x\n" * 300_000, NDJSON)),
    ("the same with a token that may only read", lambda t: request("POST", "/v1/messages", reader, b"x\n" * 300_000, NDJSON)),
    ("bulk of 20,000 messages of 1 byte", lambda t: request("POST", "/v1/messages", t, short_texts, NDJSON)),
    ("the same, its answers never read", lambda t: leave(2, "POST", "/v1/messages", t, short_texts, NDJSON)),
    ("a pattern of six stars over all users", lambda t: request("GET", "/v1/users?q=*a*b*c*d*e*f*&limit=1000", t)),
    ("a part of the names of all users", lambda t: request("GET", "/v1/users?q=ser00&limit=1000", t)),
    ("1,000 users", lambda t: request("GET", "/v1/users?limit=1000", t)),
    ("a sync from the beginning", lambda t: request("GET", "/v1/sync", t)),
    ("a wait that is dropped", lambda t: leave(0.05, "GET", "/v1/conversations/@me/messages?after=4294967295&wait=60", t)),
    ("another token", lambda t: request("POST", "/v1/tokens", t, text(label="x", scope="all"))),
    ("another group", lambda t: request("POST", "/v1/groups", t, text(name=f"n{next(numbers)}"))),
    ("another group, then its deletion", make_and_delete),
    ("a new name for a group of 500", lambda t: change(t, {"name": crowd[t].title()}, {"name": crowd[t]})),
    ("a group of 500, opened or closed", lambda t: change(t, {"open": True}, {"open": False})),
    ("a wrong password", lambda t: request("POST", "/v1/login", None, text(name="honest", password="not the right one"))),
    ("a password for one unknown name after the other", lambda t: request("POST", "/v1/login", None,
        text(name=f"u{next(numbers)}", password="not the right one"))),
    ("another site's name as the host", lambda t: request("GET", "/v1/sync", t, host="evil.example")),
]


tried = collections.Counter()


async def until_end(acts):
    """Runs all until the time is over or SIGTERM comes, then prints what was tried."""
    tasks = [asyncio.ensure_future(act) for act in acts]
    loop = asyncio.get_running_loop()
    def stop():
        for task in tasks: task.cancel()
        # wait_for() forgets that it was cancelled if its answer comes at that moment.
        loop.call_later(0.5, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.call_later(float(subject), stop)
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError): raise ended
    for (name, answer), count in tried.items(): print(name, answer, count, sep="\t")


async def attack(number):
    """One client: each takes the attacks in turn, from another one on."""
    token = (hostile + [None])[number % 4]
    while True:
        name, act = attacks[number // 4 % len(attacks)]
        try: tried[name, await asyncio.wait_for(act(token), 30)] += 1
        except asyncio.TimeoutError: tried[name, "none in 30 s"] += 1
        except asyncio.CancelledError:
            tried[name, "under way at the end"] += 1
            raise
        except (OSError, ValueError):
            tried[name, "cut"] += 1
            await asyncio.sleep(0.01)
        number += 4


async def be_hostile(): await until_end(attack(number) for number in range(200))


async def prepare():
    for token in hostile:
        await request("POST", "/v1/groups", token, text(name=crowd[token]))
        for n in range(500): await request("PUT", f"/v1/groups/{crowd[token]}/members/user{n:06}", token)


async def be_honest():
    message = text(conversation="general", text="hello there, how are things on the other side")

    async def client(end):
        while time.monotonic() < end:
            for how in (("GET", "/v1/conversations/general/messages?limit=20", honest), ("POST", "/v1/messages", honest, message)):
                began = time.monotonic()
                try: status = await request(*how)
                except (OSError, ValueError): status = 0
                print(how[0], f"{time.monotonic() - began:.6f}", status)
                await asyncio.sleep(0.05)

    end = time.monotonic() + float(subject)
    await asyncio.gather(*(client(end) for _ in range(20)))


def judge():
    with open(subject) as file: lines = [line.split() for line in file]
    for methods in (("GET", "POST"), ("GET",), ("POST",)):
        times = sorted(float(seconds) for method, seconds, _ in lines if method in methods)
        print(f"{times[len(times) * 99 // 100] * 1000:.1f}", end=" ")
    refused = collections.Counter(status for _, _, status in lines if status not in ("200", "201"))
    print(f"{refused.total()} of {len(lines)} {dict(refused) or ''}")


async def be_silent():
    async def again(kind, act):
        while True:
            try:
                stream, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
                await act(stream, writer)
                writer.close()
                tried[kind, "ended"] += 1
            except asyncio.CancelledError:
                tried[kind, "under way at the end"] += 1
                raise
            except OSError: await asyncio.sleep(0.1)

    async def idle(stream, writer): await stream.read()

    async def drip(stream, writer, start):
        writer.write(start.encode())
        while not stream.at_eof():
            writer.write(b"x")
            await writer.drain()
            try: await asyncio.wait_for(stream.read(1), 1)
            except asyncio.TimeoutError: pass

    start = f"Host: localhost\r\nAuthorization: Bearer {hostile[0]}\r\n"
    async def head(stream, writer): await drip(stream, writer, "GET /v1/whoami HTTP/1.1\r\n" + start + "X: ")
    async def body(stream, writer): await drip(stream, writer, "POST /v1/messages HTTP/1.1\r\n" + start + "Content-Length: 100000\r\n\r\n")

    async def deaf(stream, writer):
        writer.transport.pause_reading()
        writer.write(("GET /v1/sync HTTP/1.1\r\n" + start + "\r\n").encode())
        await asyncio.sleep(40)

    await until_end(again(kind, act) for kind, act, count in (
        ("a connection that says nothing", idle, 5000), ("a head byte by byte", head, 500), ("a body byte by byte", body, 500),
        ("a sync that is not read", deaf, 50)) for _ in range(count))


def spent(process):
    """The processor time of all threads of a process, in seconds."""
    total = 0
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/schedstat") as file: total += int(file.read().split()[0])
    return total / 1e9


async def measure_costs():
    answers = collections.defaultdict(collections.Counter)
    with open(sys.argv[5]) as file:
        for line in file:
            name, answer, count = line.rstrip("\n").split("\t")
            answers[name][answer] += int(count)

    def row(name, *cost):
        found = answers.pop(name, collections.Counter())
        counts = ", ".join(f"{answer} ({count})" for answer, count in found.most_common())
        print("|", " | ".join((name, str(found.total()), counts, *cost)), "|", flush=True)

    for name, act in attacks:
        costs, statuses = [], collections.Counter()
        for _ in range(5):
            before = spent(subject)
            try: statuses[await act(hostile[0])] += 1
            except OSError: statuses["cut"] += 1
            await asyncio.sleep(0.05)
            costs.append(spent(subject) - before)
        row(name, ", ".join(map(str, statuses)), f"{sorted(costs)[2] * 1000:.1f}")
    for name in list(answers): row(name, "", "")


if mode == "judge": judge()
else: asyncio.run({"honest": be_honest, "prepare": prepare, "hostile": be_hostile, "silent": be_silent, "cost": measure_costs}[mode]())
