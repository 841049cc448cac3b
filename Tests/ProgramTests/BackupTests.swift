internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd backup, restore, reindex and fsck --repair")
struct BackupTests {
    /// Lines of `send --lines`.
    private static func lines(_ label: String, _ count: Int) -> ChildProcess.Stream {
        .text((1...count).map { "\(label) \($0)\n" }.joined())
    }

    private func export(_ data: String, _ home: String) throws -> Outcome {
        try Daemon.run(["--data", data, "export", "general"], home: home)
    }

    @Test("a backup while four write has every message acknowledged before, is a beginning of the rest, and is whole")
    func whileWriting() throws {
        let world = try World()
        #expect(try world.alice.run(["send", "--lines"], input: Self.lines("before", 3_000)).code == 0)
        let writers = try [world.alice, world.bob, world.carol, world.bob].enumerated().map { number, person in
            try person.start(["send", "--lines"], input: Self.lines("writer \(number)", 4_000))
        }
        let backup = try world.natterd("backup", world.directory("backup"), "--json")
        #expect(backup.code == 0, "\(backup)")
        let report = try #require(try backup.objects().first)
        #expect(report[int: "damages"] == 0 && (report[int: "messages"] ?? 0) >= 3_000)
        for writer in writers { #expect(writer.finish().code == 0) }
        // While the server runs its data can be checked, but not repaired.
        #expect(try world.natterd("fsck").code == 0)
        #expect(try world.natterd("fsck", "--repair").code == 75)
        #expect(try world.natterd("reindex").code == 75)
        // Then the backup can be restored, and is complete
        let restored = world.directory("restored")
        let restore = try Daemon.run(["--data", restored, "restore", world.directory("backup")], home: restored)
        #expect(restore.code == 0, "\(restore)")
        #expect(try Daemon.run(["--data", restored, "fsck"], home: restored).code == 0)
        let all = try world.natterd("export", "general").bytes
        let found = try export(restored, restored).bytes
        #expect(all.starts(with: found))
        #expect(found.count { $0 == 0x0A } == report[int: "messages"])
        // and brought up to date
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        let again = world.directory("again")
        #expect(try Daemon.run(["--data", again, "restore", world.directory("backup")], home: again).code == 0)
        #expect(try export(again, again).bytes == all)
        // with the sessions of then, unless they are ended
        #expect(restore.errors.contains("--end-sessions"))
        let ended = world.directory("ended")
        let words = ["--data", ended, "restore", "--end-sessions", world.directory("backup")]
        #expect(try Daemon.run(words, home: ended).code == 0)
        let status = try Daemon.run(["--data", ended, "status", "--json"], home: ended).objects().first
        #expect(status?[int: "sessions"] == 0)
        // and nothing is ever overwritten
        try expect(
            Daemon.run(["--data", again, "restore", world.directory("backup")], home: again), 73, "not empty",
            isSilent: false)
        let before = Files.below(world.directory("alice"))
        #expect(try world.natterd("backup", world.directory("alice")).code == 73)
        #expect(Files.below(world.directory("alice")) == before)
        #expect(try world.natterd("backup", "").code == 64)
        #expect(try Daemon.run(["--data", world.directory("x"), "restore", again], home: again).code == 65)
    }

    @Test("a command on a backup says what it is, and leaves it as it is")
    func notAStore() throws {
        let world = try World(isServing: false)
        let line = JSON.line(ts: 1_700_000_000_000, sender: "u", text: "kept")
        #expect(try world.natterd("import", "--old", "general", "-", input: .text(line)).code == 0)
        let (backup, home) = (world.directory("backup"), world.directory.path)
        #expect(try world.natterd("backup", backup).code == 0)
        for words in [
            ["user", "list"], ["status"], ["clients"], ["hook", "ls"], ["export", "general"], ["reindex"],
            ["fsck", "--repair"],
        ] {
            let outcome = try Daemon.run(["--data", backup] + words, home: home)
            #expect(outcome.code == 74 && outcome.errors.contains("is a backup; restore it"), "\(words): \(outcome)")
        }
        #expect(try Daemon.run(["--data", backup, "fsck"], home: home).code == 0)
        let restored = world.directory("restored")
        #expect(try Daemon.run(["--data", restored, "restore", backup], home: home).code == 0)
        #expect(try export(restored, home).bytes == world.natterd("export", "general").bytes)
    }

    @Test("fsck says that a restore is not finished", arguments: [["fsck"], ["fsck", "--repair"]])
    func unfinishedRestore(words: [String]) throws {
        let directory = try TemporaryDirectory()
        try Files.write([], to: directory("data/restore.unfinished"))
        try expect(
            Daemon.run(["--data", directory("data")] + words, home: directory.path), 74, "run 'natterd restore' again",
            isSilent: false)
    }
}
