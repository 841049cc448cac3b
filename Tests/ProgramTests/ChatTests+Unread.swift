internal import Foundation
internal import Testing
internal import TestSupport

/// How a chat prints unread and new messages, and which it marks as read.
extension ChatTests {
    @Test("begins with all that is unread, or says that it is too much and marks nothing")
    func unread() throws {
        try world.bob.sends("mine")
        for number in 1...25 { try world.alice.sends("unread \(number)") }
        let chat = try start()
        try chat.output(until: "unread 1\r\n")
        try chat.output(until: "unread 25\r\n")
        try chat.output(until: "general> ")
        leave(chat)
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 0)
        let lines = (1...1_001).map { "many \($0)\n" }.joined()
        try expect(world.alice.run(["send", "--lines"], input: .text(lines)))
        let many = try start()
        try many.output(until: "'natter mark general'")
        try many.output(until: "many 1001\r\n")
        try many.output(until: "general> ")
        many.type("hello\n")
        try many.output(until: ": hello")
        leave(many)
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 1_001)
    }

    /// Expects that a chat with too many new messages, `new 1` and so on, shows the newest of them and marks none.
    private func expectNewest(_ chat: ChildProcess, in name: String) throws {
        let shown = try chat.output(until: ": new 1100\r\n")
        let numbers = (1...1_100).filter { shown.contains(": new \($0)\r\n") }
        #expect(numbers == Array(1_081...1_100))
        let isNoted = shown.contains("'natter mark \(name)'")
        #expect(isNoted)
        try chat.output(until: "\(name)> ")
        leave(chat)
        let unread = try world.bob("ls", "--json").objects().first { $0[string: "name"] == name }?[int: "unread"]
        #expect(unread ?? 0 >= 1_100)
    }

    private func sendMany(to name: String, behind before: String = "") throws {
        let lines = before + (1...1_100).map { "new \($0)\n" }.joined()
        try expect(world.alice.run(["send", "--lines", "-c", name], input: .text(lines)))
    }

    @Test("begins in the same way with more than it can fetch at once")
    func unreadBehindSlowLink() throws {
        _ = try world.bob("sync")
        // More than a quick sync takes. Random text is hardly compressed
        let random = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
        let long = try (1...200).map { _ in
            try #require(try random.read(upToCount: 45_000)).base64EncodedString() + "\n"
        }
        try sendMany(to: "general", behind: long.joined())
        try expectNewest(start(), in: "general")
    }

    @Test("unread messages that a late replica lacks are named, and none is marked")
    func unreadBeforeReplica() throws {
        try world.alice.sends("old")
        #expect(try world.bob("sync", "--since", "@\(Int(Date().timeIntervalSince1970) + 50)").code == 0)
        try world.alice.sends("new")
        let chat = try start()
        let shown = try chat.output(until: "'natter mark general 2' marks it, too")
        #expect(shown.contains("message 1 of 'general' is not in this replica") && !shown.contains("missing here"))
        try chat.output(until: ": new\r\n")
        try chat.output(until: "general> ")
        chat.type("hello\n")
        try chat.output(until: ": hello")
        leave(chat)
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 2)
    }

    @Test("what came while the server was not reached is shown in the same way", arguments: ["general", "@alice"])
    func newsBehindLostServer(name: String) throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        _ = try world.bob("users")
        try expect(world.bob("sync"))
        let bob = world.bob.at(way.url)
        way.answerAll("")
        let chat = try Screen.start(bob, ["chat", name], columns: 80)
        try chat.output(until: "[offline] \(name)> ")
        try sendMany(to: name == "general" ? name : "@bob")
        way.answerAll(nil)
        try expectNewest(chat, in: name)
    }
}
