internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("watch")
struct WatchTests {
    private let world: World

    init() throws { world = try World() }

    /// A running watch: messages sent from now on are new to it.
    private func watch(_ person: Person, _ command: String, _ conversations: String...) throws -> ChildProcess {
        let before = files(of: person).filter { $0.hasSuffix(".start") }
        let process = try person.start(["watch", "--exec", command] + conversations)
        // It notes its start when it has recorded its position behind the existing messages.
        try eventually("the start of a watch") { files(of: person).filter { $0.hasSuffix(".start") } != before }
        return process
    }

    private func files(of person: Person) -> Set<String> {
        let replicas = person.natterHome + "/replicas"
        let all = FileManager.default.enumerator(atPath: replicas)?.compactMap { $0 as? String } ?? []
        return Set(all.filter { $0.contains("/watches/") && !$0.contains("/watches/.") })
    }

    private func cursorFiles(of person: Person) -> Set<String> {
        files(of: person).filter { !$0.hasSuffix(".start") && !$0.hasSuffix(".lock") && !$0.hasSuffix(".failed") }
    }

    @Test("runs the command for each later message: text on standard input, the other fields in variables")
    func fields() throws {
        // Given a message from before the first start
        try world.alice.sends("before")
        let watching = try watch(
            world.bob, "echo \"$NATTER_CONVERSATION $NATTER_SEQ $NATTER_SENDER $NATTER_KIND <$(cat)>\"")
        // When more come, with what a shell would take for its own
        try world.alice.sends("$(id) `id` 'x' \"y\" ; exit 1")
        #expect(try watching.line() == "general 2 alice text <$(id) `id` 'x' \"y\" ; exit 1>")
        try world.carol.sends("hello", to: "@bob")
        #expect(try watching.line() == "@carol 1 carol text <hello>")
        let end = watching.finish(after: SIGINT)
        #expect(end.code == 130 && end.bytes.isEmpty)
    }

    @Test("what came before a first start without the server, and what an operator imports, is not new")
    func oldNews() throws {
        try world.alice.sends("one")
        try expect(world.bob("sync"), hasNotes: true)
        try world.alice.sends("two")
        let address = world.url
        world.stopServing()
        let watching = try watch(world.bob, "echo \"$NATTER_SEQ\"")
        try world.serve(["--listen", String(address.dropFirst("http://".count))])
        let line = #"{"ts":\#(Int64(Date().timeIntervalSince1970 * 1_000)),"sender":"admin","text":"run this"}"#
        try expect(world.natterd("import", "general", "-", input: .text(line)), hasNotes: true)
        try world.alice.sends("four")
        #expect(try watching.line() == "4")
    }

    @Test("a group that goes away while its message waits for another try makes the watch ask no oftener")
    func goneWhilePausing() throws {
        try world.alice.group("ops", with: "bob")
        try expect(world.bob("sync"), hasNotes: true)
        let command = "test \"$NATTER_CONVERSATION\" = general && echo \"$NATTER_SEQ\""
        let watching = try watch(world.bob, command, "--tries", "1000")
        try world.alice.sends("fails", to: "ops")
        try watching.waitForErrors("retrying")
        try expect(world.alice("group", "remove", "ops", "bob"), hasNotes: true)
        try watching.waitForErrors("you were removed from 'ops'")
        // Longer than the pause, in which it has nothing to ask for
        let before = try requests()
        usleep(3_000_000)
        #expect(try requests() - before < 20)
        try world.alice.sends("further")
        #expect(try watching.line() == "1")
    }

    /// How many requests the server has answered.
    private func requests() throws -> Int {
        let text = try RawRequest.send("GET", "/metrics", to: world.url).text
        return text.split(separator: "\n").filter { $0.hasPrefix("natter_requests_total") }
            .compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
    }

    @Test("--offline is refused before a command runs for what the replica has, and moves nothing")
    func offline() throws {
        let first = try watch(world.bob, "echo ran")
        #expect(first.finish(after: SIGINT).code == 130)
        try world.alice.sends("later")
        try expect(world.bob("sync"))
        try expect(world.bob("watch", "--offline", "--exec", "echo ran"), 69, "'watch'")
        let again = try world.bob.start(["watch", "--exec", "echo ran"])
        #expect(try again.line() == "ran")
        #expect(again.finish(after: SIGINT).code == 130)
    }

