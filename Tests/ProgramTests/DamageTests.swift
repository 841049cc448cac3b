internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("a store with a damaged log")
struct DamageTests {
    private static let count = 30_000

    /// Many sealed blocks.
    private func sealed() throws -> World {
        let world = try World(isServing: false)
        var generator = SeededGenerator(seed: 7)
        let lines = (1...DamageTests.count).map { number in
            JSON.line(
                ts: 1_700_000_000_000 + number, sender: "u\(number % 9)",
                text: "\(number) \(UInt64.random(in: 0...(.max), using: &generator))")
        }
        let outcome = try world.natterd("import", "--old", "general", "-", input: .text(lines.joined()))
        guard outcome.code == 0 else { throw Failure(outcome.errors) }
        return world
    }

    @Test(
        "a flipped byte is found and reported; export prints the undamaged messages and exits with 74; the server serves them"
    )
    func flipped() throws {
        let world = try sealed()
        let whole = try world.natterd("export", "general").objects().map { Line($0) }
        let files = Files.below("\(world.data)/logs").filter { Files.size($0) > 10_000 }
        let file = try #require(files.first)
        try Files.flipByte(file, at: Files.size(file) * 3 / 5)

        // Then fsck names file, offset and range
        let check = try world.natterd("fsck")
        #expect(check.code == 1)
        let line = try #require(check.lines.first)
        #expect(check.lines.count == 1)
        let match = try #require(
            line.firstMatch(of: /^'(\/[^']+\/logs\/[^']+)' at byte (\d+): messages (\d+) to (\d+) of 'general'/))
        #expect(file == match.1)
        let from = try #require(Int(match.3))
        let to = try #require(Int(match.4))
        #expect(from < to && to - from < DamageTests.count / 2)
        let object = try #require(try world.natterd("fsck", "--json").objects().first)
        #expect(object[string: "file"] == String(match.1) && object[int: "offset"] == Int(match.2))
        #expect(object[int: "from"] == from && object[int: "to"] == to)

        // and export prints all the others
        let rest = whole.filter { !(from...to).contains($0.seq ?? 0) }
        let exported = try world.natterd("export", "general")
        #expect(exported.code == 74)
        #expect(exported.errors.contains("\(from)") && exported.errors.contains("\(to)"))
        #expect(try exported.objects().map { Line($0) } == rest)

        // and the server serves them, takes new ones, and states the hole
        try world.serve()
        try world.alice.sends("after the damage")
        let logged = try world.bob("log", "--json")
        #expect(try logged.objects().map { Line($0) }.dropLast() == rest[...])
        #expect(try logged.objects().last?[string: "text"] == "after the damage")
        #expect(logged.errors.contains("\(from)") && logged.errors.contains("\(to)"))
        // and one in the hole is damaged, and not unknown
        #expect(try world.bob("show", "general", "\(from)").code == 74)
        #expect(try world.bob("log", "general", "--around", "\(from)").code == 74)
        #expect(try world.bob("show", "general", "\(from)", "--json").errors.contains(#""code":"damaged""#))
        #expect(try world.bob("show", "general", "\(DamageTests.count + 2)").code == 67)
    }

    @Test("an export with a hole can be imported: nothing in it is about what is in the hole")
    func importedHole() throws {
        let world = try sealed()
        // Given answers to messages all over the log, and edits of them
        let lines = try world.natterd("export", "general").lines
        let changes = stride(from: 1, through: DamageTests.count, by: 100).flatMap { about in
            ["", ",\"kind\":\"edit\""].map {
                "{\"ts\":1700000000000,\"sender\":\"a\",\"text\":\"about \(about)\",\"about\":\(about)\($0)}"
            }
        }
        let text = (lines + changes).joined(separator: "\n")
        try expectSuccess(world.natterd("import", "archive", "-", input: .text(text)))
        let whole = try world.natterd("export", "--raw", "archive").objects().count
        #expect(whole == DamageTests.count + changes.count)
        // When each large log has a damaged byte
        for file in Files.below("\(world.data)/logs") where Files.size(file) > 10_000 {
            try Files.flipByte(file, at: Files.size(file) * 2 / 5)
        }
        let exported = try world.natterd("export", "--raw", "archive")
        let there = try exported.objects()
        #expect(exported.code == 74 && there.count < whole && there.count > whole / 2)
        // Then what is left is whole in itself
        try expectSuccess(world.natterd("import", "copy", "-", input: .bytes(exported.bytes)))
        #expect(
            try world.natterd("export", "--raw", "copy").objects().map { $0[string: "text"] }
                == there.map { $0[string: "text"] })
        // and every answer is there
        let answers = there.filter { $0[string: "text"]?.hasPrefix("about") == true && $0[string: "kind"] == nil }
        #expect(answers.count == changes.count / 2 && answers.contains { $0[int: "about"] == nil })
    }
}
