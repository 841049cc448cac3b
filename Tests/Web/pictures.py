"""Makes pictures of the page's main views: pictures.py DIRECTORY."""
import os
import sys
from urllib.parse import quote

from world import PASSWORD, PageTest, Server, browser

TALK = [
    ("Маша", "Доброе утро! Who is coming to the lake on Saturday?"),
    ("bob", "I am. I bring the tent, if somebody brings the coffee"),
    ("alice", "Coffee is on me. And Kim?"),
    ("kim", "Kim too. The forecast says sun until four: https://weather.example.org/lake"),
    ("bob", "Then we should leave at eight"),
    ("bob", "Sharp. Last time we waited for alice :)"),
    ("alice", "Once!"),
    ("Маша", "Eight is good. I take the early train and meet you at the station"),
]


def main(directory):
    os.makedirs(directory, exist_ok=True)
    server = Server()
    driver = browser(1280, 860)
    try:
        server.operate("user", "add", "kim", "--password-stdin", input=PASSWORD + "\n")
        tokens = {name: server.login(name) for name in ("alice", "bob", "Маша", "kim")}
        for group, who in (("garden", ["bob", "Маша"]), ("ops", ["kim"])):
            server.ask("POST", "/v1/groups", {"name": group, "open": group == "garden"}, tokens["alice"])
            for name in who:
                server.ask("PUT", f"/v1/groups/{group}/members/{quote(name)}", {}, tokens["alice"])
        def send(name, text, conversation="general", **more):
            return server.ask("POST", "/v1/messages", {"conversation": conversation, "text": text, **more}, tokens[name])["seq"]
        send("kim", "backup of the server: done, 14 s", "ops")
        send("Маша", "The tomatoes want water", "garden")
        send("bob", "Did you see my bicycle pump?", "@alice")
        numbers = [send(name, text) for name, text in TALK]
        server.ask("PUT", "/v1/conversations/general/read", {"seq": numbers[-1]}, tokens["alice"])
        send("kim", "Is the long tent still in your attic?", about=numbers[1])
        server.ask("POST", "/v1/messages", {"conversation": "general", "kind": "edit", "about": numbers[2], "text": "Coffee is on me, and a cake. And Kim?"}, tokens["alice"])
        # The address, as a person would have it.
        url = server.url.replace("127.0.0.1", "localhost")
        driver.get(url)
        test = PageTest()
        test.driver = driver
        test.one("[name=username]").send_keys("alice")
        test.one("[name=password]").send_keys(PASSWORD + "\n")
        test.one(".composer textarea")
        test.wait(lambda: len(test.all(".row")) == 9)

        def picture(name, view, theme="light", language="en", width=1280, height=860, before=None):
            driver.set_window_size(width, height)
            driver.execute_script("localStorage.setItem('natter:language', JSON.stringify(arguments[0])); localStorage.setItem('natter:theme', JSON.stringify(arguments[1]))", language, theme)
            driver.get(f"{url}/{view}")
            driver.refresh()
            test.wait(lambda: test.all(".row, .page-body, .entrance"))
            test.wait(lambda: test.all(".status.live"))
            if before:
                before()
            driver.execute_async_script("const done = arguments[0]; setTimeout(done, 900)")
            driver.save_screenshot(os.path.join(directory, f"{name}.png"))

        people = lambda: driver.execute_script("document.getElementById('details-button').click()")
        picture("page-light", "#/general", before=people)
        picture("page-dark", "#/general", theme="dark", language="ru")
        picture("page-narrow", "#/general", width=500, height=860)
        if os.environ.get("ALL"):
            picture("search", "#/,search?q=tent")
            picture("settings", "#/,settings", theme="dark")
            picture("status", "#/,admin/status")
            picture("users", "#/,admin/users", theme="dark", language="ru")
            picture("log", "#/,admin/log")
            picture("list", "#/", width=500)
            picture("group", "#/garden", before=people)
            picture("switcher", "#/general", theme="dark", before=lambda: driver.execute_script("document.querySelector('.find').click()"))
            picture("start", "#/general", before=lambda: driver.execute_script("document.getElementById('start').click()"))
            driver.delete_all_cookies()
            driver.get("about:blank")
            driver.get(url)
            test.one(".entrance")
            driver.execute_async_script("const done = arguments[0]; setTimeout(done, 500)")
            driver.save_screenshot(os.path.join(directory, "entrance.png"))
    finally:
        driver.quit()
        server.close()


if __name__ == "__main__":
    main(sys.argv[1])
