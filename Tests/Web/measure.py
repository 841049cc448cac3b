"""Measures the page with a large conversation: see bench/page."""
import glob
import gzip
import json
import os
import random
import tempfile
import time

from world import PageTest, Server, browser

COUNT = 207_739
WATCH = """
    addEventListener('DOMContentLoaded', () => new MutationObserver((_, observer) => {
        const rows = document.querySelectorAll('.row').length;
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


def main():
    name, isMade = corpus()
    server = Server()
    driver = browser(1280, 900)
    row = lambda *cells: print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    try:
        server.operate("import", "general", name)
        alice = server.login("alice")
        head = server.ask("GET", "/v1/conversations/general", token=alice)["head"]
        server.ask("PUT", "/v1/conversations/general/read", {"seq": head}, alice)
        print(f"{head} messages in general\n")
        row("what", "measured", "must", "aim")
        row("---", "---", "---", "---")
        test = PageTest()
        test.driver, test.server = driver, server
        test.log_in("alice")
        test.wait(lambda: len(test.all(".row")) >= 50)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.execute_cdp_cmd("Network.enable", {})
        firsts = []
        for _ in range(5):
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            driver.get("about:blank")
            test.open("#/general")
            test.wait(lambda: driver.execute_script("return window.fiftyRows"))
            firsts.append(driver.execute_script("return window.firstRow"))
            size = driver.execute_script("return performance.getEntriesByType('navigation')[0].transferSize + performance.getEntriesByType('resource').filter((one) => one.startTime < window.fiftyRows).reduce((sum, one) => sum + one.transferSize, 0)")
        row("bytes on the wire until 50 messages stand", f"{size / 1000:.1f} KB", "60 KB", "46 KB")
        assets = os.path.join(os.path.dirname(__file__), "../../Sources/CWebPage/page/*")
        whole = sum(len(gzip.compress(open(path, "rb").read(), 9)) for path in glob.glob(assets))
        row("all files, both languages, gzipped", f"{whole / 1000:.1f} KB", "100 KB", "80 KB")
        row("first message on screen, cold, median", f"{percentile(firsts, .5):.0f} ms", "700 ms", "350 ms")
        time.sleep(2)
        row("layout shift after the first paint", f"{driver.execute_script('return window.shifts'):.4f}", "0.05", "0")
        delays = []
        bob = server.login("bob")
        for number in range(40):
            began = time.time()
            server.ask("POST", "/v1/messages", {"conversation": "general", "text": f"delay {number}."}, bob)
            driver.execute_async_script("const [text, done] = arguments; const look = () => [...document.querySelectorAll('.row')].slice(-3).some((row) => row.innerText.includes(text)) ? done() : setTimeout(look, 1); look()", f"delay {number}.")
            delays.append((time.time() - began) * 1000)
        row("sent by one, stands in another's tab, p95 (with the driver's call)", f"{percentile(delays, .95):.0f} ms", "300 ms", "100 ms")
        row("own echo, p95", f"{percentile([driver.execute_async_script(ECHO) for _ in range(20)], .95):.1f} ms", "50 ms", "16 ms")
        for slowness, must in ((1, "20 ms"), (4, "34 ms")):
            driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": slowness})
            p99, rows, last = driver.execute_async_script(SCROLL, 18_000, 5_000)
            row(f"scrolling 18,000 px/s, processor {slowness} × slower, p99 of a frame; rows; reached", f"{p99:.1f} ms; {rows}; {last[1:]}", must, "16.8 ms")
        driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
        chance = random.Random(7)
        row("jump to a number, p95", f"{percentile([driver.execute_async_script(JUMP, chance.randrange(1, head)) for _ in range(20)], .95):.0f} ms", "300 ms", "100 ms")
        for _ in range(9):
            test.new_tab()
            test.open()
            test.one(".composer textarea")
        time.sleep(3)
        row("waiting requests of ten tabs", server.waiting(), "1", "")
    finally:
        driver.quit()
        server.close()
        if isMade:
            os.unlink(name)


if __name__ == "__main__":
    main()
