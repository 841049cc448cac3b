"""Search and settings while the conversations that they offer, and the messages that were found, change."""
from selenium.webdriver.common.keys import Keys

from history_test import OpenPage, holding


class SearchTests(OpenPage):
    def setUp(self):
        super().setUp()
        self.ask("bob", "POST", "/v1/groups", {"name": "crew"})
        self.ask("bob", "PUT", "/v1/groups/crew/members/alice", {})

    def find(self, words):
        field = self.one("[type=search]")
        field.clear()
        field.send_keys(words + Keys.ENTER)

    def found(self):
        return self.texts(".results li .text")

    def reload_without_lists(self):
        """Loads the page again. The lists come when it is told."""
        script = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": holding("conversations?limit", answers=True)})
        self.driver.refresh()
        self.wait_held(1)
        self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)

    def test_a_reload_searches_where_the_search_was(self):
        self.post("bob", "apple in crew", "crew")
        self.post("bob", "apple for all")
        self.log_in("alice", address="#/,search?q=apple&c=crew")
        for _ in range(2):
            self.wait(lambda: self.found() == ["apple in crew"])
            self.assertIn("c=crew", self.driver.current_url)
            self.reload_without_lists()
        self.wait(lambda: self.found() == ["apple in crew"])
        self.release(0)
        self.wait(lambda: sorted(self.texts("#search-where option")) == ["All conversations", "crew", "general"])
        # The choice follows the group to its new name.
        self.ask("bob", "PATCH", "/v1/groups/crew", {"name": "team"})
        self.wait(lambda: "team" in self.texts("#search-where option"))
        self.post("bob", "apple in team", "team")
        self.find("apple")
        self.wait(lambda: self.found() == ["apple in team", "apple in crew"])

    def test_more_is_of_the_search_that_is_shown(self):
        for fruit in ("pear", "apple"):
            for number in range(31):
                self.post("bob", f"{fruit} {number}", "crew")
        self.log_in("alice", address="#/,search?q=apple")
        self.wait(lambda: len(self.found()) == 30)
        self.one("[type=search]").clear()
        self.one("[type=search]").send_keys("pear")
        self.press_button("More")
        self.wait(lambda: len(self.found()) == 31)
        self.assertEqual({text.split()[0] for text in self.found()}, {"apple"})

    def test_a_long_hit_shows_what_was_found(self):
        self.post("bob", "\n".join(["line"] * 60 + ["with a needle"] + ["line"] * 60), "crew")
        self.log_in("alice", address="#/,search?q=needle")
        self.wait(lambda: self.texts(".results mark") == ["needle"])
        shown = self.found()[0]
        self.assertTrue(shown.startswith("… with a needle\nline") and shown.endswith(" …"), shown)

    def test_the_settings_offer_tokens_for_conversations_that_come_later(self):
        self.log_in("alice", address="#/,settings")
        self.reload_without_lists()
        self.one("#token-scope")
        self.release(0)
        self.wait(lambda: sorted(self.texts("#token-scope option")) == ["everything", "read crew", "read general", "send to crew", "send to general"])
        self.js("document.querySelector('#token-scope').value = 'read:crew'")
        # A token for everything must not come from a choice that is not there any more.
        self.ask("bob", "DELETE", "/v1/groups/crew/members/alice")
        self.wait(lambda: "send to crew" not in self.texts("#token-scope option"))
        self.assertEqual(self.one("#token-scope").get_property("value"), "read:crew")

    def test_what_was_found_follows_the_messages(self):
        self.post("bob", "apple in crew", "crew")
        edited = self.post("bob", "apple for all")["seq"]
        self.log_in("alice", address="#/,search?q=apple")
        # Both may be of the same millisecond.
        self.wait(lambda: sorted(self.found()) == ["apple for all", "apple in crew"])
        self.post("bob", "apple and pear", kind="edit", about=edited)
        self.wait(lambda: sorted(self.found()) == ["apple and pear", "apple in crew"])
        self.assertEqual(self.texts(".results mark"), ["apple", "apple"])
        self.ask("bob", "PATCH", "/v1/groups/crew", {"name": "team"})
        self.wait(lambda: sorted(self.texts(".results b")) == ["general", "team"])
        self.wait(lambda: next(one for one in self.all(".results a") if "in crew" in one.text).click() or True)
        self.wait(lambda: self.texts(".center h1") == ["team"])
        self.driver.back()
        self.wait(lambda: len(self.found()) == 2)
        self.ask("bob", "DELETE", "/v1/groups/team/members/alice")
        self.wait(lambda: self.found() == ["apple and pear"])
        self.assertEqual(self.one(".page-body > [role=status]").text, "1 message found")
