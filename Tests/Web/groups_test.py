"""Groups that get another name, are deleted, or that somebody is removed from, while somebody is there."""
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from world import PageTest

# As if the network were away. The page hears of it at once.
CUT = "window.whole ??= window.fetch; window.fetch = () => Promise.reject(new TypeError('cut')); dispatchEvent(new Event('online'))"
# It is back, some hours later.
JOIN = "window.fetch = window.whole; const now = Date.now; Date.now = () => now() + arguments[0] * 3_600_000; dispatchEvent(new Event('focus')); document.querySelector('.status').click()"


class GroupTests(PageTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.server.login("alice"), self.server.login("bob")

    def group(self, name):
        self.server.ask("POST", "/v1/groups", {"name": name}, self.alice)
        self.server.ask("PUT", f"/v1/groups/{name}/members/bob", {}, self.alice)

    def rename(self, old, new):
        self.server.ask("PATCH", f"/v1/groups/{old}", {"name": new}, self.alice)

    def stored(self, name):
        page = self.server.ask("GET", f"/v1/conversations/{name}/messages", token=self.alice)
        return [message["text"] for message in page["messages"] if message.get("kind", "text") == "text"]

    def go(self, name):
        self.driver.execute_script("location.hash = arguments[0]", f"#/{name}")
        self.is_in(name)

    def is_in(self, name):
        self.wait(lambda: self.field().get_attribute("aria-label") == f"Message to {name}", name)

    def cut(self):
        self.driver.execute_script(CUT)
        self.wait(lambda: self.all(".status.offline"))

    def join(self, hours=0):
        self.driver.execute_script(JOIN, hours)
        self.wait(lambda: self.all(".status.live"))

    def test_what_is_typed_when_one_is_removed_lands_nowhere(self):
        self.group("garden")
        self.log_in("bob", address="#/garden")
        self.is_in("garden")
        self.field().send_keys("the door code is ")
        self.server.ask("DELETE", "/v1/groups/garden/members/bob", token=self.alice)
        self.wait(lambda: self.texts(".center h1") == ["garden is no longer there"])
        ActionChains(self.driver).send_keys("1234" + Keys.ENTER).perform()
        self.assertEqual(self.all(".center textarea, .center input"), [])
        # What was typed can still be copied.
        self.assertEqual(self.texts(".center pre"), ["the door code is "])
        self.click(".center a")
        self.is_in("general")
        self.assertEqual(self.field().get_property("value"), "")
        self.say("to all")
        self.wait_sent()
        self.assertEqual(self.stored("general"), ["to all"])

    def test_a_rename_by_another_moves_nothing(self):
        self.group("garden")
        for number in range(80):
            self.server.ask("POST", "/v1/messages", {"conversation": "garden", "text": f"m {number}\nx"}, self.alice)
        self.log_in("bob", address="#/garden/40")
        self.one("#m40")
        self.field().send_keys("draft")
        self.driver.execute_script("document.querySelector('.composer textarea').setSelectionRange(2, 2); window.before = document.querySelector('#m40')")
        place = "return [before.isConnected, Math.round(before.getBoundingClientRect().top), document.activeElement.selectionStart, document.activeElement.value]"
        before = self.driver.execute_script(place)
        conversations = lambda: self.server.ask("GET", "/v1/conversations", token=self.bob)["conversations"]
        read = lambda: next(one["read"] for one in conversations() if one["kind"] == "group")
        # What stands in the window is marked as read a moment later.
        self.wait(lambda: read() >= 40)
        was_read = read()
        self.rename("garden", "park")
        self.is_in("park")
        self.assertEqual(self.driver.execute_script(place), before)
        self.assertEqual(self.texts(".view-head h1"), ["park"])
        self.assertEqual(self.driver.current_url.split("#")[1], "/park/40")
        self.assertEqual(read(), was_read)

    def test_what_waits_goes_to_the_same_group_by_its_new_name_or_nowhere(self):
        self.group("garden")
        self.group("two")
        self.log_in("bob", address="#/garden")
        self.is_in("garden")
        self.cut()
        self.say("for the garden")
        self.wait(lambda: self.all(".row.pending"))
        self.go("two")
        self.say("for two")
        # Another one takes the name of before.
        self.rename("garden", "park")
        self.group("garden")
        self.server.ask("DELETE", "/v1/groups/two/members/bob", token=self.alice)
        self.join()
        self.wait(lambda: self.stored("park") == ["for the garden"])
        self.wait(lambda: "Connected · 1 message not sent" in self.one(".status").text)
        self.assertEqual(self.stored("garden"), [])
        # It is found, and can be removed, though its group is not there.
        self.click(".status")
        self.wait(lambda: self.texts(".panel .command") == ["for two"])
        self.driver.refresh()
        self.wait(lambda: self.texts(".panel .command") == ["for two"])
        self.press_button("Remove")
        self.wait(lambda: "sent" not in self.one(".status").text)
        self.assertEqual(self.texts(".panel .command"), [])

    def test_what_is_written_before_a_rename_is_heard_of_stays_in_its_group(self):
        self.group("garden")
        self.log_in("bob", address="#/garden")
        self.is_in("garden")
        self.say("one")
        self.wait_sent()
        ActionChains(self.driver).send_keys(Keys.ARROW_UP).perform()
        self.wait(lambda: self.field().get_property("value") == "one")
        # The server answers all but what asks for news.
        self.driver.execute_script("const whole = fetch; fetch = (path, options) => String(path).includes('/sync') ? new Promise(() => {}) : whole(path, options); dispatchEvent(new Event('online'))")
        self.rename("garden", "park")
        self.group("garden")
        ActionChains(self.driver).send_keys(" and more" + Keys.ENTER).perform()
        self.wait(lambda: self.server.ask("GET", "/v1/conversations/park", token=self.alice)["last"].get("kind") == "edit")
        self.wait(lambda: self.field().get_property("value") == "")
        self.say("two")
        self.wait(lambda: self.stored("park") == ["one", "two"])
        self.is_in("garden")
        self.assertEqual(self.stored("garden"), [])

    def test_what_waits_for_a_person_nobody_wrote_to_before_is_sent_after_a_reload(self):
        self.log_in("bob", address="#/@alice")
        self.is_in("@alice")
        self.cut()
        self.say("for alice")
        self.wait(lambda: self.all(".row.pending"))
        self.driver.refresh()
        self.wait(lambda: self.stored("@bob") == ["for alice"])

    def test_what_happened_to_groups_during_a_long_absence_is_seen(self):
        self.group("garden")
        self.log_in("bob", address="#/garden")
        self.is_in("garden")
        self.cut()
        self.rename("garden", "park")
        self.join(hours=1)
        self.is_in("park")
        self.assertEqual(self.driver.current_url.split("#")[1], "/park")
        self.cut()
        self.server.ask("DELETE", "/v1/groups/park", token=self.alice)
        self.join(hours=1)
        self.wait(lambda: self.texts(".center h1") == ["park is no longer there"])

    def test_lists_that_fail_after_a_long_absence_are_loaded_again(self):
        self.log_in("bob", address="#/general")
        self.is_in("general")
        self.cut()
        self.group("park")
        self.driver.execute_script("""
            const whole = window.whole;
            window.refused = 0;
            window.whole = (path, options) => String(path).includes('/conversations?') && ++refused < 3 ? Promise.resolve(new Response('{"error":{"code":"busy"}}', {status: 503})) : whole(path, options);""")
        self.join(hours=1)
        self.wait(lambda: any("park" in text for text in self.texts(".conversations li, .conversations a")))
        self.assertGreaterEqual(self.driver.execute_script("return refused"), 3)

    def test_what_was_read_while_the_server_was_away_is_told_later(self):
        for number in range(3):
            self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": f"m {number}"}, self.alice)
        self.log_in("bob", address="#/,settings")
        # The server answers all but this.
        self.driver.execute_script("""
            window.whole = fetch;
            window.refused = 0;
            fetch = (path, options) => String(path).endsWith('/read') && ++refused ? Promise.resolve(new Response('{"error":{"code":"busy"}}', {status: 503})) : whole(path, options);""")
        self.go("general")
        self.wait(lambda: self.driver.execute_script("return refused") > 0)
        read = lambda: self.server.ask("GET", "/v1/conversations/general", token=self.bob)["read"]
        self.assertEqual(read(), 0)
        self.driver.execute_script("fetch = whole")
        self.wait(lambda: read() == 3)

    def test_a_link_to_an_open_group_is_a_way_into_it(self):
        self.server.ask("POST", "/v1/groups", {"name": "Garden", "open": True}, self.alice)
        self.server.ask("POST", "/v1/groups", {"name": "board"}, self.alice)
        self.log_in("bob", address="#/garden")
        self.wait(lambda: self.texts(".center h1") == ["Garden"])
        self.click(".center button.primary")
        self.is_in("Garden")
        self.say("hello")
        self.wait_sent()
        self.assertEqual(self.stored("Garden"), ["hello"])
        # No way into one that is not open, and not a word about whether it is there.
        self.driver.execute_script("location.hash = '#/board'")
        self.wait(lambda: self.texts(".center h1") == ["There is no conversation board"])
        self.assertEqual(self.all(".center button"), [])

    def test_a_click_at_the_edge_of_a_dialog_keeps_what_is_typed(self):
        self.log_in("alice")
        self.click("#start")
        self.one("dialog input").send_keys("a long name")
        box = self.driver.execute_script("const box = document.querySelector('dialog').getBoundingClientRect(); return [box.left, box.top + box.height / 2]")

        def click(beside, button="left"):
            for kind in ("mousePressed", "mouseReleased"):
                self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": box[0] + beside, "y": box[1], "button": button, "clickCount": 1})

        click(8)
        click(-8, "right")
        self.assertEqual(self.one("dialog input").get_property("value"), "a long name")
        click(-8)
        self.wait(lambda: not self.all("dialog"))

    def test_a_change_of_a_group_takes_no_name_back(self):
        self.group("garden")
        self.server.ask("PUT", "/v1/groups/garden/members/bob", {"admin": True}, self.alice)
        self.log_in("bob", address="#/garden")
        self.click("#details-button")
        self.press_button("Change the group…")
        self.one("dialog [type=number]").send_keys("30")
        self.rename("garden", "park")
        self.is_in("park")
        self.click("dialog .primary")
        self.wait(lambda: not self.all("dialog"))
        groups = self.server.ask("GET", "/v1/groups", token=self.alice)["groups"]
        self.assertEqual([(one["name"], one["retain"]) for one in groups], [("park", "30d")])
