internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("log --cursor-file")
struct CursorFileTests {
    private let world: World
    private let file: String

    init() throws {
        world = try World()
        file = world.directory("cursor")
    }

    @Test("a missing or empty file means from the start; then each message comes once", arguments: [false, true])
    func once(isEmpty: Bool) throws {
        if isEmpty { try world.directory.write("cursor", "") }
        try world.alice.sends("one", "two")
        #expect(try world.bob.texts("log", "--cursor-file", file) == ["one", "two"])
        #expect(Files.mode(file) == 0o600)
        #expect(try world.bob("log", "--cursor-file", file).bytes.isEmpty)
        try world.alice.sends("three")
        #expect(try world.bob.texts("log", "--cursor-file", file) == ["three"])
        #expect(try world.bob.texts("log", "--cursor-file", file) == [])
        // A cursor survives a restart of the server and reading offline.
        world.stopServing()
        try world.serve()
        try world.alice.sends("four")
        #expect(try world.bob.texts("log", "--offline", "--cursor-file", file) == [])
        #expect(try world.bob.texts("log", "--cursor-file", file) == ["four"])
    }

    @Test("F may have the longest name that a directory takes", arguments: ["x", "ё"])
    func longName(letter: String) throws {
        try world.alice.sends("one")
        let name = String(repeating: letter, count: 254 / letter.utf8.count) + "y"
        #expect(try world.bob.texts("log", "--cursor-file", world.directory(name)) == ["one"])
        #expect(try world.bob.texts("log", "--cursor-file", world.directory(name)) == [])
    }

    @Test(
        "the new file is synced before it replaces the old one, and its directory after",
        .enabled(if: Machine.traces, "strace may not watch a process here"))
    func durable() throws {
        try world.alice.sends("one")
        let trace = world.directory("trace")
        try expectSuccess(
            ChildProcess(
                "/usr/bin/strace",
                ["-f", "-qq", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"] + [
                    Programs.path("natter"), "log", "--cursor-file", file,
                ], environment: ["HOME": world.bob.home, "NATTER_SERVER": world.url]
            ).finish())
        let calls = try #require(Files.text(trace)).split(separator: "\n")
        let sync = try #require(calls.firstIndex { $0.contains("sync(") && $0.contains("/.cursor.") })
        let rename = try #require(calls.firstIndex { $0.contains("rename") && $0.contains("/.cursor.") })
        let directory = calls.lastIndex { $0.contains("fsync(") && $0.contains("<\(world.directory.path)>") }
        #expect(sync < rename && rename < directory ?? -1)
    }

    @Test(
        "a signal while F is replaced leaves no temporary file",
        .enabled(if: Machine.traces, "strace may not watch a process here"), arguments: ["TERM", "HUP", "INT"])
    func interrupted(signal: String) throws {
        let world = try World(says: "one")
        try expect(world.bob("sync"))
        let (file, trace) = (world.directory("seen/cursor"), world.directory("trace"))
        try FileManager.default.createDirectory(atPath: world.directory("seen"), withIntermediateDirectories: true)
        // Offline, the first sync of a file is that of the new F.
        let outcome = try ChildProcess(
            "/usr/bin/strace",
            ["-f", "-qq", "-o", trace, "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIG\(signal):when=1"]
                + [Programs.path("natter"), "log", "--offline", "--cursor-file", file],
            environment: ["HOME": world.bob.home, "NATTER_SERVER": world.url]
        ).finish()
        #expect(Files.text(trace)?.contains("fdatasync(") == true)
        #expect(outcome.code != 0, "\(outcome)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: world.directory("seen")) == ["cursor"])
    }

