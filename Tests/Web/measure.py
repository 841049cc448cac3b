"""Measures the page with a large conversation, beside fossil's /chat with the same messages: see tools/bench/page."""
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request

from access_test import AXE, VIEWS, AccessTests
from world import Server, browser

COUNT = 207_739
WATCH = """
    addEventListener('DOMContentLoaded', () => new MutationObserver((_, observer) => {
        const rows = document.querySelectorAll('.row, .message-widget').length;
        if (rows > 0) window.firstRow ??= performance.now();
        if (rows >= 50) { window.fiftyRows ??= performance.now(); observer.disconnect(); }
    }).observe(document, {childList: true, subtree: true}));
    window.shifts = 0;
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value; }).observe({type: 'layout-shift', buffered: true});
"""
SCROLL = """
    const [speed, milliseconds, done] = arguments;
    const scroller = document.querySelector('.scroller');
    const frames = [];
    const begin = performance.now();
    let last = begin, place = null, rows = 0;
    const step = (now) => {
        frames.push(now - last);
        scroller.scrollTop -= speed * (now - last) / 1000;
        last = now;
        rows = Math.max(rows, document.querySelectorAll('.row').length);
        if (now - begin < milliseconds) requestAnimationFrame(step);
        else { frames.sort((a, b) => a - b); done([frames[Math.floor(frames.length * .99)], rows, document.querySelector('.row').id]); }
    };
    requestAnimationFrame(step);
"""
JUMP = """
    const [seq, done] = arguments;
    const begin = performance.now();
    location.hash = '#/general/' + seq;
    const look = () => document.activeElement?.id === 'm' + seq ? done(performance.now() - begin) : setTimeout(look, 1);
    look();
"""
JUMP_TO_DAY = """
    const [day, done] = arguments;
    location.hash = '#/general';
    document.dispatchEvent(new KeyboardEvent('keydown', {code: 'KeyG', key: 'g', ctrlKey: true, bubbles: true}));
    let begin = 0;
    const look = () => {
        const field = document.querySelector('dialog [type=date]');
        if (field && !begin) { field.value = day; begin = performance.now(); field.form.requestSubmit(); }
        const seq = location.hash.split('/')[2];
        if (begin && seq && document.activeElement?.id === 'm' + seq) done(performance.now() - begin);
        else setTimeout(look, 1);
    };
    look();
"""
ECHO = """
    const done = arguments[0];
    const field = document.querySelector('.composer textarea');
    const text = 'echo ' + Math.random();
    field.value = text;
    const begin = performance.now();
    field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true}));
    const look = () => [...document.querySelectorAll('.row')].slice(-3).some((row) => row.innerText.includes(text)) ? done(performance.now() - begin) : setTimeout(look, 0);
    look();
"""


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def nodes(violations):
    # A failure of axe-core itself names no element.
    return sum(max(len(one["nodes"]), 1) for one in violations)


def corpus():
    given = os.environ.get("NATTER_CORPUS")
    if given:
        return given, False
    words = [line for line in "the a of and to in that it is was for on with as be at by this had not are but from or have an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other".split()]
    chance = random.Random(13)
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", delete=False) as file:
        for number in range(COUNT):
            text = " ".join(chance.choices(words, k=chance.randrange(2, 30)))
            file.write(json.dumps({"ts": 1_400_000_000_000 + number * 900_000, "sender": f"user{chance.randrange(80)}", "text": text}) + "\n")
    return file.name, True


