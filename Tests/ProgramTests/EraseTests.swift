internal import Foundation
internal import Testing
internal import TestSupport

@Suite("erase")
struct EraseTests {
    private static let secret = "Xylophonkonzert-7731"
    private let world: World

    init() throws { world = try World() }

    private func holding(_ directory: String) -> [String] { Files.holding(piecesOf: Self.secret, below: directory) }

    @Test(
        "natterd erase, with a server and without one, leaves no trace of a text in the data directory, and the log whole",
        arguments: [true, false])
    func operatorErases(isServing: Bool) throws {
        for text in ["one", Self.secret, "three", "four"] { try world.alice.sends(text) }
        if !isServing { world.stopServing() }
        // Ranges and numbers, some of them twice
        let done = try world.natterd("erase", "general", "2", "2-3", "--json")
        #expect(done.code == 0, "\(done)")
        #expect(try done.objects().first?[int: "erased"] == 2)
        #expect(holding(world.data) == [])
        let again = try world.natterd("erase", "general", "2", "--json")
        #expect(try again.code == 0 && again.objects().first?[int: "erased"] == 0)
        #expect(try world.natterd("fsck").code == 0)
        let exported = try world.natterd("export", "general", "--raw").objects()
        #expect(exported.map { $0[string: "text"] } == ["one", "", "", "four"])
        for (words, code) in [
            (["general"], Int32(64)), (["general", "x"], 64), (["general", "0"], 64), (["general", "3-2"], 64),
            (["general", "2-"], 64), (["general", "9"], 67), (["nix", "1"], 67), (["@alice", "1"], 67),
        ] {
            let refused = try world.natterd(["erase"] + words)
            #expect(refused.code == code && isOneLine(refused.errors) && refused.bytes.isEmpty, "\(words): \(refused)")
        }
        // More numbers than a server takes at once
        let many = try world.natterd(["erase", "general"] + (1...90_000).map(String.init))
        #expect(many.code == (isServing ? 64 : 67) && isOneLine(many.errors), "\(many)")
        #expect(try world.natterd("erase", "general", "1").code == 0)
        if !isServing { try world.serve() }
        #expect(holding(world.data) == [])
    }

    @Test(
        "natterd user erase, with a server and without one, leaves nothing of what a user wrote",
        arguments: [true, false])
    func account(isServing: Bool) throws {
        try world.alice.sends(Self.secret)
        try world.bob.sends("of bob")
        try world.bob.group("crew", with: "alice")
        if !isServing { world.stopServing() }
        // Its text and the event that names it
        for count in [2, 0] {
            let done = try world.natterd("user", "erase", "alice", "--json")
            #expect(done.code == 0, "\(done)")
            #expect(try done.objects().first?[int: "erased"] == count)
        }
        #expect(try world.natterd("user", "erase", "nix").code == 67)
        let enabled = try world.natterd("user", "enable", "alice")
        #expect(enabled.code == 77 && isOneLine(enabled.errors), "\(enabled)")
        #expect(enabled.errors.contains("the account 'alice' was erased for good"))
        #expect(holding(world.data) == [])
        #expect(try world.natterd("fsck").code == 0)
        if !isServing { try world.serve() }
        #expect(try world.alice("send", "more").code == 77)
        // An event that named the account keeps its other words, however it is shown
        for words in [["show", "crew", "2"], ["log", "crew"]] {
            let shown = try world.bob.run(words)
            #expect(shown.output.contains("added #") && !shown.output.contains("(erased)"), "\(words): \(shown)")
        }
        #expect(try world.bob("log", "--json").objects().map { $0[string: "sender"] } == ["", "bob"])
    }

    @Test("an admin erases from afar, other users do not, and the audit trail says who did it")
    func admin() throws {
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        for text in ["one", Self.secret] { try world.bob.sends(text) }
        // Bob has it in his replica and its search index.
        #expect(try world.bob("sync").code == 0 && world.bob("search", "xylophonkonzert").code == 0)
        #expect(holding(world.bob.home) != [])
        #expect(try world.bob("admin", "erase", "general", "2").code == 77)
        let done = try world.alice("admin", "erase", "general", "2", "--json")
        #expect(done.code == 0, "\(done)")
        #expect(try done.objects().first?[int: "erased"] == 1)
        #expect(try world.alice("admin", "erase", "general", "3").code == 67)
        #expect(holding(world.data) == [])
        // Nothing of it is left on the client either, once it has synced.
        #expect(try world.bob("sync").code == 0)
        #expect(holding(world.bob.home) == [])
        let audit = try world.alice("admin", "log", "--audit", "--json").objects()
        #expect(audit.filter { $0[string: "action"] == "messages_erased" }.map { $0[string: "actor"] } == ["alice"])
        // A client that never had it gets it as it is.
        let log = try world.carol("log", "--raw", "--json").objects()
        #expect(log.last?[bool: "erased"] == true && log.last?[string: "text"] == "")
        #expect(try world.carol("verify").code == 0)
    }

