internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("cursors")
struct CursorTests {
    private static let page = "/v1/conversations/general/messages"

    @Test("a message's cursor is accepted wherever its number is")
    func places() throws {
        let alice = try TestServer().account("alice")
        let cursors = try (1...9).map { try alice.say("text \($0)").json["cursor"]?.text ?? "" }
        for (index, cursor) in cursors.enumerated() {
            let seq = String(index + 1)
            #expect(try alice.page(["after": cursor]).messages == alice.page(["after": seq]).messages)
            #expect(try alice.page(["before": cursor]).messages == alice.page(["before": seq]).messages)
        }
        #expect(Set(cursors).count == 9)
        #expect(
            try alice.page(["after": cursors[1], "before": cursors[5]]).messages.map(\.seq) == [3, 4, 5])
    }

    @Test("one in the other's place, malformed, or of another conversation is 400 bad_cursor")
    func wrongPlace() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.account("bob")
        let message = try alice.say("one").json["cursor"]?.text ?? ""
        let personal = try alice.say("one", to: "@bob").json["cursor"]?.text ?? ""
        let sync = try alice.get("/v1/sync").header("Natter-Cursor") ?? ""
        for cursor in [
            sync, personal, "x", "=", "now", String(message.dropLast()), message + "A", message.lowercased(),
        ] {
            #expect(try alice.get(CursorTests.page, ["after": cursor]).outcome == "400 bad_cursor", "\(cursor)")
            #expect(try alice.get(CursorTests.page, ["before": cursor]).outcome == "400 bad_cursor", "\(cursor)")
        }
        for cursor in [message, personal, "x", "NOW", "1", "0", String(sync.dropLast()), sync + "A"] {
            #expect(try alice.get("/v1/sync", ["cursor": cursor]).outcome == "400 bad_cursor", "\(cursor)")
        }
    }

    @Test("no flipped character makes another cursor of one", arguments: [false, true])
    func flipped(isSync: Bool) throws {
        let alice = try TestServer().account("alice")
        let message = try alice.say("one").json["cursor"]?.text ?? ""
        let cursor = isSync ? try alice.get("/v1/sync").header("Natter-Cursor") ?? "" : message
        for index in cursor.indices {
            var changed = cursor
            changed.replaceSubrange(index...index, with: cursor[index] == "A" ? "B" : "A")
            let answer =
                isSync
                ? try alice.get("/v1/sync", ["cursor": changed]) : try alice.get(CursorTests.page, ["after": changed])
            #expect(answer.outcome == "400 bad_cursor")
        }
    }

    @Test("one that can't go on says what to do")
    func remedy() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        _ = try alice.say("one")
        let id = try #require(ConversationID(hex: alice.get("/v1/conversations/general").json["id"]?.text ?? ""))
        for seq: UInt64 in [1, 5] {
            let cursor = MessageCursor(conversation: id, seq: Seq(seq), hashPrefix: 7).description
            let answer = try alice.get(CursorTests.page, ["after": cursor])
            #expect(answer.outcome == "410 cursor_expired")
            #expect(try answer.json["error"]?["message"]?.text?.contains("after=0") == true, "\(answer.text)")
        }
    }

    @Test("a cursor of sync does not show how much others do, and nobody can try out numbers")
    func sealed() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        func cursor() throws -> String { try #require(try alice.get("/v1/sync").header("Natter-Cursor")) }
        // Only a commit of this start has its epoch.
        _ = try bob.say("first", to: "@me")
        let before = try cursor()
        #expect(try cursor() == before)
        for number in 1...3 { _ = try bob.say("\(number)", to: "@me") }
        let after = try cursor()
        // Both have the same length, and what differs looks like chance.
        let (old, new) = (try #require(SealedCursor(before)), try #require(SealedCursor(after)))
        #expect(old.epoch == new.epoch && old.sealed.count == new.sealed.count)
        #expect(zip(old.sealed, new.sealed).count { $0 != $1 } >= 8)
        #expect(StoreCursor(after) == nil)
        // A cursor that names its commit openly, as earlier versions gave it, is expired, whatever it names.
        let place = try #require(try server.store.cursor(from: after))
        for commit in [1, place.commit.rawValue, place.commit.rawValue + 1] {
            let open = StoreCursor(store: server.storeID, epoch: place.epoch, commit: Commit(commit)).description
            #expect(try alice.get("/v1/sync", ["cursor": open]).outcome == "410 cursor_expired")
        }
    }
}
