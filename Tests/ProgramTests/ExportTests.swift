internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natter export, verify")
struct ExportTests {
    @Test("export prints seq, ts, sender, text of each message, as natterd does, and natterd takes it back")
    func export() throws {
        let world = try World()
        try world.alice.sends("one", "two\nlines", "tab\t\u{1B}")
        try world.bob.sends("Маша 🙂")
        let outcome = try world.carol("export", "general")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        #expect(try outcome.objects().allSatisfy { $0.names == ["sender", "seq", "text", "ts"] })
        world.stopServing()
        let exported = try world.natterd("export", "general")
        #expect(try outcome.objects().map { Line($0) } == exported.objects().map { Line($0) })
        let taken = try world.natterd("import", "copy", "-", input: .bytes(outcome.bytes))
        #expect(taken.code == 0)
        let copy = try world.natterd("export", "copy")
        #expect(try copy.objects().map { Line($0) } == outcome.objects().map { Line($0) })
    }

    @Test("export of a personal conversation, of an empty one, of an unknown one")
    func kinds() throws {
        let world = try World()
        try world.alice.sends("for bob", to: "@bob")
        #expect(try world.bob("export", "@alice").objects().map { $0[string: "text"] } == ["for bob"])
        let empty = try world.alice("export", "@me")
        #expect(empty.code == 0 && empty.bytes.isEmpty)
        for name in ["nix", "@nix"] {
            let outcome = try world.alice("export", name)
            #expect(outcome.code == 67 && isOneLine(outcome.errors) && outcome.errors.contains("nix"))
        }
        #expect(try world.alice("export").code == 64)
        #expect(try world.person("nobody")("export", "general").code == 77)
        // Offline, the synced messages
        world.stopServing()
        #expect(try world.bob("export", "@alice", "--offline").lines.count == 1)
        #expect(try world.carol("export", "general", "--offline").code == 69)
    }

    @Test("verify prints nothing in a pipe if all is well, an object each with --json, a line each with --verbose")
    func whole() throws {
        let world = try World()
        try world.bob.sends("one", "two")
        try world.bob.sends("three", to: "@alice")
        #expect(try world.alice("verify", "--offline").code != 0)
        _ = try world.alice("sync")
        let quiet = try world.alice("verify")
        #expect(quiet.code == 0 && quiet.bytes.isEmpty && quiet.errors.isEmpty)
        let objects = try world.alice("verify", "--json").objects()
        #expect(Set(objects.map { $0[string: "conversation"] }) == ["general", "@bob"])
        #expect(objects.allSatisfy { $0[string: "server"] == "same" })
        #expect(try world.alice("verify", "general", "--verbose").lines.count == 1)
        #expect(try world.alice("verify", "nix").code == 67)
        // Without the server, by its last answer, with a note
        world.stopServing()
        let alone = try world.alice("verify")
        #expect(alone.code == 0 && alone.bytes.isEmpty && isOneLine(alone.errors))
    }

    @Test("verify reports damage and exits with 74; export prints the rest, reports it, and exits with 74 too")
    func damaged() throws {
        let world = try World()
        var generator = SeededGenerator(seed: 11)
        let lines = (1...20_000).map { number in
            JSON.line(
                ts: 1_700_000_000_000 + number, sender: "u\(number % 9)",
                text: "\(number) \(UInt64.random(in: 0...(.max), using: &generator))")
        }
        try world.importGeneral(lines.joined())
        _ = try world.bob("sync")
        let whole = try world.bob("export", "general").objects().map { Line($0) }
        #expect(whole.count == 20_000)
        let logs = Files.below("\(world.bob.natterHome)/replicas").filter {
            Files.size($0) > 10_000 && !$0.contains(".db")
        }
        let file = try #require(logs.max { Files.size($0) < Files.size($1) })
        try Files.flipByte(file, at: Files.size(file) / 2)

        let check = try world.bob("verify")
        #expect(check.code == 74)
        let line = try #require(check.lines.first)
        let match = try #require(line.firstMatch(of: #/^general: messages (\d+) to (\d+) are damaged: /#))
        let from = try #require(Int(match.1))
        let to = try #require(Int(match.2))
        let exported = try world.bob("export", "general", "--offline")
        #expect(exported.code == 74 && isOneLine(exported.errors))
        #expect(exported.errors.contains("\(from) to \(to)"))
        #expect(try exported.objects().map { Line($0) } == whole.filter { !(from...to).contains($0.seq ?? 0) })
    }
}
