"""The clients of bench/abuse: honest ones, and such as ask for what costs most.

    abuse.py honest SECONDS PORT TOKENS     20 clients; prints for each request the method, the seconds and the status
    abuse.py judge FILE                     prints the 99th percentile of that, of GET, and of POST in ms, and what was refused
    abuse.py hostile SECONDS PORT TOKENS    200 clients of three accounts and of none
    abuse.py silent SECONDS PORT TOKENS     6,050 connections that say nothing, say it byte by byte, or do not read
    abuse.py cost PROCESS PORT TOKENS       prints the server's processor time for one request of each attack, alone
TOKENS are those of an honest account, of three hostile ones, and one that may only read, with commas between.
"""
import asyncio, collections, json, os, sys, time

mode, subject = sys.argv[1:3]
port, tokens = (int(sys.argv[3]), sys.argv[4].split(",")) if len(sys.argv) > 3 else (0, ["", "", ""])
honest, *hostile, reader = tokens
NDJSON = "application/x-ndjson"


async def request(method, path, token=None, body=b"", kind="application/json", deaf=0, host="localhost"):
    """The status of an answer, or 0 if there is none. With 'deaf' it does not read for so many seconds."""
    stream, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        if body: head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        if token: head += f"Authorization: Bearer {token}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        await asyncio.sleep(deaf)
        line = (await stream.readline()).split()
        while await stream.read(1 << 16): pass
        return int(line[1]) if line else 0
    finally:
        writer.close()


def text(**fields): return json.dumps(fields, ensure_ascii=False).encode()


many_fields = b"{" + b",".join(b'"f%d":1' % n for n in range(95_000)) + b"}"
marks = "\u0301\u0316" * 100_000
beginnings = "+".join(a + b + "*" for a, b in zip("tswcgpbdrkmnlaei", "hteaoreoenaioanf"))
long_text = text(conversation="@me", text="\x01" * 60_000)
names = (f"n{n}" for n in range(1 << 60))
# What an attack is called, and its request with a token that may be missing.
attacks = [
    ("a conversation of 200,000 combining marks", lambda t: request("POST", "/v1/messages", t, text(conversation=marks, text="x"))),
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
    ("a GET with a body of 1 MiB", lambda t: request("GET", "/v1/whoami", t, b"x" * (1 << 20))),
    ("bulk of 300,000 lines of 2 bytes", lambda t: request("POST", "/v1/messages", t, b"x\n" * 300_000, NDJSON)),
    ("the same with a token that may only read", lambda t: request("POST", "/v1/messages", reader, b"x\n" * 300_000, NDJSON)),
    ("a pattern of six stars over all users", lambda t: request("GET", "/v1/users?q=*a*b*c*d*e*f*&limit=1000", t)),
    ("1,000 users", lambda t: request("GET", "/v1/users?limit=1000", t)),
    ("a sync from the beginning", lambda t: request("GET", "/v1/sync", t)),
    ("another token", lambda t: request("POST", "/v1/tokens", t, text(label="x", scope="all"))),
    ("another group", lambda t: request("POST", "/v1/groups", t, text(name=next(names)))),
    ("a wrong password", lambda t: request("POST", "/v1/login", None, text(name="honest", password="not the right one"))),
    ("another site's name as the host", lambda t: request("GET", "/v1/sync", t, host="evil.example")),
]


async def attack(number, end):
    """One client: each takes the attacks in turn, from another one on."""
    token = (hostile + [None])[number % 4]
    while time.monotonic() < end:
        _, act = attacks[number // 4 % len(attacks)]
        try: await asyncio.wait_for(act(token), 30)
        except (OSError, ValueError, asyncio.TimeoutError): await asyncio.sleep(0.01)
        number += 4


async def be_hostile():
    end = time.monotonic() + float(subject)
    await asyncio.gather(*(attack(number, end) for number in range(200)))


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
    cuts = collections.Counter()

    async def again(kind, act):
        while True:
            try:
                stream, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
                await act(stream, writer)
                writer.close()
            except OSError: await asyncio.sleep(0.1)
            cuts[kind] += 1

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

    tasks = [asyncio.ensure_future(again(kind, act)) for kind, act, count in
        (("idle", idle, 5000), ("head", head, 500), ("body", body, 500), ("deaf", deaf, 50)) for _ in range(count)]
    await asyncio.sleep(float(subject))
    for task in tasks: task.cancel()


def spent(process):
    """The processor time of all threads of a process, in seconds."""
    total = 0
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/schedstat") as file: total += int(file.read().split()[0])
    return total / 1e9


async def measure_costs():
    for name, act in attacks:
        costs, statuses = [], collections.Counter()
        for _ in range(5):
            before = spent(subject)
            try: statuses[await act(hostile[0])] += 1
            except OSError: statuses["cut"] += 1
            await asyncio.sleep(0.05)
            costs.append(spent(subject) - before)
        print(f"| {name} | {', '.join(map(str, statuses))} | {sorted(costs)[2] * 1000:.1f} |", flush=True)


if mode == "judge": judge()
else: asyncio.run({"honest": be_honest, "hostile": be_hostile, "silent": be_silent, "cost": measure_costs}[mode]())
