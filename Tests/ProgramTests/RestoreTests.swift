internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("clients of a server that was restored from a backup")
struct RestoreTests {
    private let world: World

    init() throws { world = try World() }

    /// The server's data as they were when `backup` was made, under the same path.
    private func putBack(byHand: Bool) throws {
        try FileManager.default.moveItem(atPath: world.data, toPath: world.directory("lost"))
        if byHand {
            try FileManager.default.copyItem(atPath: world.directory("copy"), toPath: world.data)
        } else {
            #expect(try world.natterd("restore", world.directory("backup")).code == 0)
        }
        try world.serve()
    }

    @Test("a mark that the server has lost is lost on the device that set it, too, with the next message")
    func lostMark() throws {
        try world.bob.sends("one", "two", "three")
        try expect(world.alice("sync"))
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        try expect(world.alice("mark", "general"))
        world.stopServing()
        try putBack(byHand: false)
        try world.bob.sends("four")
        try expect(world.alice("sync"))
        let listed = try #require(try world.alice("ls", "--json").objects().first)
        #expect(listed[int: "read"] == 0 && listed[int: "unread"] == 4)
        #expect(try world.alice.texts("log", "--unread") == ["one", "two", "three", "four"])
    }

    @Test("ls leaves out a personal conversation whose messages the server has lost, all of them")
    func lostConversation() throws {
        try world.bob.sends("one")
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        try world.bob.sends("for alice", to: "@alice")
        try expect(world.alice("sync"))
        #expect(try world.alice("ls", "--json").objects().count == 2)
        world.stopServing()
        try putBack(byHand: false)
        #expect(try world.alice("sync").code == 0)
        #expect(try world.alice("ls", "--json").objects().map { $0[string: "name"] } == ["general"])
    }

