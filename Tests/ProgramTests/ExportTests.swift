internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natter export, verify")
struct ExportTests {
    private let world: World

    init() throws { world = try World() }

    @Test("export prints seq, ts, sender, text of each message, as natterd does, and natterd takes it back")
    func export() throws {
        try world.alice.sends("one", "two\nlines", "tab\t\u{1B}")
        try world.bob.sends("Маша 🙂")
        let outcome = try world.carol("export", "general")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        #expect(try outcome.objects().allSatisfy { $0.names == ["sender", "seq", "text", "ts"] })
        world.stopServing()
        let exported = try world.natterd("export", "general")
        #expect(try world.natterd("export", "general", "--json") == exported)
        #expect(try outcome.objects().map { Line($0) } == exported.objects().map { Line($0) })
        try expectSuccess(world.natterd("import", "--old", "copy", "-", input: .bytes(outcome.bytes)))
        let copy = try world.natterd("export", "copy")
        #expect(try copy.objects().map { Line($0) } == outcome.objects().map { Line($0) })
    }

    @Test(
        "a raw export has edits and deletions, and an import of it gives the same texts; a deleted text is in neither")
    func raw() throws {
        try world.alice.sends("helo", "secret", "plain")
        for words in [["edit", "1", "hello"], ["delete", "2"], ["send", "--re", "1", "hi"]] {
            #expect(try world.alice.run(words).code == 0)
        }
        #expect(
            try world.bob("export", "general").objects().map { $0[string: "text"] } == ["hello", "", "plain", "hi"])
        world.stopServing()
        let raw = try world.natterd("export", "--raw", "general")
        #expect(try raw.objects().map { $0[string: "kind"] } == [nil, nil, nil, "edit", "delete", nil])
        #expect(!raw.output.contains("secret"))
        try expectSuccess(world.natterd("import", "--old", "copy", "-", input: .bytes(raw.bytes)))
        #expect(try world.natterd("export", "--raw", "copy").bytes == raw.bytes)
        let newest = try world.natterd("export", "general")
        #expect(try newest.objects().map { $0[string: "text"] } == ["hello", "", "plain", "hi"])
        #expect(
            try world.natterd("export", "copy").objects().map { $0[string: "text"] } == ["hello", "", "plain", "hi"])
        try expect(
            world.natterd(
                "import", "--old", "other", "-",
                input: .text(#"{"ts":1600000000000,"sender":"a","text":"b","about":7}"#)), 65, "line 1")
    }

    @Test("export of a personal conversation, of an empty one, of an unknown one")
    func kinds() throws {
        try world.alice.sends("for bob", to: "@bob")
        #expect(try world.bob("export", "@alice").objects().map { $0[string: "text"] } == ["for bob"])
        try expect(world.alice("export", "@me"), hasNotes: true)
        for name in ["nix", "@nix"] {
            try expect(world.alice("export", name), 67, "nix")
        }
        #expect(try world.alice("export").code == 64)
        #expect(try world.person("nobody")("export", "general").code == 77)
        // Offline, the synced messages
        world.stopServing()
        #expect(try world.bob("export", "@alice", "--offline").lines.count == 1)
        #expect(try world.carol("export", "general", "--offline").code == 69)
    }

    /// Texts that mail and browsers could misread.
    private static let oddTexts = [
        "plain", "two\nlines", "a\nFrom here\n>From there", "ends\n", "  spaces \t", "Маша 🙂 é", "tab\t\u{1B}\u{7}",
        "cr\r\nlf", "=?UTF-8?B?4pyT?= =41", "From ", String(repeating: "long é ", count: 400),
        "<script>alert(1)</script> & \"quoted\"", "see https://example.org/a?b=1&c=2, or http://x.example.",
        String(repeating: "F", count: 2_000), "</p><a href='javascript:x'>", "\n\nblank first",
    ]

    @Test("mbox: a mail reader sees each message with its sender, time and text, from either program")
    func mail() throws {
        let senders = [
            "|trey|", "a \"b\" \\", "Маша Иванова", " x ", "=?x", "alice", String(repeating: "ы", count: 32),
        ]
        var lines = ExportTests.oddTexts.enumerated().map { index, text in
            JSON.line(ts: 1_700_000_000_123 + index * 86_400_007, sender: senders[index % senders.count], text: text)
        }
        lines.append(JSON.line(ts: 1_000_000_000_000, sender: "first", text: ""))
        try world.importGeneral(lines.joined())
        try world.bob.sends("sent")
        let expected = try world.alice("export", "general").objects()
        let mbox = try world.alice("export", "general", "--format", "mbox")
        #expect(mbox.code == 0 && mbox.errors.isEmpty)
        #expect(try world.natterd("export", "general", "--format", "mbox").bytes == mbox.bytes)
        let file = try world.directory.write("mbox", mbox.bytes)
        let script = """
            import email.header, email.utils, json, mailbox, sys
            for mail in mailbox.mbox(sys.argv[1], create=False):
                name = email.utils.parseaddr(str(mail["From"]).replace("\\n ", " "))[0]
                word = lambda text: str(email.header.make_header(email.header.decode_header(text)))
                text = mail.get_payload(decode=True).decode("utf-8")
                time = email.utils.parsedate_to_datetime(mail["Date"]).strftime("%Y-%m-%dT%H:%M:%S")
                print(json.dumps({"sender": word(name), "text": text, "time": time, "exact": mail["Natter-Time"],
                    "id": mail["Message-ID"], "subject": word(mail["Subject"]), "seq": int(mail["Natter-Seq"])}))
            """
        let parsed = try ChildProcess("/usr/bin/python3", ["-c", script, file], environment: [:]).finish()
        #expect(parsed.code == 0, "\(parsed.errors)")
        let mails = try parsed.objects()
        #expect(mails.count == expected.count)
        #expect(Set(mails.map { $0[string: "id"] }).count == mails.count)
        for (mail, message) in zip(mails, expected) {
            #expect(mail[int: "seq"] == message[int: "seq"])
            // A body ends with a newline
            #expect(mail[string: "text"] == message[string: "text"].map { $0 + "\n" })
            let sender = message[string: "sender"] ?? ""
            #expect(mail[string: "sender"] == sender || sender == " x ", "\(mail)")
            #expect(mail[string: "exact"]?.hasPrefix(mail[string: "time"] ?? "-") == true)
        }
        #expect(mails[0][string: "exact"] == "2023-11-14T22:13:20.123Z" && mails[0][string: "subject"] == "plain")
        #expect(mails[15][string: "subject"] == "blank first")
    }

    @Test("html: one page with every message, and nothing of a message is markup")
    func page() throws {
        let lines = ExportTests.oddTexts.enumerated().map { index, text in
            JSON.line(ts: 1_700_000_000_123 + index, sender: "<b>&\(index)", text: text)
        }
        try world.importGeneral(lines.joined())
        let page = try world.alice("export", "general", "--format", "html")
        #expect(page.code == 0 && page.errors.isEmpty)
        #expect(try world.natterd("export", "general", "--format", "html").bytes == page.bytes)
        let html = page.output
        #expect(html.hasPrefix("<!DOCTYPE html>") && html.hasSuffix("</html>\n"))
        // No text turns the direction of what is beside it
        #expect(!html.contains("<p>") && html.contains("<p dir=\"auto\">"))
        #expect(!html.contains("<script") && !html.contains("\u{1B}"))
        for number in 1...ExportTests.oddTexts.count {
            #expect(html.contains("<article id=\"\(number)\"><header><b><bdi>&lt;b&gt;&amp;\(number - 1)</bdi></b>"))
        }
        #expect(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;"))
        #expect(html.contains("<a href=\"https://example.org/a?b=1&amp;c=2\" rel=\"noreferrer\">"))
        #expect(html.contains(">http://x.example</a>."))
        #expect(html.contains("<h2>2023-11-14</h2>") && html.contains("2023-11-14T22:13:20.123Z"))
        // A conversation without messages is a page, too; an unknown word is refused
        #expect(try world.alice("export", "@me", "--format", "html").output.hasSuffix("</html>\n"))
        #expect(try world.natterd("export", "general", "--format", "pdf").code == 64)
    }

    @Test("mail and pages have the newest texts, and nothing of what was deleted, from either program")
    func changed() throws {
        try world.alice.sends("first draft", "to be taken back", "an answer")
        #expect(try world.alice("edit", "1", "final text").code == 0)
        #expect(try world.alice("delete", "2").code == 0)
        for format in ["mbox", "html"] {
            let own = try world.alice("export", "general", "--format", format)
            #expect(own.code == 0 && own.output.contains("final text") && own.output.contains("an answer"))
            #expect(!own.output.contains("draft") && !own.output.contains("taken back"))
            #expect(own.output.contains("edited") && own.output.contains("deleted"))
            #expect(try world.natterd("export", "general", "--format", format).bytes == own.bytes)
        }
    }

    @Test("verify reports damage and exits with 74; export prints the rest, reports it, and exits with 74 too")
    func damaged() throws {
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
        let failed = try world.bob("export", "general", "--offline", "--json")
        #expect(failed.code == 74 && failed.bytes == exported.bytes)
        let error = try #require(JSON(parsing: failed.errors)[object: "error"])
        #expect(error[string: "code"] == "damaged" && error[string: "message"]?.contains("\(from) to \(to)") == true)
        #expect(try exported.objects().map { Line($0) } == whole.filter { !(from...to).contains($0.seq ?? 0) })
    }

    @Test(
        "what retention has removed is no loss: export says where it begins, and ends with 0",
        arguments: [[], ["--format", "mbox"], ["--format", "html"]])
    func retained(options: [String]) throws {
        let old = (1...5_000).map { number in
            JSON.line(ts: 1_700_000_000_000 + number, sender: "x", text: "old \(number) \(number * 7_919)")
        }
        try world.importGeneral(old.joined())
        try world.alice.sends("new")
        try expectSuccess(world.natterd("retain", "general", "5d"))
        let exported = try world.bob.run(["export", "general"] + options)
        #expect(exported.code == 0 && exported.output.contains("new"), "\(exported.code) \(exported.errors)")
        #expect(isOneLine(exported.errors) && exported.errors.contains("older messages are not kept"))
        try expect(world.bob("log", "--around", "1", "-n", "1"), 67, "not kept any more")
        let list = try world.bob("export", "general").objects()
        #expect(list.count < 5_000 && list.last?[string: "text"] == "new")
        for form in ["mbox", "html"] {
            let refused = try world.bob("export", "general", "--json", "--format", form)
            #expect(refused.code == 64 && refused.bytes.isEmpty, "\(refused)")
        }
    }

    @Test("what was synced stays readable by --around when the server does not keep it any more")
    func keptHere() throws {
        let old = (1...5_000).map { number in
            JSON.line(ts: 1_700_000_000_000 + number, sender: "x", text: "old \(number) \(number * 7_919)")
        }
        try world.importGeneral(old.joined())
        try expect(world.bob("sync"), hasNotes: true)
        try expectSuccess(world.natterd("retain", "general", "5d"))
        try world.alice.sends("new")
        try expect(world.bob("sync"), hasNotes: true)
        let around = try world.bob("log", "--around", "1", "-n", "1", "--json")
        #expect(around.code == 0, "\(around)")
        #expect(try around.objects().map { $0[int: "seq"] } == [1])
    }

    @Test("verify goes on after an open group that was left on another machine")
    func left() throws {
        try expect(world.alice("group", "create", "--open", "op"), hasNotes: true)
        try expect(world.bob("group", "join", "op"), hasNotes: true)
        _ = try world.bob("sync")
        let copy = try world.bob.copyOfHome(world.directory)
        try expect(world.bob("--home", copy, "group", "leave", "op"), hasNotes: true)
        let outcome = try world.bob("verify", "--verbose")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.lines.contains { $0.hasPrefix("general: ") } || outcome.lines.contains { $0.hasPrefix("op: ") })
    }
}
