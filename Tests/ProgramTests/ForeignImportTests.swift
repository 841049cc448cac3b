internal import Foundation
internal import Testing
internal import TestSupport

@Suite("natterd import --from")
struct ForeignImportTests {
    private let world: World

    init() throws { world = try World(isServing: false) }

    private static let samples = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "fixtures/import").path

    private func sample(_ name: String) -> String { "\(ForeignImportTests.samples)/\(name)" }

    /// Runs `natterd import --from` in UTC, because logs have the time of a clock on a wall.
    private func take(_ words: String..., input: ChildProcess.Stream = .nothing) throws -> Outcome {
        try world.natterd(["import", "--json", "--from"] + words, environment: ["TZ": "UTC"], input: input)
    }

    /// The messages of a conversation as `TIME SENDER: TEXT`.
    private func history(_ conversation: String) throws -> [String] {
        let outcome = try world.natterd("export", conversation)
        guard outcome.code == 0 else { throw Failure(outcome.errors) }
        return try outcome.objects().filter { $0[string: "kind"] == nil }.map {
            "\($0[int: "ts"] ?? 0) \($0[string: "sender"] ?? ""): \($0[string: "text"] ?? "")"
        }
    }

    private func skipped(_ outcome: Outcome) throws -> [String: Int] {
        let counts = try outcome.objects().last?[object: "skipped"]
        return Dictionary(uniqueKeysWithValues: (counts?.names ?? []).map { ($0, counts?[int: $0] ?? 0) })
    }

    @Test(
        "slack: channels in the order of time, names for ids, answers, edits, a chat of two accounts; the rest is counted"
    )
    func slack() throws {
        let outcome = try take("slack", sample("slack/slack.zip"))
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(
            try history("general") == [
                "1700000200000 alice: Hello @bob & all, see the plan (https://example.org/a?b=1&c=2) in #release",
                "1700000300000 bob: 2 < 3, @here", "1700086400000 alice: the picture\n[plan.png]",
                "1700086500000 deploy: build 12 is *green*",
            ])
        #expect(try history("release") == ["1700090000000 carol: 1.0 is out"])
        #expect(try history("secret-plans") == ["1700090001000 alice: not yet"])
        #expect(
            try history("@alice,@bob") == ["1700090002000 alice: lunch?", "1700090003000 bob: at noon"])
        #expect(try history("@bob,@carol") == ["1700090004000 carol: bye"])
        #expect(try skipped(outcome) == ["reactions": 1, "channel_join": 1, "file_contents": 1])
        // Readers see it: answers and edits, and what two have written is for those two
        try world.serve()
        let page = try world.alice("log", "general", "--json").objects()
        let answer = try #require(page.first { $0[string: "text"] == "2 < 3, @here" })
        #expect(answer[int: "about"] == 1 && answer[bool: "imported"] == true)
        #expect(try world.alice.texts("log", "@bob") == ["lunch?", "at noon"])
        #expect(try world.carol("log", "@alice").lines.isEmpty)
        #expect(try world.carol("log", "secret-plans").code == 67)
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("slack: members with accounts are in the group, its maker is the admin; topic and display names are taken")
    func people() throws {
        let export = world.directory("export")
        let files = [
            "users.json": """
            [{"id":"U1","name":"alice","profile":{"display_name":"Alice Archer"}},{"id":"U2","name":"bob","profile":{}},
            {"id":"U3","name":"zoe","profile":{}}]
            """,
            "channels.json": """
            [{"id":"C1","name":"ops","creator":"U2","members":["U1","U2","U3"],"topic":{"value":"Disks"}}]
            """,
            "ops/2023-11-14.json": #"[{"type":"message","user":"U3","text":"hi","ts":"1700000200.000100"}]"#,
        ]
        for (name, text) in files { try world.directory.write("export/" + name, text) }
        for _ in 0..<2 {
            let outcome = try take("slack", export)
            #expect(try outcome.code == 0 && skipped(outcome) == [:], "\(outcome)")
            #expect(outcome.errors.contains("1 member of groups has no account here"))
        }
        try world.serve()
        let members = try world.alice("group", "members", "ops", "--json").objects()
        #expect(members.map { $0[string: "name"] } == ["alice", "bob"])
        #expect(members.map { $0[bool: "admin"] } == [false, true])
        #expect(members.first?[string: "display"] == "Alice Archer")
        #expect(try world.alice("group", "topic", "ops").output == "Disks\n")
        #expect(try world.alice("ls", "--json").objects().allSatisfy { $0[int: "unread"] == 0 })
        // What people have changed since stays
        try expect(world.bob("group", "remove", "ops", "alice"))
        try expect(world.bob("group", "topic", "ops", ""))
        #expect(try take("slack", export).code == 0)
        #expect(try world.bob("group", "members", "ops").lines.count == 1)
        #expect(try world.alice.run(["group", "topic", "ops"]).code == 67)
        #expect(try world.bob("group", "topic", "ops").output == "Disks\n")
    }

    @Test("the same export again adds nothing, and a later one only what is new; also with a server running")
    func again() throws {
        try world.serve()
        let first = try take("irssi", "ops", "-", input: .text(log([1, 2, 2])))
        #expect(try first.code == 0 && first.objects().first?[int: "count"] == 3, "\(first.errors)")
        let again = try take("irssi", "ops", "-", input: .text(log([1, 2, 2])))
        #expect(try again.objects().first?[int: "count"] == 0 && again.objects().first?[int: "known"] == 3)
        let later = try take("irssi", "ops", "-", input: .text(log([1, 2, 2, 2, 3])))
        #expect(try later.objects().first?[int: "count"] == 2)
        #expect(try history("ops").map { $0.suffix(2) } == [" 1", " 2", " 2", " 2", " 3"])
        // A message that users write meanwhile is none of an import
        try world.alice.sends("hello")
        for _ in 0..<2 {
            #expect(try take("slack", "--map", "random=general", sample("slack/slack.zip")).code == 65)
            #expect(try take("slack", sample("slack/slack.zip")).code == 0)
        }
        #expect(try history("general").count == 5)
        #expect(try history("@alice,@bob").count == 2)
    }

    private func log(_ numbers: [Int]) -> String {
        "--- Log opened Tue Nov 14 22:13:20 2023\n" + numbers.map { "22:13 < alice> \($0)\n" }.joined()
    }

    @Test("telegram: chats by --map-user and --map, links, answers, saved messages as one's notebook")
    func telegram() throws {
        // Without accounts nothing personal is taken, and everybody is told whom to name
        let alone = try take("telegram", "--dry-run", sample("telegram/telegram.json"))
        #expect(try skipped(alone)["without_account"] == 3)
        #expect(try world.natterd("export", "Family-&-Friends").code == 67)
        let outcome = try take(
            "telegram", "--map-user", "Alice Archer=alice", "--map-user", "Bob Baker=bob", "--map",
            "Family & Friends=family", sample("telegram/telegram.json"))
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(
            try history("@alice,@bob") == [
                "1700000000000 alice: hi Bob", "1700000060000 bob: see this (https://example.org/) now",
            ])
        #expect(
            try history("family") == ["1700038860000 Маша: Привет 👋", "1700038920000 alice: [photo]"])
        #expect(try history("@alice,@alice") == ["1700042400000 alice: buy milk"])
        #expect(
            try skipped(outcome) == ["phone_call": 1, "create_group": 1, "reactions": 1, "file_contents": 1])
        let records = try world.natterd("export", "--raw", "@alice,@bob").objects()
        let edits = records.filter { $0[string: "kind"] == "edit" }
        #expect(edits.map { $0[int: "ts"] } == [1_700_000_100_000])
    }

    /// The export of some groups in Telegram, each with one message.
    private func telegram(_ names: [String], more: String = "") -> [UInt8] {
        let chats = names.enumerated().map { index, name in
            "{\"name\":\"\(name)\",\"type\":\"private_group\",\"id\":\(index),\"messages\":[{\"id\":1,\"type\":\"message\","
                + "\"date_unixtime\":\"1700000000\",\"from\":\"x\",\"text\":\"\(index)\"\(more)}]}"
        }
        return Array("{\"chats\":{\"list\":[\(chats.joined(separator: ","))]}}".utf8)
    }

    @Test("telegram: an edit in the future is refused before anything is imported, also by a trial")
    func editedAhead() throws {
        let file = try world.directory.write(
            "result.json", telegram(["ops"], more: ",\"edited_unixtime\":\"99999999999\""))
        for words in [["--dry-run"], []] {
            let outcome = try world.natterd(["import", "--from", "telegram"] + words + [file])
            #expect(outcome.code == 65 && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(outcome)")
            #expect(outcome.errors.contains("'natter-import-telegram', line 1: the time 5138-"), "\(outcome.errors)")
        }
        #expect(try world.natterd("export", "ops").code == 67)
    }

    @Test("a channel may be mapped into another one's conversation, whichever comes first", arguments: ["a", "z"])
    func mappedTogether(name: String) throws {
        let file = try world.directory.write("result.json", telegram([name, "ops"]))
        #expect(try take("telegram", "--map", "\(name)=ops", file).code == 0)
        #expect(try history("ops").count == 2)
        // Two names that become one are still told, also where a third channel is mapped there.
        let three = try world.directory.write("result.json", telegram([name, "x y", "x-y"]))
        try expect(take("telegram", "--map", "\(name)=x-y", three), 65, "'x y' and 'x-y'")
    }

    @Test("a name loses what nobody sees; all channels without a possible name are told at once")
    func nameless() throws {
        let hearts = try world.directory.write("result.json", telegram(["Love \u{2764}\u{FE0F}"]))
        #expect(try take("telegram", hearts).code == 0)
        #expect(try history("Love-\u{2764}").count == 1)
        let long = (1...3).map { String(repeating: "long", count: 20 * $0) }
        let file = try world.directory.write("result.json", telegram(["new"] + long))
        let outcome = try world.natterd("import", "--from", "telegram", file)
        #expect(outcome.code == 65 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains("3 channels") && outcome.errors.contains("--map"), "\(outcome.errors)")
        for name in long { #expect(outcome.errors.contains("'\(name.prefix(100))"), "\(outcome.errors)") }
        #expect(outcome.errors.utf8.count < 500)
        try expect(
            world.natterd("import", "--from", "telegram", "-", input: .bytes(telegram([long[0]]))), 65,
            "--map '\(long[0])=CONV'")
        #expect(try world.natterd("export", "new").code == 67)
    }

    @Test("mail that was exported comes back as it was")
    func mail() throws {
        let texts = [
            "plain", "", "From here\n>From there\n", "é\r\nb ", "abc\r", "\r\n", String(repeating: "long ", count: 400),
            "=?x?=",
        ]
        let senders = ["bob", "Маша \"M\" Ивановна", " a, b "]
        let lines = texts.enumerated().map { index, text in
            JSON.line(ts: 1_700_000_000_001 + index, sender: senders[index % 3], text: text)
        }
        #expect(try world.natterd("import", "own", "-", input: .text(lines.joined())).code == 0)
        let mbox = try world.natterd("export", "own", "--format", "mbox")
        #expect(try take("mbox", "copy", "-", input: .bytes(mbox.bytes)).code == 0)
        #expect(try history("copy") == history("own"))
    }

    @Test("a channel of IRC gets its name without '#', and --map takes the name that its file has")
    func channels() throws {
        let irssi = try take("irssi", sample("irssi/#ops.log"))
        #expect(try irssi.code == 0 && history("ops").count == 7 && skipped(irssi) == ["events": 2], "\(irssi.errors)")
        let weechat = try take("weechat", "--map", "#ops=wee", sample("weechat/irc.libera.#ops.weechatlog"))
        #expect(try weechat.code == 0 && history("wee").count == 4, "\(weechat.errors)")
    }

    @Test("a line full of combining marks takes no minutes, and keeps each of them", arguments: ["whatsapp", "mbox"])
    func marks(format: String) throws {
        let run = String(repeating: "\u{301}\u{316}", count: 15_000)
        // The second message of WhatsApp is longer than a text may be.
        let text =
            format == "mbox"
            ? "From a@b Tue Nov 14 22:13:00 2023\nDate: Tue, 14 Nov 2023 22:13:00 +0000\nFrom: Alice <a@b>\n"
                + "Content-Type: text/plain; charset=utf-8\n\none\n-\(run)\n"
            : "14/11/2023, 22:13 - Alice: one\n-\(run)\n14/11/2023, 22:14 - Alice: two\n-"
                + String(repeating: run, count: 7) + "\n"
        let file = try world.directory.write("Us.\(format == "mbox" ? "mbox" : "txt")", text)
        // The command is given 4 s of processor time. A line of 120 KB alone took 13 s in a log of WhatsApp.
        let outcome = try ChildProcess(
            "/bin/sh",
            [
                "-c", "ulimit -t 4; exec \"$0\" \"$@\"", Programs.path("natterd"), "--data", world.data, "import",
                "--json", "--from", format, file,
            ], environment: World.store(of: world.data).merging(["HOME": world.directory.path, "TZ": "UTC"]) { $1 }
        ).finish()
        #expect(outcome.code == 0, "\(outcome.code) \(outcome.errors.prefix(300))")
        let kept = try history("Us").first ?? ""
        #expect(kept.unicodeScalars.filter { $0 == "\u{301}" }.count == 15_000)
    }

    @Test(
        "a file that is something else is 65, and nothing is imported",
        arguments: [
            "slack", "telegram", "mbox", "irssi", "weechat", "whatsapp",
        ])
    func otherFile(format: String) throws {
        let before = try world.natterd("export", "general").bytes
        var zip = try #require(Files.bytes(sample("slack/slack.zip")))
        zip.removeLast(zip.count / 2)
        let files: [[UInt8]] = [
            [], zip, Array("{\"messages\":[{\"type\":".utf8), Array("nothing of this kind\n".utf8),
            [0xFF, 0, 0xFE, 10],
            Array(String(repeating: "[", count: 100_000).utf8),
        ]
        for bytes in files {
            let file = try world.directory.write("general.log", bytes)
            let outcome = try take(format, "general", file)
            #expect(outcome.code == 65, "\(outcome.errors)")
            #expect(outcome.errors.hasPrefix("{\"error\"") && outcome.output.isEmpty)
        }
        #expect(try take(format, world.directory("nix")).code == 66)
        #expect(try take(format, world.directory.path).code == (["slack", "mbox"].contains(format) ? 65 : 66))
        #expect(try world.natterd("export", "general").bytes == before)
    }

    @Test("two channels are never mixed unasked, and words that make no sense are 64")
    func refused() throws {
        let chats = ["a b", "a-b"].enumerated().map { index, name in
            "{\"name\":\"\(name)\",\"type\":\"private_group\",\"id\":\(index),\"messages\":[{\"id\":1,\"type\":\"message\","
                + "\"date_unixtime\":\"1700000000\",\"from\":\"x\",\"text\":\"\(index)\"}]}"
        }
        let file = try world.directory.write("result.json", "{\"chats\":{\"list\":[\(chats.joined(separator: ","))]}}")
        try expect(take("telegram", file), 65, "--map")
        #expect(try world.natterd("export", "a-b").code == 67)
        #expect(try take("telegram", "--map", "a b=other", file).code == 0)
        #expect(try history("other").count == 1)
        for words in [["--map", "nonsense", file], ["--map-user", "=x", file], ["a", "b", file], []] {
            let outcome = try world.natterd(["import", "--from", "telegram"] + words)
            #expect(outcome.code == 64, "\(words) \(outcome.errors)")
        }
        // One wrong name, and nothing is imported: a trial says so, too.
        for (name, code) in [("a/b", 65), ("me", 65), ("@alice", 67), ("@alice,@nobody", 67)] {
            for words in [["--map", "a b=third", "--map", "a-b=\(name)", file], [name, file]] {
                for trial in [["--dry-run"], []] {
                    let outcome = try world.natterd(["import", "--from", "telegram"] + trial + words)
                    #expect(Int(outcome.code) == code && outcome.output == "", "\(words) \(outcome.errors)")
                }
            }
            #expect(try world.natterd("export", "third").code == 67)
        }
        #expect(try world.natterd("import", "--from", "discord", file).code == 64)
        #expect(try world.natterd("import", "--map", "a=b", "general", file).code == 64)
        #expect(try world.natterd("import", "general").code == 64)
    }
}
