"""Opens connections that wait for news, then posts one message: prints after how many ms all of them were told.

    readers.py COUNT PORT TOKEN
"""
import json, select, socket, sys, time

count, port, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def ask(head, body=b""):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


with ask("GET /v1/sync?cursor=now") as connection:
    answer = connection.recv(65536).decode()
cursor = json.loads(answer[answer.index("{"):answer.rindex("}") + 1])["cursor"]
poll = select.epoll()
waiting = {}
for _ in range(count):
    connection = ask(f"GET /v1/sync?cursor={cursor}&wait=60")
    waiting[connection.fileno()] = connection
    poll.register(connection, select.EPOLLIN)
# Until all of them wait.
while True:
    with ask("GET /metrics") as connection:
        text = connection.recv(65536).decode()
    number = int(text.split("\nnatter_waiting_requests ")[1].split()[0])
    if number >= count: break
    time.sleep(0.1)
begin = time.monotonic()
post = ask("POST /v1/messages", json.dumps({"conversation": "general", "text": "news"}).encode())
while waiting:
    for descriptor, _ in poll.poll():
        waiting.pop(descriptor).close()
print(round((time.monotonic() - begin) * 1000))
