internal import Foundation
internal import Testing
internal import TestSupport

@Suite("search")
struct SearchTests {
    private static let shared = Result { () throws -> World in
        let world = try World()
        let lines = [
            JSON.line(ts: 1_700_000_000_000, sender: "old", text: "The disk is full"),
            JSON.line(ts: 1_700_000_001_000, sender: "old", text: "a full disk, again"),
            JSON.line(ts: 1_700_000_002_000, sender: "bob", text: "Ёлка и ёж"),
            JSON.line(ts: 1_700_000_003_000, sender: "bob", text: "Café ÜBER Straße"),
            JSON.line(ts: 1_700_000_004_000, sender: "bob", text: "partition table -rf"),
            JSON.line(ts: 1_700_000_005_000, sender: "bob", text: "日本語 のテスト"),
        ]
        try world.importGeneral(lines.joined())
        try world.alice.sends("disk and partition")
        try world.alice.sends("disk for bob", to: "@bob")
        _ = try world.alice("sync")
        return world
    }

    @Test(
        "newest first: words, phrases, prefixes, negation, filters; 1 if nothing is found",
        arguments: [
            (["disk"], "@bob/1 general/7 general/2 general/1"), (["disk", "full"], "general/2 general/1"),
            (["disk full"], "general/2 general/1"), (["FULL", "DiSk"], "general/2 general/1"),
            (["\"full disk\""], "general/2"), (["\"disk full\""], ""), (["part*"], "general/7 general/5"),
            (["part"], ""), (["disk", "-full"], "@bob/1 general/7"),
            (["disk", "-\"full disk\""], "@bob/1 general/7 general/1"),
            (["disk", "-part*", "-bob"], "general/2 general/1"),
            (["disk", "-c", "general"], "general/7 general/2 general/1"), (["disk", "-c", "@bob"], "@bob/1"),
            (["-c", "@bob", "full"], ""), (["disk", "--from", "alice"], "@bob/1 general/7"),
            (["disk", "--from=old", "-n", "1"], "general/2"), (["disk", "-n", "2"], "@bob/1 general/7"),
            (["disk", "--since", "2023-11-14T22:13:20.500Z", "--until", "@1700000100"], "general/2"),
            (["disk", "--until", "@1700000001"], "general/1"),
            (["disk", "--since", "yesterday"], "@bob/1 general/7"),
            (["елка"], "general/3"), (["ЁЛКА"], "general/3"), (["еж"], "general/3"), (["cafe"], "general/4"),
            (["CAFÉ"], "general/4"), (["uber"], "general/4"), (["partition", "-nix"], "general/7 general/5"),
            (["nowhere"], ""), (["--", "disk", "-full"], "@bob/1 general/7"), (["日本語"], "general/6"),
        ] as [([String], String)])
    func queries(words: [String], expected: String) throws {
        let world = try SearchTests.shared.get()
        let outcome = try world.alice.run(["search", "--json"] + words)
        let found = try outcome.objects().map { "\($0[string: "conversation"] ?? "")/\($0[int: "seq"] ?? 0)" }
        #expect(found.joined(separator: " ") == expected)
        #expect(outcome.code == (expected.isEmpty ? 1 : 0))
        #expect(outcome.errors.isEmpty)
    }

    @Test("in one conversation, too, the newest come first after an import of old messages")
    func newestOfOne() throws {
        let world = try World(says: "disk now")
        try world.importGeneral(JSON.line(ts: 1_500_000_000_000, sender: "old", text: "disk then"))
        _ = try world.alice("sync")
        for more in [[], ["-c", "general"]] {
            let outcome = try world.alice.run(["search", "-n", "1", "disk"] + more)
            #expect(outcome.lines.count == 1 && outcome.output.contains("disk now"), "\(outcome)")
        }
    }

    @Test("an edit whose original is not in the replica is a hit, shown as it is")
    func editOfAbsent() throws {
        let world = try World(says: "plan version1")
        #expect(try world.bob("sync", "--since", "@\(Int(Date().timeIntervalSince1970) + 50)").code == 0)
        #expect(try world.alice("edit", "1", "plan version2").code == 0)
        try world.alice.sends("plan three")
        #expect(try world.bob("sync").code == 0)
        for words in [["plan"], ["-n", "2", "plan"], ["--substring", "plan"]] {
            let outcome = try world.bob.run(["search"] + words)
            #expect(outcome.code == 0 && outcome.lines.count == 2, "\(outcome)")
            #expect(outcome.lines.last?.contains("version2") == true, "\(outcome)")
        }
        for words in [["version2"], ["-C", "1", "version2"], ["version2\u{3000}plan"]] {
            let outcome = try world.bob.run(["search"] + words)
            #expect(outcome.code == 0 && outcome.output.contains("version2"), "\(outcome)")
        }
    }

    @Test("a hit is a line with its conversation, without the server from the replica, with a note")
    func plain() throws {
        let world = try World()
        try world.alice.sends("find me\nhere")
        _ = try world.alice("sync")
        world.stopServing()
        let outcome = try world.alice("search", "find")
        #expect(outcome.code == 0 && outcome.errors.contains("the replica was synced"))
        #expect(String(outcome.output.dropFirst(25)) == "general alice: find me\n\there\n")
        #expect(try world.alice("search", "find", "--offline").bytes == outcome.bytes)
        #expect(try world.alice.texts("search", "find") == ["find me\nhere"])
    }

    @Test("a mistyped option is a word of the query, and named where nothing is found")
    func mistyped() throws {
        let world = try SearchTests.shared.get()
        let outcome = try world.alice("search", "disk", "--form", "alice")
        #expect(outcome.code == 1 && outcome.bytes.isEmpty)
        #expect(outcome.errors == "natter: '--form' is no option of 'natter search', so it was searched for\n")
    }

    @Test("nothing found is 74, not 1, where messages are damaged; what is found elsewhere is 0, with a note")
    func damaged() throws {
        let world = try World()
        let texts = (1...200).map { "\($0) " + String((UInt64($0) &* 0x9E37_79B9_7F4A_7C15), radix: 36) }
        let long = texts.map { text in (0..<70).map { "\(text)\($0)" }.joined() }
        try expect(world.alice.run(["send", "--lines"], input: .text(long.joined(separator: "\n"))))
        try expect(world.bob("sync"))
        try expect(world.alice("send", "--quiet", "find me"))
        try expect(world.bob("sync"))
        let logs = Files.below("\(world.bob.natterHome)/replicas").filter { $0.hasSuffix(".log") }
        let log = try #require(logs.max { Files.size($0) < Files.size($1) })
        try Files.flipByte(log, at: Files.size(log) / 2)
        for words in [["--regex", "xyzzy"], ["--substring", "xyzzy"]] {
            let nothing = try world.bob.run(["search", "--offline"] + words)
            #expect(nothing.code == 74 && nothing.errors.contains("were not searched"), "\(words) \(nothing)")
            #expect(nothing.bytes.isEmpty && isOneLine(nothing.errors))
        }
        let found = try world.bob("search", "--offline", "--substring", "find me")
        #expect(found.code == 0 && found.lines.count == 1 && found.errors.contains("were not searched"), "\(found)")
    }
}