    @Test(
        "clients ahead, equal and behind: all continue; what the server lost is set aside, reported, and offered for resending once",
        arguments: [false, true])
    func clients(byHand: Bool) throws {
        try world.alice.sends("one", "two", "three")
        for person in [world.alice, world.bob] { #expect(try person("sync").code == 0) }
        // Given a backup, and messages since that the server loses: bob knows them, alice's own are among them
        world.stopServing()
        try FileManager.default.copyItem(atPath: world.data, toPath: world.directory("copy"))
        try world.serve()
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        try world.alice.sends("lost by the server", "this too")
        try world.bob.sends("and this")
        for person in [world.alice, world.bob] { #expect(try person("sync").code == 0) }
        let known = try world.alice.texts("log", "--offline")
        #expect(known == ["one", "two", "three", "lost by the server", "this too", "and this"])
        let token = try world.alice.token()
        world.stopServing()
        try putBack(byHand: byHand)
        #expect(try world.alice.token() == token)
        // and somebody who writes before they come back
        try world.carol.sends("carol was first")
        // When alice is ahead, verifies and syncs
        let verify = try world.alice("verify")
        #expect(verify.code == 74 && verify.lines.contains { $0.contains("natter sync") })
        let sync = try world.alice("sync")
        #expect(sync.code == 0)
        #expect(sync.errors.contains("restored from a backup") && sync.errors.contains("natter outbox retry"))
        // Then she has the server's messages, and the lost ones are set aside, readable
        #expect(try world.alice.texts("log", "--offline") == ["one", "two", "three", "carol was first"])
        let list = try #require(
            Files.below("\(world.alice.natterHome)/replicas").first { $0.hasSuffix("/messages.ndjson") })
        let aside = try #require(Files.text(list)).split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(aside.map { $0[string: "text"] } == ["lost by the server", "this too", "and this"])
        #expect(try world.alice("verify").code == 0)
        #expect(try world.alice("status", "--json").objects().first?[int: "aside"] == 1)
        #expect(try world.alice("doctor").lines.contains { $0.contains("were moved to") })
        // Her own are offered, and sent when she says so, once, also from a second machine and by a second try
        let offered = try world.alice("outbox", "ls", "--json").objects()
        #expect(offered.map { $0[string: "text"] } == ["lost by the server", "this too"])
        #expect(offered.allSatisfy { $0[object: "error"]?[string: "code"] == "lost" })
        #expect(try world.alice("sync").code == 0)
        #expect(try world.alice("outbox", "ls", "--json").objects().count == 2)
        #expect(try world.alice("outbox", "retry").code == 0)
        #expect(try world.alice("outbox", "ls", "--json").objects().isEmpty)
        for entry in offered {
            let (id, text) = (entry[string: "id"] ?? "", entry[string: "text"] ?? "")
            #expect(try world.alice("send", "--id", id, text).code == 0)
        }
        // bob, who was ahead too, and carol, who had never synced, agree with her
        #expect(try world.bob("sync").code == 0)
        #expect(try world.bob("outbox", "ls", "--json").objects().map { $0[string: "text"] } == ["and this"])
        let expected = ["one", "two", "three", "carol was first", "lost by the server", "this too"]
        for person in [world.alice, world.bob, world.carol] {
            #expect(try person("sync").code == 0)
            #expect(try person.texts("log", "--offline") == expected)
            #expect(try person("verify").code == 0)
        }
    }

    @Test("one's own lost edits and deletions of what the server still has are counted, and not offered")
    func changes() throws {
        try world.alice.sends("one", "two", "three", "four")
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        for words in [["edit", "1", "uno"], ["delete", "2"], ["edit", "3", "tre"], ["delete", "3"]] {
            try expect(world.alice.run(words))
        }
        try world.alice.sends("five")
        try expect(world.alice("edit", "9", "cinque"))
        try expect(world.alice("sync"))
        world.stopServing()
        try putBack(byHand: false)
        let sync = try world.alice("sync")
        #expect(sync.errors.contains("5 messages of 'general' now exist only in"), "\(sync)")
        #expect(sync.errors.contains("4 of them are edits or deletions of yours: look whether"), "\(sync)")
        let offered = try world.alice("outbox", "ls", "--json").objects()
        #expect(offered.map { $0[string: "text"] } == ["cinque"])
    }

    @Test("a client that has exactly the backup's messages continues silently")
    func equal() throws {
        try world.alice.sends("one", "two")
        #expect(try world.bob("sync").code == 0)
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        world.stopServing()
        try putBack(byHand: false)
        try world.alice.sends("three")
        let sync = try world.bob("sync")
        #expect(sync.code == 0 && !sync.errors.contains("restored from a backup"))
        #expect(try world.bob.texts("log", "--offline") == ["one", "two", "three"])
        #expect(try world.bob("outbox", "ls", "--json").objects().isEmpty)
    }

    @Test("a reader that runs meanwhile ends, also if another command of the same home has noticed it first")
    func followers() throws {
        try world.alice.sends("one")
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        let commands = [["log", "-f", "--format", "%m"], ["watch", "--exec", "cat; echo"]]
        let readers = try commands.map { try world.bob.start($0) }
        #expect(try readers[0].line() == "one")
        try eventually("the watch has its place") {
            Files.below(world.bob.natterHome).contains { $0.contains("/watches/") && $0.hasSuffix(".start") }
        }
        try world.alice.sends("lost", "this too")
        for reader in readers { for text in ["lost", "this too"] { #expect(try reader.line() == text) } }
        // Given readers that stand still until the other command is done
        for reader in readers { reader.freeze() }
        let address = world.url.dropFirst("http://".count)
        world.stopServing()
        try FileManager.default.moveItem(atPath: world.data, toPath: world.directory("lost"))
        #expect(try world.natterd("restore", world.directory("backup")).code == 0)
        try world.serve(["--listen", String(address)])
        try world.alice.sends("2", "3", "4")
        #expect(try world.bob("sync").errors.contains("restored from a backup"))
        // Then they say so, instead of going on behind messages that nobody has read
        for reader in readers { reader.signal(SIGCONT) }
        try world.alice.sends("5")
        for reader in readers {
            let end = reader.finish()
            #expect(end.code == 65 && end.bytes.isEmpty, "\(end)")
            #expect(end.errors.contains("the server was restored from a backup"))
        }
        // A name of a watch is what 'watch drop' takes
        let name = try #require(try world.bob("watch", "ls", "--json").objects().first?[string: "name"])
        try expect(world.bob("watch", "--exec", "true"), 65, "'natter watch drop \(name)'")
    }

    @Test("a lost answer is offered as one to the message that the server still has, and else as a plain message")
    func answers() throws {
        try world.alice.sends("one")
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        for words in [["--re", "1", "to one"], ["two"], ["--re", "3", "to two"]] {
            #expect(try world.alice.run(["send"] + words).code == 0)
        }
        #expect(try world.alice("sync").code == 0)
        world.stopServing()
        try putBack(byHand: false)
        try world.bob.sends("another two")
        for words in [["sync"], ["outbox", "retry"]] { #expect(try world.alice.run(words).code == 0) }
        let found = try world.alice("log", "--json").objects().map { ($0[string: "text"] ?? "", $0[int: "about"]) }
        #expect(found.map(\.0) == ["one", "another two", "to one", "two", "to two"])
        #expect(found.map(\.1) == [nil, nil, 1, nil, nil])
    }

    @Test("messages of conversations that the backup lacks are offered, too; a lost group stays readable")
    func lostConversations() throws {
        // Given a backup without any message, and messages since in conversations of every kind
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        #expect(try world.alice("group", "create", "team").code == 0)
        for conversation in ["general", "@bob", "@me", "team"] {
            try world.alice.sends("to \(conversation)", to: conversation)
        }
        try world.bob.sends("from bob", to: "@alice")
        for person in [world.alice, world.bob] { #expect(try person("sync").code == 0) }
        world.stopServing()
        try putBack(byHand: false)
        // When she syncs
        let sync = try world.alice("sync")
        #expect(sync.code == 0 && sync.errors.contains("does not have 'team'"), "\(sync)")
        // Then her own are offered once, and nothing looks as if the server had them
        let texts: Set = ["to general", "to @bob", "to @me"]
        for _ in 1...2 {
            #expect(Set(try world.alice("outbox", "ls", "--json").objects().map { $0[string: "text"] }) == texts)
            #expect(try world.alice("sync").errors.isEmpty)
        }
        #expect(try world.bob("sync").code == 0)
        #expect(try world.bob("outbox", "ls", "--json").objects().map { $0[string: "text"] } == ["from bob"])
        for name in ["general", "@bob", "@me"] { #expect(try world.alice.texts("log", name).isEmpty) }
        #expect(try world.alice.texts("log", "team").last == "to team")
        #expect(try world.alice("verify").code == 0)
        // and they come back when both say so
        for person in [world.alice, world.bob] { #expect(try person("outbox", "retry").code == 0) }
        for person in [world.alice, world.bob] { #expect(try person("sync").code == 0) }
        #expect(try world.alice.texts("log", "@bob", "--offline") == ["to @bob", "from bob"])
        #expect(try world.bob.texts("log", "@alice", "--offline") == ["to @bob", "from bob"])
        #expect(try world.alice.texts("log", "general", "--offline") == ["to general"])
        #expect(try world.alice("verify").code == 0)
    }

    @Test(
        "what is offered again has its newest text, and never one that was deleted, or erased before the sync or after it",
        arguments: [true, false])
    func changed(isErasedFirst: Bool) throws {
        for text in ["one", "Xylophonkonzert", "three"] { try world.alice.sends(text) }
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        // Given messages that the server loses, with edits and deletions of bob's and of alice's own
        try world.alice.sends("with a mistake", "a slip")
        try world.bob.sends("of bob", "a slip of bob")
        for words in [
            ["edit", "4", "corrected"], ["edit", "5", "another slip"], ["edit", "3", "third"], ["delete", "5"],
        ] {
            #expect(try world.alice.run(words).code == 0)
        }
        #expect(try world.bob("delete", "7").code == 0)
        #expect(try world.alice("sync").code == 0)
        world.stopServing()
        try putBack(byHand: false)
        if isErasedFirst { #expect(try world.natterd("erase", "general", "2").code == 0) }
        // When she syncs
        #expect(try world.alice("sync").code == 0)
        // Then each lost message is there as it was shown last
        let list = try #require(
            Files.below("\(world.alice.natterHome)/replicas").first { $0.hasSuffix("/messages.ndjson") })
        let aside = try #require(Files.text(list)).split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(aside.map { $0[string: "text"] } == ["corrected", "", "of bob", "", "third"])
        #expect(aside.map { $0[bool: "deleted"] } == [nil, true, nil, true, nil])
        #expect(aside.last?[string: "kind"] == "edit" && aside.last?[int: "about"] == 3)
        #expect(try world.alice("outbox", "ls", "--json").objects().map { $0[string: "text"] } == ["corrected"])
        #expect(try world.alice("outbox", "retry").code == 0)
        #expect(try world.bob.texts("log").last == "corrected")
        // and no file of hers has the erased text
        if !isErasedFirst {
            #expect(try world.natterd("erase", "general", "2").code == 0)
            #expect(try world.alice("sync").code == 0)
        }
        #expect(Files.holding(piecesOf: "Xylophonkonzert", below: world.alice.home) == [])
    }
}