    @Test("a command has the whole text even if its watch is killed as soon as it has started")
    func killed() throws {
        let got = world.directory("got")
        let command = "kill -9 $PPID; echo \"<$(cat)>\" >>'\(got)'"
        let first = try watch(world.bob, command)
        try world.alice.sends("the text")
        #expect(first.finish().code == 137)
        for _ in 1..<20 { #expect(try world.bob.start(["watch", "--exec", command]).finish().code == 137) }
        let expected = String(repeating: "<the text>\n", count: 20)
        try eventually("20 commands have ended") {
            (try? String(contentsOfFile: got, encoding: .utf8))?.utf8.count == expected.utf8.count
        }
        #expect(try String(contentsOfFile: got, encoding: .utf8) == expected)
    }

    @Test("a command that is stopped, as one that asks on the terminal is, ends with its watch")
    func stopped() throws {
        let said = world.directory("said")
        let watching = try watch(world.bob, "echo $$ >'\(said)'; kill -STOP $$; sleep 600")
        try world.alice.sends("one")
        try eventually("the command is stopped") {
            guard let id = Files.text(said).flatMap({ Int($0.dropLast()) }) else { return false }
            return Files.text("/proc/\(id)/stat")?.contains(") T ") == true
        }
        #expect(watching.finish(after: SIGTERM).code == 128 + SIGTERM)
    }

    @Test(
        "a signal to end it is passed on to the command; a message that the command has not done is its next one",
        arguments: [(SIGTERM, 0), (SIGHUP, 9), (SIGINT, 9)] as [(Int32, Int)])
    func ended(_ number: Int32, _ status: Int) throws {
        // A program that the shell of the command runs, and that ends later, also if the signal ends the shell. It has an output of
        // its own: what it says must be there when the watch has ended.
        let said = world.directory("said")
        let inner = "trap \"sleep 0.3; echo bye; exit \(status)\" TERM HUP INT; cat; echo; while :; do sleep 0.05; done"
        let shell = status == 0 ? "trap wait TERM HUP INT; " : ""
        let watching = try watch(world.bob, "\(shell)sh -c '\(inner)' >'\(said)' 2>/dev/null && true")
        try world.alice.sends("one", "two")
        try eventually("the command has begun") { Files.text(said) == "one\n" }
        let end = watching.finish(after: number)
        #expect(Files.text(said) == "one\nbye\n")
        // The shell may say what has ended its programs
        #expect(end.code == 128 + number && end.bytes.isEmpty && !end.errors.contains("natter"), "\(end)")
        let next = try world.bob.start(["watch", "--exec", "cat; echo"])
        #expect(try next.line() == (status == 0 ? "two" : "one"))
        next.finish(after: SIGTERM)
    }

    @Test("--from takes a name with or without '@', as log and search do, and --name no control characters")
    func from() throws {
        let watching = try world.bob.start(["watch", "--from", "@alice", "--name", "a b", "--exec", "cat; echo"])
        try eventually("a cursor file of watch") { !cursorFiles(of: world.bob).isEmpty }
        try world.carol.sends("from carol")
        try world.alice.sends("from alice")
        #expect(try watching.line() == "from alice")
        _ = try world.carol("sync")
        for words in [["log"], ["log", "--offline"], ["search", "from"]] {
            for (name, text) in [("@alice", "from alice"), ("alice", "from alice"), ("@me", "from carol")] {
                let outcome = try world.carol.run(words + ["--json", "--from", name])
                #expect(try outcome.objects().map { $0[string: "text"] } == [text], "\(words) \(name)")
            }
        }
        for name in ["a\nb", "\u{1B}x"] {
            try expect(world.bob("watch", "--name", name, "--exec", "true"), 64)
        }
    }

    @Test("a message that another command has brought meanwhile is not waited for")
    func meanwhile() throws {
        let flag = world.directory("flag")
        let watching = try watch(
            world.bob,
            // Without the directory, the test has ended.
            "cat; echo; while test -d '\(world.directory.path)' && ! test -e '\(flag)'; do sleep 0.05; done; "
                + "'\(Programs.path("natter"))' --quiet sync")
        try world.alice.sends("one")
        #expect(try watching.line() == "one")
        try world.alice.sends("two")
        #expect(FileManager.default.createFile(atPath: flag, contents: nil))
        // It would wait for 25 s.
        let begin = ContinuousClock.now
        #expect(try watching.line() == "two")
        #expect(ContinuousClock.now - begin < .seconds(20))
    }

    @Test("the time is in both forms, and the cursor is the message's")
    func time() throws {
        let watching = try watch(world.bob, "echo $NATTER_TIME $NATTER_TS $NATTER_CURSOR")
        try world.alice.sends("one")
        let words = try watching.line().split(separator: " ").map(String.init)
        let message = try #require(try world.alice("log", "--json").objects().first)
        #expect(words.first == message[string: "time"])
        #expect(words.last == message[string: "cursor"])
        #expect(words.count == 3 && Int64(words[1]).map { $0 > 1_700_000_000_000 } == true)
    }

    @Test("of the conversations named only")
    func named() throws {
        let watching = try watch(world.bob, "cat; echo", "@carol", "@me")
        try world.alice.sends("of no interest")
        try world.carol.sends("one", to: "@bob")
        #expect(try watching.line() == "one")
        #expect(try world.bob("watch", "@nobody", "--exec", "true").code == 67)
    }

    @Test("a message whose command fails is retried, and later messages of its conversation wait")
    func again() throws {
        // Given a command that fails while a file is missing
        let flag = world.directory("flag")
        let watching = try watch(world.bob, "test -e '\(flag)' && cat && echo")
        // When two messages come, and one in another conversation
        try world.alice.sends("one", "two")
        try watching.waitForErrors("failed with status 1 for message 1 of 'general'; retrying")
        // Then nothing was done, and all is, in order, once it can be
        #expect(FileManager.default.createFile(atPath: flag, contents: nil))
        #expect(try watching.line() == "one")
        #expect(try watching.line() == "two")
    }

    @Test(
        "continues after the last finished message, however it ended; another command goes on there, another name starts over"
    )
    func goesOn() throws {
        let watching = try watch(world.bob, "cat; echo")
        try world.alice.sends("one", "two")
        #expect(try watching.line() == "one")
        #expect(try watching.line() == "two")
        try world.alice.sends("three")
        #expect(try watching.line() == "three")
        watching.finish(after: SIGKILL)
        try world.alice.sends("four", "five")
        // The third was printed, but that it was done may not have been noted before the kill: at least once
        let again = try world.bob.start(["watch", "--exec", "cat -; echo"])
        var line = try again.line()
        if line == "three" { line = try again.line() }
        #expect(line == "four")
        #expect(try again.line() == "five")
        // Two of one name would take each other's messages
        try expect(world.bob("watch", "--exec", "cat; echo ."), 75)
        // And another watch has not seen the past
        let other = try watch(world.bob, "cat; echo .", "--name", "second")
        try world.alice.sends("six")
        #expect(try other.line() == "six.")
        #expect(try Set(world.bob("watch", "ls", "--json").objects().map { $0[string: "name"] }).contains("second"))
        for words in [["drop"], ["--failed", "--name"]] {
            let offered = try world.bob.run(["__complete", "words", "watch"] + words + [""])
            #expect(offered.lines.first == "words" && offered.lines.contains("second"), "\(offered)")
        }
        #expect(try world.bob("watch", "drop", "second").code == 75)
        other.finish(after: SIGKILL)
        try expect(world.bob("watch", "drop", "second"))
        #expect(try world.bob("watch", "drop", "second").code == 67)
        #expect(try world.bob("watch", "ls").output.split(separator: "\n").count == 1)
    }

    @Test("after --tries runs a message goes to 'watch --failed', and the next one comes")
    func tries() throws {
        let watching = try watch(world.bob, "read x; test \"$x\" = good && echo $x", "--tries", "2")
        try world.alice.sends("bad\nline", "good")
        #expect(try watching.line() == "good")
        let failed = try world.bob("watch", "--failed", "--json").objects()
        #expect(failed.map { $0[string: "text"] } == ["bad\nline"])
        #expect(try world.bob("watch", "--failed").output.hasSuffix(" general alice: bad\n\tline\n"))
        #expect(try world.bob("watch", "ls").output.split(separator: " ").contains("1"))
    }

    @Test("'watch --failed' alone tells of every watch if there is none of all conversations")
    func failedAnywhere() throws {
        #expect(try world.bob("watch", "--failed").code == 67)
        for name in ["one", "two"] {
            let watching = try watch(world.bob, "exit 3", "general", "--name", name, "--tries", "1")
            try world.alice.sends("for \(name)")
            try watching.waitForErrors("has failed")
            watching.finish(after: SIGINT)
        }
        let failed = try world.bob("watch", "--failed", "--json").objects().map { $0[string: "text"] }
        #expect(failed == ["for one", "for two"])
        #expect(try world.bob("watch", "--failed", "general").code == 67)
    }

    @Test("what failed is printed as 'log' prints it now, and its text is kept nowhere else")
    func failedChanged() throws {
        let watching = try watch(world.bob, "exit 3", "--tries", "1")
        try world.alice.sends("a deleted text", "an erased text", "stays")
        try watching.waitForErrors("message 3 of 'general' has failed")
        watching.finish(after: SIGINT)
        try expect(world.alice("delete", "1"))
        try expect(world.natterd("erase", "general", "2", "--yes"), hasNotes: true)
        try expect(world.bob("sync"))
        let failed = try world.bob("watch", "--failed").lines
        #expect(failed.count == 3 && failed.allSatisfy { $0.contains(" general ") }, "\(failed)")
        let endings = ["alice: (deleted)", "(erased)", "alice: stays"]
        #expect(zip(failed, endings).allSatisfy { $0.hasSuffix($1) }, "\(failed)")
        let objects = try world.bob("watch", "--failed", "--json").objects()
        #expect(objects.map { $0[string: "text"] } == ["", "", "stays"])
        for path in Files.below(world.bob.natterHome) where path.contains("/watches/") {
            #expect(try !String(contentsOfFile: path, encoding: .utf8).contains("text"), "\(path)")
        }
        #expect(try world.bob("watch", "ls").output.split(separator: " ").contains("3"))
    }

    @Test("thousands of failed messages are all printed, also if they failed several times")
    func manyFailed() throws {
        // Given 12,000 failures of 4,000 messages, which came with one sync
        let watching = try watch(world.bob, "exit 3", "--name", "many")
        watching.finish(after: SIGINT)
        let texts = (1...4_000).map { "text \($0)" }
        try expect(
            world.alice.run(["send", "--lines"], input: .text(texts.joined(separator: "\n"))))
        let cursors = try world.bob("log", "--json").objects().map { "\($0[string: "cursor"] ?? "")\n" }
        let start = try #require(Files.below(world.bob.natterHome).first { $0.hasSuffix(".start") })
        try Data(Array(repeating: cursors.joined(), count: 3).joined().utf8)
            .write(to: URL(fileURLWithPath: start.dropLast(".start".count) + ".failed"))
        #expect(try world.bob("watch", "--failed", "--name", "many").lines.count == 12_000)
    }

    @Test("a watch of everything gets what came before its user was removed from a group, and so does log --all")
    func beforeRemoval() throws {
        try world.alice.group("ops", with: "bob")
        let file = world.directory("cursor")
        _ = try world.bob("log", "--all", "--cursor-file", file)
        let first = try watch(world.bob, "cat; echo")
        first.finish(after: SIGINT)
        try world.alice.sends("for bob", to: "ops")
        try expect(world.bob("sync"))
        try expect(world.alice("group", "remove", "ops", "bob"), hasNotes: true)
        let again = try world.bob.start(["watch", "--exec", "cat; echo"])
        #expect(try again.line() == "for bob")
        #expect(try world.bob("log", "--all", "--cursor-file", file, "--format", "%m").lines.last == "for bob")
        #expect(try world.bob("log", "--all", "--cursor-file", file).output.isEmpty)
        #expect(try world.bob("log", "--all", "--offline", "--json").output.contains("for bob"))
        // Nothing could mark it as read
        #expect(try !world.bob("log", "--all", "--unread", "--json").output.contains("for bob"))
    }

    @Test("own messages, --from and --personal")
    func filters() throws {
        let watching = try watch(world.bob, "cat; echo", "--name", "a")
        let own = try watch(world.bob, "cat; echo", "--name", "b", "--own")
        let alice = try watch(world.bob, "cat; echo", "--name", "c", "--from", "ALICE", "--personal")
        try world.bob.sends("mine")
        try world.carol.sends("of carol", to: "@bob")
        try world.alice.sends("for all")
        try world.alice.sends("for bob", to: "@bob")
        #expect(try Set([watching.line(), watching.line(), watching.line()]) == ["of carol", "for all", "for bob"])
        #expect(try Set([own.line(), own.line()]).isSubset(of: ["mine", "of carol", "for all", "for bob"]))
        #expect(try alice.line() == "for bob")
    }

    @Test(
        "a renamed group is watched further, also by a later start with its new name")
    func renamed() throws {
        for words in [["create", "ops"], ["add", "ops", "bob"]] {
            try expect(world.alice.run(["group"] + words), hasNotes: true)
        }
        let command = "echo \"$NATTER_CONVERSATION $(cat)\""
        let watching = try watch(world.bob, command, "ops")
        try world.alice.sends("one", to: "ops")
        #expect(try watching.line() == "ops one")
        for words in [["rename", "ops", "ops2"], ["create", "ops"], ["add", "ops", "bob"]] {
            try expect(world.alice.run(["group"] + words), hasNotes: true)
        }
        try world.alice.sends("of the other", to: "ops")
        try world.alice.sends("two", to: "ops2")
        #expect(try watching.line() == "ops2 two")
        try watching.waitForErrors("'ops' is now called 'ops2'")
        watching.finish(after: SIGINT)
        // When it starts again, it has not lost its place, and 'ops' is another watch
        try world.alice.sends("three", to: "ops2")
        let again = try world.bob.start(["watch", "ops2", "--exec", command])
        var line = try again.line()
        // The interrupt may have come before the place was stored.
        if line == "ops2 two" { line = try again.line() }
        #expect(line == "ops2 three")
        again.finish(after: SIGINT)
        #expect(try world.bob("watch", "ls").lines.map { $0.hasSuffix(" ops2") } == [true])
        #expect(try world.bob("watch", "--failed", "ops2").code == 0)
        #expect(try world.bob("watch", "--failed", "ops").code == 67)
    }

    @Test("each run has the fields of its own message, and none of another or of natter's environment")
    func ownFields() throws {
        let file = world.directory("token")
        try world.directory.write("token", world.alice("token", "create", "--label", "robot").bytes)
        chmod(file, 0o600)
        let before = cursorFiles(of: world.bob)
        let watching = try world.bob.start(
            ["watch", "--exec", "echo $NATTER_SEQ ${NATTER_ABOUT-none} ${NATTER_VIA-none} ${NATTER_FILES-none}"],
            environment: ["NATTER_ABOUT": "99", "NATTER_VIA": "nobody", "NATTER_FILES": "x"])
        try eventually("a cursor file of watch") { cursorFiles(of: world.bob) != before }
        try world.alice.sends("one")
        try expect(world.alice("send", "--quiet", "--re", "1", "two"))
        try expect(world.alice("send", "--quiet", "--token-file", file, "three"))
        try world.alice.sends("four")
        let token = String(
            decoding: try world.alice("token", "create", "--label", "sender").bytes.dropLast(), as: UTF8.self)
        let target = "/v1/conversations/general/files?name=build.log"
        let sent = try RawRequest.send("POST", target, to: world.url, token: token, body: [1])
        let upload = try #require(JSON(parsing: sent.text)[string: "upload"])
        let posted = try RawRequest.send(
            "POST", "/v1/messages", to: world.url, token: token, headers: ["Content-Type: application/json"],
            body: Array(#"{"conversation":"general","files":["\#(upload)"]}"#.utf8))
        #expect(posted.status == 201)
        for line in [
            "1 none none none", "2 1 none none", "3 none robot none", "4 none none none", "5 none sender build.log",
        ] {
            #expect(try watching.line() == line)
        }
    }

    @Test("a watch that has lost its positions passes nothing over: 65, until it is dropped", arguments: [false, true])
    func lostPositions(isMissing: Bool) throws {
        let watching = try watch(world.bob, "cat", "--name", "bot")
        watching.finish(after: SIGKILL)
        try world.alice.sends("one")
        let file = try #require(cursorFiles(of: world.bob).first)
        let path = "\(world.bob.natterHome)/replicas/\(file)"
        if isMissing { #expect(unlink(path) == 0) } else { #expect(truncate(path, 0) == 0) }
        let outcome = try world.bob("watch", "--exec", "cat", "--name", "bot")
        #expect(outcome.code == 65 && isOneLine(outcome.errors) && outcome.errors.contains("watch drop"), "\(outcome)")
        #expect(outcome.bytes.isEmpty)
        try expect(world.bob("watch", "drop", "bot"))
        let again = try watch(world.bob, "cat; echo", "--name", "bot")
        try world.alice.sends("two")
        #expect(try again.line() == "two")
    }

    @Test("a watch that is not there has no failures to print: 67; a name in 'ls' is one word")
    func names() throws {
        let watching = try watch(world.bob, "cat", "--name", "a b")
        #expect(try world.bob("watch", "ls").output.hasPrefix("a_b "))
        #expect(try world.bob("watch", "ls", "--json").objects().first?[string: "name"] == "a b")
        #expect(try world.bob("watch", "--failed", "--name", "a b").code == 0)
        for words in [["--name", "nosuch"], ["nosuch"]] {
            let outcome = try world.bob.run(["watch", "--failed"] + words)
            #expect(outcome.code == 67 && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(words): \(outcome)")
        }
        watching.finish(after: SIGKILL)
        for (words, problem) in [
            (["drop"], "'watch drop' needs NAME; 'natter watch ls' lists them"),
            (["drop", "a", "b"], "'watch drop' takes at most NAME; 'b' is one too many"),
            (["ls", "extra"], "'watch ls' takes no operands; 'extra' is one too many"),
            (["ls", "--own"], "--own needs --exec CMD"), (["drop", "a_b", "--name", "a b"], "--name needs --exec CMD"),
            (["--failed", "--name", "a b", "--from", "alice"], "--from needs --exec CMD"),
        ] {
            try expect(world.bob.run(["watch"] + words), 64, problem)
        }
        try expect(world.bob("watch", "drop", "a_b"))
        #expect(try world.bob("watch", "ls").bytes.isEmpty)
    }

    @Test("it waits before messages that are damaged here, and runs the command for them when they are fetched again")
    func damaged() throws {
        let first = try watch(world.bob, "echo $NATTER_SEQ; cat >/dev/null")
        first.finish(after: SIGKILL)
        // Given new messages in log files, one of which is damaged
        let texts = (1...200).map { "\($0) " + String((UInt64($0) &* 0x9E37_79B9_7F4A_7C15), radix: 36) }
        let long = texts.map { text in (0..<70).map { "\(text)\($0)" }.joined() }
        try expect(world.alice.run(["send", "--lines"], input: .text(long.joined(separator: "\n"))))
        try expect(world.bob("sync"))
        let logs = Files.below("\(world.bob.natterHome)/replicas").filter { $0.hasSuffix(".log") }
        let log = try #require(logs.max { Files.size($0) < Files.size($1) })
        try Files.flipByte(log, at: Files.size(log) / 2)
        // When they are watched, found to be damaged, and fetched again
        let watching = try world.bob.start(["watch", "--exec", "echo $NATTER_SEQ; cat >/dev/null"])
        try watching.waitForErrors("natter verify")
        #expect(try world.bob("verify").code == 74)
        // Then the command has run for each, in order
        for seq in 1...200 { #expect(try watching.line() == "\(seq)") }
    }
}
