"""A server of its own, and a browser with tabs, for the tests of the web page."""
import atexit
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PASSWORD = "a good password"
PROGRAMS = os.environ.get("NATTER_BIN", os.path.join(os.path.dirname(__file__), "../../.build/release"))
TIMEOUT = 60
SIZE = (1280, 900)


class Server:
    """natterd on a free port, with the users alice (an admin), bob and Маша."""

    # A directory with them. To add them costs as much as a short test, so most servers have a copy.
    template = None

    def __init__(self, *options, is_copy=True):
        self.directory = tempfile.mkdtemp(prefix="natter-web.")
        self.data = os.path.join(self.directory, "data")
        self.options = options
        if is_copy and Server.template:
            shutil.copytree(Server.template, self.data)
        else:
            for name, *more in [("alice", "--admin"), ("bob",), ("Маша",)]:
                self.operate("user", "add", name, "--password-stdin", *more, input=PASSWORD + "\n")
        if not Server.template:
            Server.template = tempfile.mkdtemp(prefix="natter-web.")
            atexit.register(shutil.rmtree, Server.template)
            shutil.copytree(self.data, Server.template, dirs_exist_ok=True)
        self.port = 0
        self.start()

    def operate(self, *words, input=None):
        return subprocess.run(
            [os.path.join(PROGRAMS, "natterd"), *words, "--data", self.data], input=input, check=True, text=True,
            capture_output=True).stdout

    def start(self):
        """Begins to serve, on the same port as before."""
        ready = ""
        # Somebody may have its port for a moment.
        for _ in range(20):
            with open(os.path.join(self.directory, "log"), "a", encoding="utf8") as log:
                self.process = subprocess.Popen(
                    [os.path.join(PROGRAMS, "natterd"), "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                     *self.options], stdout=subprocess.PIPE, stderr=log, text=True)
            ready = self.process.stdout.readline()
            if ready or self.port == 0:
                break
            self.kill()
            time.sleep(0.5)
        self.url = ready.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def freeze(self):
        """Stops it until it is killed. On a busy machine, its threads go on for a while after the signal."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def close(self):
        self.kill()
        shutil.rmtree(self.directory)

    def ask(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def login(self, name):
        return self.ask("POST", "/v1/login", {"name": name, "password": PASSWORD})["token"]

    def waiting(self):
        """How many requests wait for news."""
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            return int(next(line.split()[1] for line in answer.read().decode().split("\n") if line.startswith("natter_waiting_requests ")))


def browser(width=SIZE[0], height=SIZE[1]):
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for word in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-GB",
                 "--force-device-scale-factor=1", f"--window-size={width},{height}"]:
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.set_script_timeout(TIMEOUT)
    return driver


class Lent:
    """Browsers that no test has now. Starting one costs as much as a short test, so the tests share one."""

    idle = []

    @classmethod
    def take(cls):
        return cls.idle.pop() if cls.idle else browser()

    @classmethod
    def give_back(cls, driver, origin):
        """Forgets all that a test has done, or ends the browser if that is not possible."""
        try:
            used = driver.window_handles
            driver.switch_to.new_window("tab")
            new = driver.current_window_handle
            for handle in used:
                driver.switch_to.window(handle)
                driver.close()
            driver.switch_to.window(new)
            driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            driver.set_window_size(*SIZE)
            driver.get_log("browser")
            cls.idle.append(driver)
        except Exception:  # pylint: disable=broad-except
            driver.quit()

    @classmethod
    def end(cls):
        for driver in cls.idle:
            driver.quit()


atexit.register(Lent.end)


class PageTest(unittest.TestCase):
    """Each test has a fresh server, and a browser as new."""

    options = ()

    def setUp(self):
        self.server = Server(*self.options)
        self.addCleanup(self.server.close)
        self.driver = Lent.take()
        self.addCleanup(Lent.give_back, self.driver, self.server.url)

    def wait(self, condition, what=""):
        """Waits until a condition is true, and returns its value."""
        def holds(_):
            try:
                return condition()
            except Exception:  # pylint: disable=broad-except
                return False
        return WebDriverWait(self.driver, TIMEOUT, 0.05).until(holds, what)

    def one(self, selector):
        return self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector=".row .text"):
        return self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)

    def click(self, selector):
        self.wait(lambda: (self.driver.find_element(By.CSS_SELECTOR, selector).click(), True)[1], selector)

    def open(self, address=""):
        self.driver.get(f"{self.server.url}/{address}")

    def log_in(self, name="alice", stays=True, address=""):
        self.open(address)
        self.enter(name, stays)

    def enter(self, name, stays=True):
        """Fills in the form that is there."""
        self.one("[name=username]").clear()
        self.one("[name=username]").send_keys(name)
        if self.one("[name=stay]").is_selected() != stays:
            self.one("[name=stay]").click()
        self.driver.execute_script("performance.clearResourceTimings()")
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait_ready()

    def wait_ready(self):
        """Waits until a page that was loaded is connected, has its lists and messages, and has drawn them."""
        self.wait(lambda: self.all(".status.live"), "connected")
        self.wait(lambda: self.driver.execute_script("""
            const has = (part) => performance.getEntriesByType('resource').some((one) => one.name.includes(part) && one.responseEnd > 0);
            return has('/v1/conversations?limit') && (!document.querySelector('.composer') || has('/messages?'))"""), "lists and messages")
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def press_button(self, text):
        self.wait(lambda: self.driver.find_element(By.XPATH, f"//button[.='{text}']").click() or True, text)

    def new_tab(self):
        self.driver.switch_to.new_window("tab")
        return self.driver.current_window_handle

    def field(self):
        return self.one(".composer textarea")

    def say(self, text):
        self.field().send_keys(text + Keys.ENTER)

    def wait_for(self, text, count=1):
        self.wait(lambda: sum(text in one for one in self.texts()) == count, f"{text} × {count}")

    def focus_row(self, seq):
        """Gives a message the focus, and so its buttons. The pointer goes away before: a row that comes may move another one
        below it, which then gets them."""
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 1, "y": 1})
        self.wait(lambda: self.driver.execute_script(
            "const row = document.getElementById(arguments[0]); document.activeElement.blur(); row.focus();"
            " return row.querySelector('.actions') !== null", f"m{seq}"), f"the buttons of message {seq}")

    def wait_sent(self):
        """Waits until nothing is on its way."""
        self.wait(lambda: not self.all(".row.pending"), "sent")

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        chain = ActionChains(self.driver)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()
