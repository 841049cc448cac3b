"""What happens around the page: sleep, lost answers, another account, notifications, groups."""
import json

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from shell_test import Shell
from world import PASSWORD, PageTest

NOTIFICATIONS = """
    window.shown = [];
    window.Notification = class {
        static permission = 'default';
        static async requestPermission() { return Notification.permission = 'granted'; }
        constructor(title, options) { this.title = title; this.tag = options.tag; shown.push(this); }
        close() { shown.splice(shown.indexOf(this), 1); }
    };
"""


class LifeTests(PageTest):
    def post(self, who, conversation, text, **more):
        return self.server.ask("POST", "/v1/messages", {"conversation": conversation, "text": text, **more}, self.server.login(who))

    def stored(self):
        page = self.server.ask("GET", "/v1/conversations/general/messages", token=self.server.login("bob"))
        return [message["text"] for message in page["messages"]]

    def test_after_a_long_sleep_all_is_there_once_edits_too(self):
        self.post("bob", "general", "before")
        self.log_in("alice")
        self.wait_for("before")
        self.wait(lambda: self.server.waiting() == 1)
        self.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
        self.post("bob", "general", "while asleep")
        self.post("bob", "general", "changed while asleep", kind="edit", about=1)
        self.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
        # A frozen tab is hidden until it is chosen again.
        asleep = self.driver.current_window_handle
        self.new_tab()
        self.driver.close()
        self.driver.switch_to.window(asleep)
        # The clock says that an hour has passed, which the page hears when it is looked at.
        self.driver.execute_script("const now = Date.now; Date.now = () => now() + 3_600_000; dispatchEvent(new Event('focus'))")
        self.wait(lambda: self.texts() == ["changed while asleep", "while asleep"])
        self.post("bob", "general", "after")
        self.wait(lambda: self.texts() == ["changed while asleep", "while asleep", "after"])

    def test_after_a_long_sleep_and_a_failure_what_was_deleted_goes(self):
        self.post("bob", "general", "kept")
        self.post("bob", "general", "deleted while asleep")
        self.log_in("alice")
        self.wait_for("deleted while asleep")
        self.wait(lambda: self.server.waiting() == 1)
        self.driver.execute_script("""
            const real = window.fetch;
            window.failures = 0;
            window.fetch = async (...values) => {
                const answer = await real(...values);
                if (!String(values[0]).includes('/messages?') || failures > 0) return answer;
                failures += 1;
                return new Response('{}', { status: 503 });
            };
            const now = Date.now;
            Date.now = () => now() + 3_600_000;
            dispatchEvent(new Event('online'));""")
        self.post("bob", "general", None, kind="delete", about=2)
        self.wait(lambda: self.driver.execute_script("return failures") == 1)
        self.post("bob", "general", "after")
        self.wait(lambda: self.texts() == ["kept", "(deleted)", "after"])

    def test_a_server_killed_while_a_message_is_under_way_has_it_once(self):
        self.log_in("alice")
        self.wait(lambda: self.server.waiting() == 1)
        self.server.freeze()
        self.say("under way")
        self.wait(lambda: "sending…" in self.one(".row.pending").text)
        self.server.kill()
        self.server.start()
        self.click(".status")
        self.wait_sent()
        self.wait_for("under way", 1)
        self.assertEqual(self.stored(), ["under way"])

    def test_a_message_whose_answer_was_lost_is_there_once(self):
        self.log_in("alice")
        self.driver.execute_script("""
            const real = window.fetch;
            window.lost = 0;
            window.fetch = async (...values) => {
                const answer = await real(...values);
                if (values[1]?.method === 'POST' && lost <= 0) { lost += 1; throw new TypeError('lost'); }
                return answer;
            };""")
        self.say("answered in vain")
        self.wait(lambda: self.driver.execute_script("return lost") == 1)
        self.wait_sent()
        self.wait_for("answered in vain", 1)
        self.assertEqual(self.stored(), ["answered in vain"])
        # While no answer comes, what the news have told of is not shown as unsent besides.
        kept = lambda: self.driver.execute_script("return Object.keys(localStorage).some((name) => name.includes(':outbox:'))")
        self.wait(lambda: not kept())
        self.driver.execute_script("lost = -2")
        self.say("always in vain")
        self.wait(lambda: self.driver.execute_script("return lost") > -1)
        self.wait(lambda: "always in vain" in self.texts(".row:not(.pending) .text"))
        self.assertEqual(self.all(".row.pending"), [])
        self.wait(lambda: not kept())
        self.assertEqual(self.stored(), ["answered in vain", "always in vain"])

    def test_another_account_of_the_browser_gets_nothing_of_the_one_before(self):
        self.log_in("alice")
        self.say("of alice")
        self.field().send_keys("alice's draft")
        self.wait_sent()
        first = self.driver.current_window_handle
        self.new_tab()
        self.open("#/,settings")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Log out']").click() or True)
        self.one("[name=username]").clear()
        self.one("[name=username]").send_keys("bob")
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait(lambda: self.one(".me b").text == "bob")
        self.driver.switch_to.window(first)
        self.driver.refresh()
        self.wait(lambda: self.one(".me b").text == "bob")
        self.assertEqual(self.field().get_property("value"), "")
        self.assertNotIn("alice's draft", self.driver.page_source)

    def test_notifications_are_only_for_what_was_asked_and_is_not_seen(self):
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTIFICATIONS})
        self.log_in("alice")
        shown = lambda: self.driver.execute_script("return shown.map((one) => one.title)")
        see = lambda state: self.driver.execute_script("Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => arguments[0]}); document.hasFocus = () => arguments[0] === 'visible'; document.dispatchEvent(new Event('visibilitychange'))".replace("arguments[0]", f"'{state}'"))
        see("hidden")
        self.post("bob", "@alice", "nobody asked")
        self.wait(lambda: any("nobody asked" in text for text in self.texts(".conversation")))
        self.assertEqual(shown(), [])
        see("visible")
        self.driver.execute_script("location.hash = '#/,settings'")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Switch notifications on']").click() or True)
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Switch notifications off']"))
        self.post("bob", "@alice", "it is seen")
        self.wait(lambda: any("it is seen" in text for text in self.texts(".conversation")))
        self.assertEqual(shown(), [])
        see("hidden")
        self.post("bob", "general", "to all")
        self.post("bob", "general", "alice, look")
        self.wait(lambda: shown() == ["bob · general"])
        last = self.post("bob", "@alice", "and here")["seq"]
        self.wait(lambda: shown() == ["bob · general", "bob"])
        # Read on another device, it is no news any more.
        self.server.ask("PUT", "/v1/conversations/@bob/read", {"seq": last}, self.server.login("alice"))
        self.wait(lambda: shown() == ["bob · general"])
        # Nor is what another tab shows. It holds a lock while it is seen.
        self.driver.execute_script("shown.length = 0; location.hash = '#/@bob'")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        first = self.driver.current_window_handle
        self.new_tab()
        self.open("#/@bob")
        self.wait(lambda: self.driver.execute_async_script("navigator.locks.query().then(({held}) => arguments[0](held.some((one) => one.name.startsWith('natter seen'))))"))
        self.post("bob", "@alice", "seen there")
        self.wait_for("seen there")
        self.driver.switch_to.window(first)
        self.wait_for("seen there")
        self.assertEqual(self.driver.execute_async_script("navigator.locks.query().then(() => arguments[0](shown.length))"), 0)

    def test_a_browser_whose_pages_make_no_notifications_says_so(self):
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            window.Notification = class {
                static permission = 'granted';
                static async requestPermission() { return 'granted'; }
                constructor() { throw new TypeError('Illegal constructor'); }
            };"""})
        self.log_in("alice", address="#/,settings")
        self.press_button("Switch notifications on")
        self.wait(lambda: "This browser does not allow notifications for this page." in self.texts(".hint"))
        self.press_button("Switch notifications on")

    def test_a_text_that_an_edit_had_replaced_is_erased_and_the_edit_stands(self):
        first = self.post("bob", "general", "apple")["seq"]
        self.post("bob", "general", "apple pie", kind="edit", about=first)
        self.post("alice", "general", "answer", about=first)
        # As --erase-deleted has it: the news tell of the original, whose edit is not erased.
        replaced = """
            const whole = fetch;
            fetch = async (path, options) => {
                const answer = await whole(path, options);
                if (!String(path).startsWith('/v1/sync') || !window.erased) return answer;
                const news = JSON.stringify({type: 'erased', ...window.erased});
                delete window.erased;
                return new Response(news + '\\n' + await answer.text(), {headers: answer.headers});
            };"""
        general = self.server.ask("GET", "/v1/conversations/general", token=self.server.login("bob"))["id"]
        notice = json.dumps({"conversation": "general", "conversation_id": general, "seqs": [first]})
        for address, texts in [("", ["apple pie", "answer"]), ("#/,search?q=apple", ["apple pie"])]:
            self.log_in("alice", address=address)
            shown = ".results li .text" if address else ".row .text"
            self.wait(lambda: self.texts(shown) == texts)
            self.driver.execute_script(replaced + f"window.erased = {notice}")
            self.post("bob", "general", "next")
            self.wait(lambda: self.driver.execute_script("return !window.erased"))
            more = [] if address else ["next"]
            self.wait(lambda: self.texts(shown) == texts + more)
            self.driver.delete_all_cookies()

    def test_what_is_erased_or_kept_no_longer(self):
        lines = [json.dumps({"ts": 1_500_000_000_000 + at, "sender": "old", "text": f"old {at}"}) for at in range(3)]
        self.server.operate("import", "general", "-", input="\n".join(lines) + "\n")
        self.server.operate("retain", "general", "365d")
        first = self.post("bob", "general", "secret")["seq"]
        second = self.post("bob", "general", "typo")["seq"]
        edit = self.post("bob", "general", "a password", kind="edit", about=second)["seq"]
        self.log_in("alice")
        self.wait(lambda: self.texts() == ["secret", "a password"])
        self.assertEqual(self.one(".start").text, "Older messages are not kept")
        self.focus_row(first)
        self.click(f"#m{first} [aria-label=Erase]")
        self.click("dialog[open] .danger")
        self.wait(lambda: self.texts() == ["(erased)", "a password"])
        self.assertEqual(self.texts(f"#m{first} .sender"), [""])
        # Without an edit, the original has its former text; the list has the newest record.
        self.server.ask("POST", "/v1/admin/erase", {"conversation": "general", "seqs": [edit]}, self.server.login("alice"))
        self.wait(lambda: self.texts() == ["(erased)", "typo"])
        self.wait(lambda: "(erased)" in self.one(".conversation").text)
        # Only an admin can.
        self.focus_row(second)
        self.one(f"#m{second} [aria-label=Erase]")
        self.driver.delete_all_cookies()
        self.log_in("bob")
        self.wait_for("typo")
        self.focus_row(second)
        self.one(f"#m{second} [aria-label=Delete]")
        self.assertEqual(self.all("[aria-label=Erase]"), [])

    def test_contacts_are_the_same_in_all_tabs(self):
        self.log_in("alice", address="#/@bob")
        self.click("#details-button")
        button = lambda text: self.wait(lambda: self.driver.find_element(By.XPATH, f"//button[.='{text}']"), text)
        button("Add to contacts")
        first = self.driver.current_window_handle
        self.new_tab()
        self.open("#/@bob")
        self.wait_ready()
        self.click("#details-button")
        button("Add to contacts").click()
        button("Remove from contacts")
        self.driver.switch_to.window(first)
        button("Remove from contacts").click()
        button("Add to contacts")
        # Who writes becomes one.
        self.post("bob", "@alice", "hello")
        button("Remove from contacts")

    def test_contacts_that_another_device_changes_show_in_the_open_page(self):
        self.log_in("alice", address="#/@bob")
        self.click("#details-button")
        button = lambda text: self.wait(lambda: self.driver.find_element(By.XPATH, f"//button[.='{text}']"), text)
        button("Add to contacts")
        shell = Shell(self.server, "alice")
        for command, shown in [
            ("natter contact add bob", "Remove from contacts"), ("natter block bob", "Take messages again"),
            ("natter contact remove bob", "Add to contacts"), ("natter unblock bob", "Block: take no messages"),
        ]:
            shell.run(command)
            button(shown)
        # The control that was used keeps the keyboard's focus.
        button("Add to contacts").send_keys(Keys.ENTER)
        button("Remove from contacts")
        shell.run("natter block bob")
        button("Take messages again")
        self.wait(lambda: self.driver.switch_to.active_element.text == "Remove from contacts")

    def test_a_tab_that_nobody_sees_does_not_look_present(self):
        self.log_in("alice")
        self.wait(lambda: self.server.waiting() == 1)
        self.driver.execute_script("""
            const real = window.fetch;
            window.waits = [];
            window.fetch = (...values) => {
                if (String(values[0]).includes('wait=')) waits.push(values[1].headers['Natter-Presence'] ?? 'here');
                return real(...values);
            };""")
        for state, presence in [("hidden", "away"), ("visible", "here")]:
            self.driver.execute_script(f"Object.defineProperty(document, 'visibilityState', {{configurable: true, get: () => '{state}'}})")
            self.post("bob", "general", f"seen or not: {state}")
            self.wait(lambda: self.driver.execute_script("return waits.at(-1)") == presence)

    def test_who_is_not_on_the_first_page_of_users_is_shown_as_online_and_not_for_ever(self):
        # A page of two users stands for one of 500.
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            const whole = fetch;
            window.present = [];
            window.fetch = async (path, options) => path.startsWith('/v1/users?') && path.includes('online=1')
                ? new Response(JSON.stringify({ users: present, more: false }))
                : whole(path.replace('users?limit=500', 'users?limit=2'), options);
        """})
        self.log_in("alice", address="#/@Маша")
        subtitle = lambda: self.one(".view-title small").text
        self.wait(lambda: subtitle() == "never here yet")
        for present, expected in [("[{ name: 'Маша', online: true, last_seen: null }]", "online"), ("[]", "never here yet")]:
            self.driver.execute_script(f"window.present = {present}; document.dispatchEvent(new Event('visibilitychange'))")
            self.wait(lambda: subtitle() == expected)

    def test_of_a_group_with_very_many_members_some_are_shown_and_all_are_found(self):
        zoe = self.server.ask("POST", "/v1/register", {"name": "zoe", "password": PASSWORD})["token"]
        self.server.ask("POST", "/v1/groups", {"name": "garden"}, zoe)
        self.server.ask("PUT", "/v1/groups/garden/members/bob", {}, zoe)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            const whole = fetch;
            window.asked = 0;
            window.fetch = async (path, options) => {
                const answer = await whole(path, options);
                if (!path.endsWith('/members')) return answer;
                window.asked += 1;
                const { users } = await answer.json();
                for (let number = 0; number < 20000; number += 1) users.push({ name: `member${number}`, admin: false, online: false });
                return new Response(JSON.stringify({ users, more: false }), answer);
            };
        """})
        self.log_in("zoe", address="#/garden")
        self.click("#details-button")
        shown = lambda: self.texts("[aria-label=Members] b")
        self.wait(lambda: shown()[:3] == ["bob", "zoe", "member0"])
        self.assertEqual(len(shown()), 100)
        self.one(".details input[type=search]").send_keys("R12345")
        self.wait(lambda: shown() == ["member12345"])
        # What is typed stays while the members change.
        before = self.driver.execute_script("return asked")
        self.server.ask("PUT", "/v1/groups/garden/members/alice", {}, zoe)
        self.wait(lambda: self.driver.execute_script("return asked") > before)
        self.assertEqual(shown(), ["member12345"])
        self.driver.switch_to.active_element.send_keys(Keys.BACKSPACE * 6 + "alice")
        self.wait(lambda: shown() == ["alice"])

    def test_groups_in_full(self):
        alice, bob = self.server.login("alice"), self.server.login("bob")
        self.server.ask("POST", "/v1/groups", {"name": "bobs", "open": True}, bob)
        self.log_in("alice")
        # An open one is found, joined and left.
        self.click("#start")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//dialog//button[contains(., 'bobs')]").click() or True)
        self.wait(lambda: self.driver.current_url.endswith("#/bobs"))
        self.click("#details-button")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Leave']").click() or True)
        self.click("dialog .danger")
        self.wait(lambda: self.driver.current_url.endswith("#/general"))
        # One's own: members, admins, name.
        self.server.ask("POST", "/v1/groups", {"name": "garden"}, alice)
        self.server.ask("PUT", "/v1/groups/garden/members/bob", {}, alice)
        self.driver.execute_script("location.hash = '#/garden'")
        self.click("[aria-label='Make bob an admin']")
        self.wait(lambda: self.all("[aria-label='bob: admin no more']"))
        members = lambda name: [(one["name"], one["admin"]) for one in self.server.ask("GET", f"/v1/groups/{name}/members", token=alice)["users"]]
        self.assertEqual(sorted(members("garden")), [("alice", True), ("bob", True)])
        self.click("[aria-label='bob: admin no more']")
        self.wait(lambda: self.all("[aria-label='Make bob an admin']"))
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Change the group…']").click() or True)
        name = self.one("dialog input")
        name.clear()
        name.send_keys("park")
        self.click("#group-open")
        self.click("dialog .primary")
        self.wait(lambda: self.driver.current_url.endswith("#/park"))
        group = next(one for one in self.server.ask("GET", "/v1/groups", token=alice)["groups"] if one["name"] == "park")
        self.assertTrue(group["open"])
        self.click("[aria-label='Remove bob from the group']")
        self.click("dialog .danger")
        self.wait(lambda: members("park") == [("alice", True)])
        # Removed from a group, one has it no more.
        self.server.ask("PUT", "/v1/groups/bobs/members/alice", {}, bob)
        self.wait(lambda: any("bobs" in text for text in self.texts(".conversation-name")))
        self.driver.execute_script("location.hash = '#/bobs'")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to bobs")
        self.server.ask("DELETE", "/v1/groups/bobs/members/alice", token=bob)
        self.wait(lambda: self.texts(".center h1") == ["bobs is no longer there"] and not any("bobs" in text for text in self.texts(".conversation-name")))