    @Test("a write of F removes what killed commands have left of it, and nothing else")
    func remains() throws {
        let world = try World()
        let file = world.directory("cursor")
        let names = [".cursor.0", ".cursor.1", ".cursor.x", ".cursor.", ".other.0", ".cursor.2"]
        for name in names {
            try world.directory.write(name, "")
            // The last one may be another command's at work.
            if name == names.last { continue }
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -3_600)], ofItemAtPath: world.directory(name))
        }
        try expect(world.bob("log", "--cursor-file", file))
        let left = names.filter { FileManager.default.fileExists(atPath: world.directory($0)) }
        #expect(left == Array(names.dropFirst(2)))
    }

    @Test("-n counts from the oldest, and the next call continues there")
    func number() throws {
        try world.alice.sends("1", "2", "3", "4", "5")
        for expected in [["1", "2"], ["3", "4"], ["5"], []] {
            #expect(try world.bob.texts("log", "-n", "2", "--cursor-file", file) == expected)
        }
    }

    @Test("a filter neither misses nor repeats a message", arguments: [[], ["-n", "1"], ["-n", "2"]])
    func filters(limit: [String]) throws {
        var got: [String] = []
        for round in 1...3 {
            try world.alice.sends("a\(round)")
            try world.carol.sends("c\(round)", "d\(round)")
            got += try world.bob.run(["log", "--from", "carol", "--cursor-file", file, "--format", "%m"] + limit).lines
        }
        while true {
            let more = try world.bob.run(["log", "--from", "carol", "--cursor-file", file, "--format", "%m"] + limit)
                .lines
            if more.isEmpty { break }
            got += more
        }
        #expect(got == ["c1", "d1", "c2", "d2", "c3", "d3"])
    }

    @Test("messages behind F that are not kept any more are 65, even if what F names is here; --from-first goes on")
    func notKept() throws {
        let old = (1...3_000).map { number in
            JSON.line(ts: 1_700_000_000_000 + number, sender: "x", text: "old \(number) \(number * 7_919)")
        }
        try world.importGeneral(old[..<1_000].joined())
        #expect(try world.bob.texts("log", "--cursor-file", file).count == 1_000)
        let before = try String(contentsOfFile: file, encoding: .utf8)
        try world.importGeneral(old[1_000...].joined())
        try world.alice.sends("new")
        try expectSuccess(world.natterd("retain", "general", "5d"))
        for words in [[], ["-n", "5"], ["--exit-code"]] {
            let refused = try world.bob.run(["log", "--cursor-file", file] + words)
            #expect(refused.code == 65 && refused.bytes.isEmpty && isOneLine(refused.errors), "\(refused)")
            #expect(refused.errors.contains("is at message 1000 of 'general'"))
            #expect(refused.errors.contains("--from-first"))
            #expect(try String(contentsOfFile: file, encoding: .utf8) == before)
        }
        let rest = try world.bob("log", "--cursor-file", file, "--from-first")
        #expect(rest.code == 0 && rest.lines.last?.hasSuffix("alice: new") == true && rest.errors.contains("not kept"))
        #expect(try world.bob.texts("log", "--cursor-file", file) == [])
    }

    @Test("the file is replaced even if there is nothing to print")
    func replacedWhenEmpty() throws {
        try world.alice.sends("one")
        #expect(try world.bob("log", "--from", "nobody", "--cursor-file", file).bytes.isEmpty)
        #expect(Files.mode(file) == 0o600)
        #expect(try world.bob.texts("log", "--cursor-file", file) == [])
    }

    @Test(
        "an invalid cursor, or one of another place, is 65 and the file stays",
        arguments: ["malformed", "control", "foreign", "all for one", "one for all", "other store"])
    func bad(kind: String) throws {
        try world.alice.sends("one")
        try world.alice.sends("personal", to: "@bob")
        var words = ["log", "--cursor-file", file]
        switch kind {
        case "malformed": try world.directory.write("cursor", "certainly not a cursor\n")
        case "control": try world.directory.write("cursor", [0, 0xFF, 0x1B])
        case "foreign": #expect(try world.bob("log", "@alice", "--cursor-file", file).code == 0)
        case "all for one": #expect(try world.bob("log", "--all", "--cursor-file", file).code == 0)
        case "one for all":
            #expect(try world.bob("log", "--cursor-file", file).code == 0)
            words.append("--all")
        default:
            // A second store of its own kind; the template of every world is the same store.
            let other = try Daemon(data: world.directory("other"))
            let dora = Person(name: "dora", home: world.directory("dora"), server: other.url)
            #expect(try dora.enter("register", "dora").code == 0)
            try dora.sends("elsewhere")
            #expect(try dora("log", "--cursor-file", file).code == 0)
        }
        let before = try #require(Files.bytes(file))
        for extra in [[], ["--offline"]] {
            _ = try world.bob("sync")
            try expect(world.bob.run(words + extra), 65)
        }
        #expect(Files.bytes(file) == before)
    }

    @Test("--all keeps a place for every conversation")
    func all() throws {
        try world.alice.sends("one")
        try world.alice.sends("two", to: "@bob")
        #expect(try world.bob.texts("log", "--all", "--cursor-file", file) == ["one", "two"])
        try world.carol.sends("three", to: "@bob")
        try world.alice.sends("four")
        #expect(try world.bob.texts("log", "--all", "--cursor-file", file, "-n", "1") == ["three"])
        #expect(try world.bob.texts("log", "--all", "--cursor-file", file) == ["four"])
        #expect(try world.bob.texts("log", "--all", "--cursor-file", file) == [])
        #expect(Files.mode(file) == 0o600)
    }

    @Test("with --all, what one conversation holds back is not counted for the others")
    func heldBack() throws {
        for number in 1...30 { try world.alice.sends("\(number)", to: "@bob") }
        try world.carol.sends("later", "last", to: "@bob")
        let words = ["log", "--all", "--cursor-file", file, "--json"]
        #expect(try world.bob.run(words + ["-n", "10", "--until", "yesterday"]).bytes.isEmpty)
        let texts = try world.bob.run(words).objects().map { $0[string: "text"] ?? "" }
        #expect(texts == (1...30).map { "\($0)" } + ["later", "last"])
    }

    @Test("output that can't be written is 74, and the cursor stays", arguments: [false, true])
    func fullOutput(isFirst: Bool) throws {
        if !isFirst {
            try world.alice.sends("zero")
            #expect(try world.bob("log", "--cursor-file", file).code == 0)
        }
        let before = Files.bytes(file)
        try world.alice.sends("one")
        try expect(world.bob.run(["log", "--cursor-file", file], output: .path("/dev/full")), 74, isSilent: false)
        #expect(Files.bytes(file) == before)
        // A pipe without a reader is no error, but ends the command.
        let closed = try world.bob.run(["log", "--cursor-file", file], output: .closedPipe)
        #expect(closed.errors.isEmpty && closed.code != 0)
        #expect(Files.bytes(file) == before)
        #expect(try world.bob.texts("log", "--cursor-file", file) == ["one"])
    }

    @Test("of two commands that overlap, the slower one does not move the file backwards", arguments: [false, true])
    func overlap(isAll: Bool) throws {
        let words = ["log", "--cursor-file", file, "--format", "%m"] + (isAll ? ["--all"] : [])
        // More than a pipe and the program's own buffers take, so that the first command waits for its reader
        let lines = (1...30).map { "\($0) " + String(repeating: "x", count: 60_000) }
        try expectSuccess(world.alice.run(["send", "--lines"], input: .text(lines.joined(separator: "\n"))))
        let slow = try world.bob.start(words)
        #expect(try slow.line().hasPrefix("1 x"))
        // When another one reads further meanwhile
        try world.alice.sends("last")
        let isWhole = try world.bob.run(words).lines == lines + ["last"]
        #expect(isWhole)
        let further = try #require(Files.bytes(file))
        // Then the first one prints the rest of what it began, and leaves the file as it is
        let outcome = slow.finish()
        let isRest = outcome.lines == Array(lines.dropFirst())
        #expect(outcome.code == 0 && isRest)
        #expect(Files.bytes(file) == further)
        #expect(try world.bob.run(words).bytes.isEmpty)
    }

    @Test("with -f the file follows")
    func follow() throws {
        try world.alice.sends("one")
        let following = try world.bob.start(["log", "-f", "--cursor-file", file, "--format", "%m"])
        #expect(try following.line() == "one")
        try world.alice.sends("two")
        #expect(try following.line() == "two")
        #expect(following.finish(after: SIGINT).code == 130)
        try world.alice.sends("three")
        // The last printed message may come again, if the interrupt came before the file was replaced; nothing is missed.
        let rest = try world.bob.texts("log", "--cursor-file", file)
        #expect(rest == ["three"] || rest == ["two", "three"])
    }

    @Test("a kill at any moment neither loses nor skips a message", arguments: UInt64(1)...4)
    func kills(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for round in 1...8 {
            try world.alice.sends("\(round)")
            let process = try world.bob.start(["log", "--cursor-file", file, "--format", "%m"])
            usleep(UInt32.random(in: 0...12_000, using: &generator))
            let outcome = process.finish(after: SIGKILL)
            // Then the file holds the old or the new cursor, complete.
            let rest = try world.bob.texts("log", "--cursor-file", file)
            #expect(rest == ["\(round)"] || rest == [] && outcome.lines == ["\(round)"])
        }
    }

    @Test(
        "messages that 'verify' has found damaged are not passed over, with the server or without, however many they are"
    )
    func verified() throws {
        let texts = (1...9_500).map { "m\($0)" }
        try world.importGeneral(texts.map { JSON.line(ts: 1_700_000_000_000, sender: "x", text: $0) }.joined())
        for isAway in [true, false] {
            try expect(world.bob.run(["sync"]))
            let logs = Files.below("\(world.bob.natterHome)/replicas").filter { $0.hasSuffix(".log") }
            for log in logs {
                for place in 1...19 { try Files.flipByte(log, at: Files.size(log) * place / 20) }
            }
            let file = world.directory("cursor-\(isAway)")
            let words = ["log", "--cursor-file", file, "--format", "%m"]
            #expect(try world.bob("verify").code == 74)
            var printed: [String] = []
            if isAway {
                let held = try world.bob.alone.run(words)
                #expect(held.code == 74 && held.errors.contains("stops before them"), "\(held.errors)")
                printed = held.lines
            }
            let rest = try world.bob.run(words)
            #expect(rest.code == 0, "\(rest.errors)")
            #expect(printed + rest.lines == texts, "\(printed.count) and \(rest.lines.count)")
        }
    }
}