    @Test("an admin erases ranges, and as many messages as natterd does, in several requests")
    func adminRanges() throws {
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        let lines = (1...1_600).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "x", text: "text \($0)") }
        try world.importGeneral(lines.joined())
        func erase(_ words: String...) throws -> Outcome { try world.alice.run(["admin", "erase", "general"] + words) }
        // Nothing is erased if one of the numbers is not there.
        #expect(try erase("1-1601").code == 67)
        let done = try erase("3", "2-1302", "1400-1401", "--json")
        #expect(done.code == 0, "\(done)")
        #expect(try done.objects().map { $0[int: "erased"] } == [1_303])
        let left = try world.natterd("export", "general").objects().filter { $0[bool: "erased"] != true }
        #expect(left.compactMap { $0[int: "seq"] } == [1] + (1_303...1_399) + (1_402...1_600))
        for words in [["3-2"], ["2-"], ["-2"], ["0-1"], ["1-1000001"], ["1-9223372036854775807"], ["1,2"]] {
            let refused = try world.alice.run(["admin", "erase", "general", "--"] + words)
            #expect(refused.code == 64, "\(words): \(refused)")
        }
    }

    @Test(
        "where a text may be left is said once, with a server and without one",
        .enabled(if: !PostgresCluster.servesTests, "a shared store sets no database aside"), arguments: [true, false])
    func remains(isServing: Bool) throws {
        for text in ["one", "two"] { try world.alice.sends(text) }
        world.stopServing()
        let quarantine = "\(world.store)/quarantine"
        try FileManager.default.createDirectory(atPath: quarantine, withIntermediateDirectories: true)
        try Data("of a repair".utf8).write(to: URL(fileURLWithPath: "\(quarantine)/store.db"))
        if isServing { try world.serve() }
        for words in [["erase", "general", "1"], ["user", "erase", "alice"]] {
            let outcome = try world.natterd(words)
            #expect(outcome.code == 0 && outcome.errors.split(separator: "was set aside").count == 2, "\(outcome)")
        }
    }

    @Test("an own message counts as read after it was erased; 'ls' shows an erased message as 'log' does")
    func unread() throws {
        try world.bob.sends("one")
        try world.alice.sends(Self.secret)
        try world.bob.sends("three")
        func count(_ person: Person) throws -> Int? { try person("ls", "--json").objects().first?[int: "unread"] }
        #expect(try world.alice("sync").code == 0 && count(world.alice) == 2)
        #expect(try world.natterd("erase", "general", "2-3").code == 0)
        #expect(try count(world.alice) == 2)
        try expect(world.alice("mark", "general", "1"), hasNotes: true)
        #expect(try count(world.alice) == 1)
        #expect(try world.alice("log", "--unread", "--format", "%n").lines == ["3"])
        let copy = try world.alice.copyOfHome(world.directory)
        #expect(try world.alice("--home", copy, "ls", "--json").objects().first?[int: "unread"] == 1)
        #expect(try world.alice("ls").output.hasSuffix(" (erased)\n"))
        #expect(try !world.alice("ls").output.contains(":  (erased)"))
    }

    @Test("a deleted message shows as deleted, erased or not")
    func deletedAndErased() throws {
        let world = try World()
        try world.bob.sends("one", "two")
        try expect(world.bob("delete", "1"))
        #expect(try world.natterd("erase", "general", "1").code == 0)
        for options in [[], ["--raw"]] {
            let line = try #require(try world.alice.run(["log"] + options).lines.first)
            #expect(line.hasSuffix(" (deleted)"), "\(line)")
            let shown = try #require(try world.alice.run(["show", "general", "1"] + options).lines.first)
            #expect(shown.hasSuffix(" (deleted)"), "\(shown)")
        }
        let hit = try world.alice("search", "two", "-C", "1")
        #expect(hit.lines.first?.hasSuffix(" (deleted)") == true, "\(hit)")
        let mail = try world.alice("export", "general", "--format", "html").output
        #expect(mail.contains("deleted") && !mail.contains("erased"))
    }

    @Test("where one of several deletions is refused, the error says that the others are done")
    func partial() throws {
        try world.alice.sends("one", "two")
        let refused = try world.alice("delete", "2", "1", "38")
        #expect(refused.code == 65 && refused.errors.hasSuffix("; the messages before 38 are deleted\n"), "\(refused)")
        #expect(try world.alice.texts("log") == ["", ""])
    }
}
