"""The commands of "In a shell": each is run, and does the same as the page."""
import os
import subprocess
from datetime import UTC, datetime

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PROGRAMS, PageTest, Server

TEXTS = ["it's", "$HOME `id` \"x\" \\n", "-e dash", "two\nlines", "\u202e turned \x07", "~", "всё", "100% sure"]


class Shell:
    """A user's shell, with natter logged in."""

    def __init__(self, server, name):
        home = os.path.join(server.directory, "home")
        os.makedirs(home)
        self.environment = {"PATH": f"{os.path.abspath(PROGRAMS)}:/usr/bin:/bin", "NATTER_HOME": home, "NATTER_SERVER": server.url, "HOME": home, "LC_ALL": "C.UTF-8"}
        self.run(f"natter login {name} --password-stdin", PASSWORD + "\n")

    def run(self, command, text=""):
        return subprocess.run(["sh", "-c", command], env=self.environment, input=text, text=True, check=True, capture_output=True).stdout


class ShellTests(PageTest):
    def setUp(self):
        super().setUp()
        self.other = Server(is_copy=False)
        self.addCleanup(self.other.close)

    def last(self):
        """The command for what was just done."""
        return self.driver.execute_async_script("""
            const [done] = arguments;
            const address = document.querySelector('script[src]').getAttribute('src').replace('app.js', 'shell.js');
            import(address).then((shell) => done(shell.lastCommand()))""")

    def state(self, server):
        """What a server knows that must be the same on both."""
        token = server.login("alice")
        get = lambda path: server.ask("GET", path, token=token)
        names = sorted(one["name"] for one in get("/v1/conversations")["conversations"])
        fields = lambda message: [message.get(name) for name in ("sender", "text", "kind", "about", "deleted", "erased")]
        return {
            "messages": {name: [fields(one) for one in get(f"/v1/conversations/{name}/messages")["messages"]] for name in names},
            "members": {name: sorted((one["name"], one["admin"]) for one in get(f"/v1/groups/{name}/members")["users"]) for name in names if name[0] != "@" and name != "general"},
            "open": sorted((one["name"], one["open"], one.get("retain")) for one in get("/v1/groups")["groups"]),
            "contacts": get("/v1/contacts")["users"] and [one["name"] for one in get("/v1/contacts")["users"]],
            "blocked": [one["name"] for one in get("/v1/blocks")["users"]],
            "tokens": [(one["label"], one["scope"]) for one in get("/v1/tokens")["tokens"]],
            "invitations": [(datetime.fromisoformat(one["expires"]) - datetime.now(UTC)).days for one in get("/v1/admin/invites")["invites"]],
            "accounts": sorted((one["name"], one["admin"], one["disabled"]) for one in get("/v1/admin/users")["users"]),
        }

    def test_each_command_does_on_another_server_what_the_page_did_here(self):
        shell = Shell(self.other, "alice")
        for server in (self.server, self.other):
            server.ask("POST", "/v1/groups", {"name": "open$house", "open": True}, server.login("bob"))
        commands = []

        def done(begin):
            """Takes the command once it is this one's."""
            self.wait(lambda: self.last().startswith(begin) and (not commands or self.last() != commands[-1]), begin)
            commands.append(self.last())

        self.log_in("alice")
        for text in TEXTS:
            # Keys would send the first line of two, and not the controls.
            self.driver.execute_script("arguments[0].value = arguments[1]", self.field(), text)
            self.field().send_keys(Keys.ENTER)
            done("natter send" if text != TEXTS[4] else "printf")
            self.wait_sent()
        self.focus_row(1)
        self.click("#m1 [aria-label=Reply]")
        self.say("an answer")
        done("natter send -c general --re 1")
        self.wait_sent()
        self.field().send_keys(Keys.ARROW_UP)
        self.field().clear()
        self.say("a better answer")
        done("natter edit")
        self.focus_row(2)
        self.click("#m2 [aria-label=Delete]")
        self.click("dialog .danger")
        done("natter delete")
        self.focus_row(3)
        self.click("#m3 [aria-label=Erase]")
        self.click("dialog[open] .danger")
        done("natter admin erase")
        self.click("#start")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//dialog//button[contains(., 'open$house')]").click() or True)
        done("natter group join")
        self.click("#start")
        self.one("dialog form input").send_keys("a'garden" + Keys.ENTER)
        done("natter group create")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to a'garden")
        self.click("#details-button")
        for name in ("bob", "Маша"):
            self.one(".details form input").send_keys(name + Keys.ENTER)
            done("natter group add")
            self.one(f"[aria-label='Remove {name} from the group']")
        self.click("[aria-label='Make bob an admin']")
        done("natter group promote")
        self.click("[aria-label='bob: admin no more']")
        done("natter group demote")
        self.click("[aria-label='Remove Маша from the group']")
        self.click("dialog .danger")
        done("natter group remove")
        self.press_button("Change the group…")
        self.one("dialog input").clear()
        self.one("dialog input").send_keys("park")
        self.click("dialog .primary")
        done("natter group rename")
        self.press_button("Change the group…")
        self.one("dialog[open] [type=number]").send_keys("90")
        self.click("dialog[open] .primary")
        done("natter group retain")
        self.wait(lambda: "Messages are kept for 90 days" in self.one(".details").text)
        self.driver.execute_script("location.hash = '#/@bob'")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        self.press_button("Add to contacts")
        done("natter contact add")
        self.press_button("Block: take no messages")
        done("natter block")
        self.press_button("Take messages again")
        done("natter unblock")
        self.press_button("Remove from contacts")
        done("natter contact remove")
        self.driver.execute_script("location.hash = '#/@Маша'")
        self.wait(lambda: self.one(".details h2").text == "Маша")
        self.press_button("Add to contacts")
        done("natter contact add")
        self.press_button("Block: take no messages")
        done("natter block")
        self.click("#start")
        self.one("dialog form input").send_keys("short-lived" + Keys.ENTER)
        done("natter group create")
        self.wait(lambda: self.one(".details h2").text == "short-lived")
        self.press_button("Delete")
        self.click("dialog .danger")
        done("natter group delete")
        self.wait(lambda: self.driver.current_url.endswith("#/general"))
        self.driver.execute_script("location.hash = '#/open$house'")
        self.wait(lambda: self.one(".details h2").text == "open$house")
        self.press_button("Leave")
        self.click("dialog .danger")
        done("natter group leave")
        self.wait(lambda: self.driver.current_url.endswith("#/general"))
        self.driver.execute_script("location.hash = '#/general/3'")
        done("natter log general --around 3")
        self.driver.execute_script("location.hash = '#/,settings'")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//label[.='What for']/following::input").send_keys("back up") or True)
        self.press_button("Make a token")
        done("natter token create")
        self.server.ask("POST", "/v1/admin/invites", {}, self.server.login("alice"))
        self.driver.execute_script("location.hash = '#/,admin/invites'")
        # There is no command for this, and so none is shown. The settings have such a button, too.
        self.wait(lambda: self.texts(".tabs [aria-current]") == ["Invitations"])
        self.press_button("Revoke")
        self.wait(lambda: self.last() == "")
        days = self.one("form.panel input")
        days.clear()
        days.send_keys("3" + Keys.ENTER)
        done("natter admin invite --expires 3d")
        self.driver.execute_script("location.hash = '#/,admin/users'")
        self.click("[aria-label='Make bob an admin']")
        done("natter admin user promote")
        self.click("[aria-label='Disable Маша']")
        self.click("dialog .danger")
        done("natter admin user disable")
        name, password = self.all("form.panel input:not([type=checkbox])")
        name.send_keys("dora")
        password.send_keys(PASSWORD + Keys.ENTER)
        done("natter admin user add")
        for label, verb in [("Make dora an admin", "promote"), ("dora: admin no more", "demote"), ("Disable dora", "disable"), ("Enable dora", "enable")]:
            self.click(f"[aria-label='{label}']")
            if verb == "disable":
                self.click("dialog .danger")
            done(f"natter admin user {verb} dora")
        self.driver.execute_script("location.hash = '#/,admin/status'")
        done("natter admin stats")
        self.driver.execute_script("location.hash = '#/,search?q=answer'")
        done("natter search")
        for command in commands[:-1]:
            # A password is asked for on a terminal.
            shell.run(f"{command} --password-stdin" if "user add" in command else command, PASSWORD + "\n")
        self.assertEqual(self.state(self.other), self.state(self.server))
        # A search is in what was synced.
        shell.run("natter sync")
        self.assertEqual(len(shell.run(commands[-1]).splitlines()), len(self.all(".results a")))