class Fossil:
    """fossil's /chat, with the messages of a file."""

    def __init__(self, messages):
        self.directory = tempfile.mkdtemp(prefix="natter-fossil.")
        repository = os.path.join(self.directory, "chat.fossil")
        environment = {**os.environ, "HOME": self.directory, "USER": "alice"}
        subprocess.run(["fossil", "init", "-A", "alice", repository], env=environment, check=True, capture_output=True)
        # Otherwise it would delete what is old.
        for name, value in (("chat-keep-count", "1000000"), ("chat-keep-days", "100000")):
            subprocess.run(["fossil", "settings", name, value, "-R", repository], env=environment, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        # Whoever asks from this machine is logged in.
        self.process = subprocess.Popen(
            ["fossil", "server", "--localhost", "--localauth", "--port", str(port), repository], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/chat"
        with open(messages, encoding="utf8") as file, sqlite3.connect(repository) as database:
            # As fossil's chat.c makes it.
            database.execute("CREATE TABLE chat(msgid INTEGER PRIMARY KEY AUTOINCREMENT, mtime JULIANDAY, lmtime TEXT, xfrom TEXT, xmsg TEXT, fname TEXT, fmime TEXT, mdel INT, file BLOB)")
            rows = ((2_440_587.5 + one["ts"] / 86_400_000, one["sender"], one["text"]) for one in map(json.loads, file))
            database.executemany("INSERT INTO chat(mtime, xfrom, xmsg) VALUES (?, ?, ?)", rows)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


def fetched(address, encoding="identity"):
    """The bytes that the server sends for an address."""
    request = urllib.request.Request(address, headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def opened(test, address):
    """Opens a page five times without a cache. Returns the bytes until 50 messages stand, and when the first one does."""
    driver, firsts = test.driver, []
    for _ in range(5):
        driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        driver.get("about:blank")
        driver.get(address)
        test.wait(lambda: driver.execute_script("return window.fiftyRows"))
        firsts.append(driver.execute_script("return window.firstRow"))
        size = driver.execute_script("return performance.getEntriesByType('navigation')[0].transferSize + performance.getEntriesByType('resource').filter((one) => one.startTime < window.fiftyRows).reduce((sum, one) => sum + one.transferSize, 0)")
    return size, percentile(firsts, .5)


def main():
    name, isMade = corpus()
    fossil = Fossil(name)
    server = Server()
    driver = browser(1280, 900)
    row = lambda *cells: print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    try:
        server.operate("import", "general", name)
        alice = server.login("alice")
        head = server.ask("GET", "/v1/conversations/general", token=alice)["head"]
        server.ask("PUT", "/v1/conversations/general/read", {"seq": head}, alice)
        print(f"{head} messages in general\n")
        row("what", "measured", "fossil", "must", "aim")
        row("---", "---", "---", "---", "---")
        test = AccessTests()
        test.driver, test.server = driver, server
        test.log_in("alice")
        test.wait(lambda: len(test.all(".row")) >= 50)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.execute_cdp_cmd("Network.enable", {})
        its_size, its_first = opened(test, fossil.url)
        its_violations = nodes(test.axe()) if AXE else ""
        size, first = opened(test, f"{server.url}/#/general")
        row("bytes on the wire until 50 messages stand", f"{size / 1000:.1f} KB", f"{its_size / 1000:.1f} KB", "60 KB", "46 KB")
        release = re.search("/page/[0-9a-f]+/", fetched(server.url).decode()).group()
        assets = os.listdir(os.path.join(os.path.dirname(__file__), "../../Sources/C/CWebPage/page"))
        whole = sum(len(fetched(f"{server.url}{release}{name}", "gzip")) for name in assets if name != "index.html")
        row("all files, both languages, gzipped", f"{whole / 1000:.1f} KB", "", "100 KB", "80 KB")
        row("first message on screen, cold, median", f"{first:.0f} ms", f"{its_first:.0f} ms", f"{its_first / 2:.0f} ms", f"{its_first / 4:.0f} ms")
        time.sleep(2)
        row("layout shift after the first paint", f"{driver.execute_script('return window.shifts'):.4f}", "", "0.05", "0")
        delays = []
        bob = server.login("bob")
        for number in range(40):
            began = time.time()
            server.ask("POST", "/v1/messages", {"conversation": "general", "text": f"delay {number}."}, bob)
            driver.execute_async_script("const [text, done] = arguments; const look = () => [...document.querySelectorAll('.row')].slice(-3).some((row) => row.innerText.includes(text)) ? done() : setTimeout(look, 1); look()", f"delay {number}.")
            delays.append((time.time() - began) * 1000)
        row("sent by one, stands in another's tab, p95 (with the driver's call)", f"{percentile(delays, .95):.0f} ms", "", "300 ms", "100 ms")
        row("own echo, p95", f"{percentile([driver.execute_async_script(ECHO) for _ in range(20)], .95):.1f} ms", "", "50 ms", "16 ms")
        for slowness, must in ((1, "20 ms"), (4, "34 ms")):
            driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": slowness})
            p99, rows, last = driver.execute_async_script(SCROLL, 18_000, 5_000)
            row(f"scrolling 18,000 px/s, processor {slowness} × slower, p99 of a frame; rows; reached", f"{p99:.1f} ms; {rows}; {last[1:]}", "", must, "16.8 ms")
        driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
        chance = random.Random(7)
        row("jump to a number, p95", f"{percentile([driver.execute_async_script(JUMP, chance.randrange(1, head)) for _ in range(20)], .95):.0f} ms", "", "300 ms", "100 ms")
        ends = [server.ask("GET", f"/v1/conversations/general/messages?around={seq}&limit=1", token=alice)["messages"][0]["ts"] / 1000 for seq in (1, head)]
        days = [time.strftime("%Y-%m-%d", time.gmtime(chance.uniform(*ends))) for _ in range(20)]
        row("jump to a day, p95", f"{percentile([driver.execute_async_script(JUMP_TO_DAY, day) for day in days], .95):.0f} ms", "", "300 ms", "100 ms")
        for _ in range(9):
            test.new_tab()
            test.open()
            test.one(".composer textarea")
        time.sleep(3)
        row("waiting requests of ten tabs", server.waiting(), "", "1", "")
        if AXE:
            server.ask("POST", "/v1/groups", {"name": "garden"}, alice)
            found = 0
            for view in VIEWS:
                test.show(view)
                found += nodes(test.axe())
            row(f"elements in which axe-core finds a violation, {len(VIEWS)} views", found, its_violations, "0", "0")
    finally:
        driver.quit()
        server.close()
        fossil.close()
        if isMade:
            os.unlink(name)


if __name__ == "__main__":
    main()
