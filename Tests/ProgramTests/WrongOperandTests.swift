internal import Foundation
internal import Testing
internal import TestSupport

/// Operands that the parser takes and that are wrong all the same: names of nothing, numbers that are none, files that
/// can't be read. Each row names a command, with `@` where the wrong word goes. `WrongWordsTests` has the rest, from the
/// tables of commands.
@Suite("wrong operands")
struct WrongOperandTests {
    private static let long = String(repeating: "x", count: 70)

    /// The code, one line on standard error, and nothing on standard output.
    private func expect(
        _ outcome: Outcome, _ code: Int32, _ words: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(
            outcome.code == code && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(words): \(outcome)",
            sourceLocation: sourceLocation)
    }

    private func rows(_ commands: [String], _ wrong: [String]) -> [(words: [String], wrong: String)] {
        commands.flatMap { command in
            wrong.map { wrong in
                (command.split(separator: " ").map { String($0).replacing("@", with: wrong) }, wrong)
            }
        }
    }

    @Test("conversations: unknown, empty, too long, with a space or a slash are 67; in other case they are found")
    func conversations() throws {
        let world = try World(says: "one")
        try world.alice.sends("two")
        _ = try world.alice("sync")
        let found = [
            "log @", "export @", "mark @", "sync @", "verify @", "show @ 1", "send -c @ hi", "edit -c @ 1 x",
            "delete -c @ 1", "search -c @ two", "wrap -c @ -- true", "token create --label l --scope send:@",
        ]
        let others = ["watch @ --exec true"]
        let wrong = ["nosuch", WrongOperandTests.long, "a b", "a/b", "general/1", "@nosuch", "@", "#general"]
        for (words, wrong) in rows(found + others, wrong + [""]) {
            // An empty one after 'send:' is no scope.
            expect(try world.alice.run(words), wrong.isEmpty && words.contains("send:") ? 64 : 67, words)
        }
        for (words, _) in rows(found, ["GENERAL"]) { #expect(try world.alice.run(words).code == 0, "\(words)") }
        for (words, _) in rows(
            [
                "group members @", "group rename @ new", "group leave @", "group join @", "group delete @",
                "group add @ bob", "group remove @ bob", "group promote @ bob", "group demote @ bob",
            ], wrong + ["", "general"])
        {
            expect(try world.alice.run(words), 67, words)
        }
    }

    @Test("users and ids: unknown, empty, too long, with a space or a slash are 67")
    func users() throws {
        let world = try World()
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        _ = try world.alice("group", "create", "crew")
        let file = try world.directory.write("password", World.password)
        for (words, _) in rows(
            [
                "pm @ hi", "contact add @", "block @", "group add crew @", "group promote crew @",
                "admin user disable @", "admin user promote @", "admin user passwd @ --password-file \(file)",
                "token revoke @", "session end @", "outbox retry @", "outbox drop @", "watch drop @",
            ], ["nosuch", "", WrongOperandTests.long, "a b", "a/b"])
        {
            expect(try world.alice.run(words), 67, words)
        }
        for (words, _) in rows(
            ["user disable @", "user promote @", "export @", "hook rm @", "hook log @", "hook retry @"],
            ["nosuch", "", WrongOperandTests.long, "a b", "a/b"])
        {
            expect(try world.natterd(words), 67, words)
        }
        for (words, _) in rows(
            ["profile rm @", "profile set @ lang=en", "whoami --profile @"], ["", "a/b", "..", "a b"])
        {
            expect(try world.alice.run(words), 64, words)
        }
        // A name that no account could have is no other answer than a wrong password
        for (words, _) in rows(
            ["login @ --password-file \(file)"], ["nosuch", "", WrongOperandTests.long, "a b", "a/b"])
        {
            expect(try world.person("eve").run(words), 77, words)
        }
    }

    @Test("numbers and times that are none are 64")
    func numbers() throws {
        let world = try World(says: "one")
        for (words, _) in rows(
            [
                "show general @", "edit @ x", "delete @", "mark general @", "log --after @", "log --before @",
                "log --around @", "log --thread @", "send --re @ x",
            ], ["x", "", "-x", "99999999999999999999", "0x10", "１"])
            + rows(
                [
                    "log -n @", "search one -n @", "search one -C @", "sync --wait @", "log --since @", "log --until @",
                    "search one --since @", "log --timeout @", "token create --label l --scope all --expires @",
                    "watch --exec true --tries @",
                ], ["x", "", "-1", "99999999999999999999", "0x10", "１"])
        {
            expect(try world.alice.run(words), 64, words)
        }
    }

    @Test("files: a directory, one that can't be read or is not there are 66, and a binary one 65")
    func files() throws {
        let world = try World()
        let directory = world.directory("d")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let binary = try world.directory.write(
            "binary", (0..<3_000).map { $0 % 50 == 49 ? 10 : UInt8(truncatingIfNeeded: $0 &* 37 | 128) })
        let unreadable = "/proc/self/mem"
        let missing = world.directory("none/x")
        for (words, wrong) in rows(
            ["--token-file @ whoami", "register eve --password-file @", "login alice --password-file @"],
            [directory, missing, binary, unreadable, ""])
        {
            let outcome = try world.alice.run(words)
            let code: Int32 = wrong == binary ? (words.first == "--token-file" ? 78 : 65) : 66
            #expect(isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(words) \(outcome)")
            // The kernel answers EIO.
            #expect(outcome.code == (wrong == unreadable ? 74 : code), "\(words) \(outcome)")
        }
        for (words, wrong) in rows(
            [
                "import general @", "import --from slack @", "import --from telegram @", "import --from mbox @",
                "import --dry-run general @", "user add eve --password-file @", "user passwd alice --password-file @",
            ], [directory, missing, binary, ""])
        {
            // These formats have directories, too, but not with such files in them.
            let isOther = wrong == directory && (words.contains("slack") || words.contains("mbox"))
            expect(try world.natterd(words), wrong == binary || isOther ? 65 : 66, words)
        }
        // Beside a database, a directory is a cache, and made if it is missing.
        for (words, _) in rows(
            ["restore @", "--data @ fsck", "--data @ status", "--data @ export general"],
            PostgresCluster.servesTests ? [] : [missing])
        {
            expect(try world.natterd(words), 66, words)
        }
        for (wrong, code) in [(directory, 66), ("/dev/null", 66), (binary, 65), (missing, 73)] as [(String, Int32)] {
            let words = ["log", "--cursor-file", wrong]
            expect(try world.alice.run(words), code, words)
        }
    }
}
