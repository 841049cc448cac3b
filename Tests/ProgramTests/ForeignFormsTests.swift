internal import Foundation
internal import Testing
internal import TestSupport

/// Forms that real exports have, beside those of the samples.
@Suite("natterd import --from: forms of files")
struct ForeignFormsTests {
    private let world: World

    init() throws { world = try World(isServing: false) }

    private func take(_ words: String..., zone: String = "UTC", input: String) throws -> Outcome {
        try world.natterd(
            ["import", "--from"] + words + ["-"], environment: ["TZ": zone, "LC_ALL": "C.UTF-8"],
            input: .bytes(Array(input.utf8)))
    }

    /// `TIME SENDER: TEXT`; the time in minutes since 2025 began, in UTC.
    private func history(_ conversation: String) throws -> [String] {
        let outcome = try world.natterd("export", conversation)
        guard outcome.code == 0 else { throw Failure(outcome.errors) }
        return try outcome.objects().map {
            "\(($0[int: "ts"] ?? 0) / 60_000 - 28_928_160) \($0[string: "sender"] ?? ""): \($0[string: "text"] ?? "")"
        }
    }

    @Test("irssi: a day that can't be read is named with its line, and the messages behind it get no other")
    func unknownMonth() throws {
        let log = "--- Log opened Wed Jan 01 23:00:00 2025\n23:10 < alice> one\n--- Day changed Do M\u{E4}r 02 2025\n"
        let refused = try take("irssi", "ops", input: log + "10:00 < bob> two\n")
        #expect(refused.code == 65 && refused.errors.contains("line 3: '--- Day changed Do M"), "\(refused)")
        #expect(try world.natterd("export", "ops").code == 67)
        // Seconds in brackets are a time; a log without any is none of irssi's
        let bracketed = "--- Log opened Wed Jan 01 00:00:00 2025\n[00:01:59] < alice> one\n"
        #expect(try take("irssi", "ops", input: bracketed).code == 0)
        #expect(try history("ops") == ["1 alice: one"])
        let other = try take("irssi", "ops", input: "--- Log opened Wed Jan 01 00:00:00 2025\n1/1 00.01 < alice> one\n")
        #expect(other.code == 65 && other.errors.contains("07:24"), "\(other)")
    }

    @Test("a time that occurs twice in autumn is the first, wherever the log begins")
    func autumn() throws {
        let end = "26/10/2025, 02:31 - Bob: x\n30/10/2025, 09:00 - Bob: w\n"
        let first = try take(
            "whatsapp", "us", zone: "Europe/Berlin", input: "15/07/2025, 12:00 - Alice: summer\n" + end)
        #expect(first.code == 0, "\(first)")
        let later = try take(
            "whatsapp", "us", zone: "Europe/Berlin", input: end + "02/11/2025, 09:00 - Bob: new\n")
        #expect(later.code == 0, "\(later)")
        // 02:31 in summer, and in spring an hour that no clock shows
        let texts = try history("us")
        #expect(texts.map { $0.suffix(1) } == ["r", "x", "w", "w"] && texts[1].hasPrefix("429151 "), "\(texts)")
        // In Ireland, winter is what differs; Samoa has left out a day
        for (zone, hour, expected) in [
            ("Europe/Berlin", "30/03/2025, 02:30", 126_810), ("Europe/Dublin", "30/03/2025, 01:30", 126_810),
            ("Asia/Kolkata", "30/03/2025, 02:30", 126_540), ("Pacific/Apia", "30/12/2011, 12:00", -6_840_120),
        ] {
            let name = String(zone.split(separator: "/")[1])
            #expect(try take("whatsapp", name, "--dates", "dmy", zone: zone, input: "\(hour) - Bob: y\n").code == 0)
            #expect(try history(name) == ["\(expected) Bob: y"])
        }
    }

    @Test("telegram: neither people nor groups of the same name are mixed, and who is not named is asked for")
    func namesakes() throws {
        func chat(_ type: String, _ name: String, _ id: Int, from: String, _ more: String = "") -> String {
            "{\"name\":\"\(name)\",\"type\":\"\(type)\",\"id\":\(id),\"messages\":[{\"id\":1,\"type\":\"message\","
                + "\"date_unixtime\":\"1735689600\",\"from\":\"\(from)\",\"text\":\"of \(id)\"\(more)}]}"
        }
        func all(_ chats: String...) -> String {
            "{\"personal_information\":{\"first_name\":\"alice\"},\"chats\":{\"list\":[\(chats.joined(separator: ","))]}}"
        }
        let (one, other) = (
            chat("personal_chat", "bob", 31, from: "bob"), chat("personal_chat", "bob", 32, from: "bob")
        )
        let mixed = try take("telegram", input: all(one, other))
        #expect(mixed.code == 65 && mixed.errors.contains("'bob 31' and 'bob 32'"), "\(mixed)")
        #expect(try take("telegram", "--map", "bob 32=other", input: all(one, other)).code == 0)
        #expect(try history("@alice,@bob") == ["0 bob: of 31"] && history("other") == ["0 bob: of 32"])
        // Groups keep their names in another order
        let (club, second) = (chat("private_group", "Club", 7, from: "x"), chat("private_group", "Club", 8, from: "x"))
        for list in [all(club, second), all(second, club)] { #expect(try take("telegram", input: list).code == 0) }
        #expect(try history("Club-7") == ["0 x: of 7"] && history("Club-8") == ["0 x: of 8"])
        // One chat alone, in which its owner has not written
        let alone = try take("telegram", input: one)
        #expect(alone.code == 0 && alone.errors.contains("'owner of the export=USER'"), "\(alone)")
        #expect(try world.natterd("export", "@bob,@bob").bytes.isEmpty)
        let named = try take("telegram", "--map-user", "owner of the export=carol", input: one)
        #expect(try named.code == 0 && history("@bob,@carol") == ["0 bob: of 31"], "\(named)")
        let nobody = try take("telegram", "--map-user", "Bobb=carol", input: one)
        #expect(nobody.code == 0 && nobody.errors.contains("'Bobb'"), "\(nobody)")
        // An answer to a message of another chat; half of a pair of surrogates
        let odd = chat(
            "private_group", "odd", 9, from: "y", ",\"reply_to_message_id\":1,\"reply_to_peer_id\":\"channel2\"")
        let counted = try take(
            "telegram", input: odd.replacing("of 9", with: #"half \ud83d, \ud83d\ude00 and \\ud83d"#))
        #expect(counted.code == 0 && counted.errors.contains("1 answers_to_missing"), "\(counted)")
        #expect(try history("odd") == [#"0 y: half \#u{FFFD}, 😀 and \ud83d"#])
    }

    @Test("whatsapp: the order of days and months is the likelier one, and said; --dates decides")
    func dateOrder() throws {
        let days = "01/02/25, 9:15 pm - Asha: one\n02/02/25, 9:16 pm - Ravi: two\n"
        let guessed = try take("whatsapp", "india", input: days)
        #expect(guessed.code == 0 && guessed.errors.contains("read as dmy; --dates"), "\(guessed)")
        #expect(try history("india") == ["45915 Asha: one", "47356 Ravi: two"])
        #expect(
            try take("whatsapp", "india", input: days + "14/02/25, 9:17 pm - Asha: new\n").errors.contains("--dates")
                == false)
        #expect(try history("india").count == 3)
        let said = try take("whatsapp", "--dates", "mdy", "us", input: days)
        #expect(try !said.errors.contains("--dates") && history("us").first == "2715 Asha: one", "\(said)")
        let years = try take("whatsapp", "--dates", "ymd", "years", input: "25/01/02, 00:01 - Asha: one\n")
        #expect(try years.code == 0 && history("years") == ["1441 Asha: one"], "\(years)")
        // A date that is none says nothing, and no order fits these
        let odd = days + "99/99/25, 9:18 pm - Asha: odd\n"
        #expect(try take("whatsapp", "--dates", "dmy", "india", input: odd).code == 0)
        #expect(try history("india").last == "47356 Ravi: two\n99/99/25, 9:18 pm - Asha: odd")
        let both = try take("whatsapp", "both", input: "13/01/25, 21:15 - Asha: one\n01/13/25, 21:16 - Ravi: two\n")
        #expect(both.code == 65 && both.errors.contains("--dates"), "\(both)")
        #expect(try take("irssi", "--dates", "mdy", "us", input: days).code == 64)
    }

    @Test("whatsapp: lines of another chat in a text are text, and so are dates in another form")
    func pasted() throws {
        let chat = """
            01/01/2025, 00:01 - Alice: look:
            [11/22/25, 9:15:02 AM] Carol: hello
            11.12.25, 09:15 - Carol: more
            01/01/2025 \u{E0} 00:02 - Alice: fin
            01/01/2025, 00:03 - Alice created group "Dinner: Friday"

            """
        let outcome = try take("whatsapp", "us", "--dates", "dmy", input: chat)
        #expect(outcome.code == 0 && outcome.errors.contains("1 events"), "\(outcome)")
        #expect(
            try history("us") == [
                "1 Alice: look:\n[11/22/25, 9:15:02 AM] Carol: hello\n11.12.25, 09:15 - Carol: more", "2 Alice: fin",
            ])
    }

    @Test("mbox: the date behind 'From ' begins a mail, and stands for one that is missing; a time ahead is counted")
    func mail() throws {
        let folder = """
            From a@b Wed Jan  1 00:01:00 2025
            From: Alice <a@b>
            Date: Wed, 1 Jan 2025 00:01:00 +0000

            one

            From here on, nothing was escaped
            From c@d Wed Jan  1 00:02:00 2025 +0000
            From: Carol <c@d>

            without a date
            From e@f Wed Jan  1 00:03:00 2025
            From: Eve <e@f>
            Date: Tue, 19 Jan 2038 03:14:07 +0000

            spam

            """
        let outcome = try take("mbox", "mail", input: folder)
        #expect(outcome.code == 0 && outcome.errors.contains("not taken: 1 bad_time"), "\(outcome)")
        #expect(
            try history("mail") == [
                "1 Alice: one\n\nFrom here on, nothing was escaped", "2 Carol: without a date",
            ])
    }

    @Test("mbox: without a date in the first line of a mail, the empty line before it tells")
    func undatedMail() throws {
        let mails = ["one\nFrom here", "two"].enumerated().map { index, text in
            "From alice@example.org\nFrom: Al <a@b>\nDate: Wed, 1 Jan 2025 00:0\(index):00 +0000\n\n\(text)\n\n"
        }
        #expect(try take("mbox", "mail", input: mails.joined()).code == 0)
        #expect(try history("mail") == ["0 Al: one\nFrom here", "1 Al: two"])
    }

    @Test(
        "mbox: a name as programs write it, although the standard does not",
        arguments: [
            ("=?utf-8?Q?M=C3=BCller,_J=C3=B6rg?= <j@x>", "Müller, Jörg"),
            ("=?utf-8?B?TcO8bGxlcsM=?=\n =?UTF-8?B?tg==?= <j@x>", "Müllerö"),
            ("=?utf-8?Q?=C3=9C?= =?iso-8859-1?Q?=FC?= x <j@x>", "Üü x"),
            ("\"Doe, \\\"Jo\\\"\" <j@x>, Other <o@x>", "Doe, \"Jo\""), ("Jo =? <j@x>", "Jo =?"),
            ("jo@x (=?utf-8?Q?J=C3=B6?=)", "Jö"), ("jo@x, other@x", "jo"),
        ])
    func mailNames(field: String, name: String) throws {
        let mail = "From a@b Wed Jan  1 00:01:00 2025\nFrom: \(field)\n\none\n"
        #expect(try take("mbox", "mail", input: mail).code == 0)
        #expect(try history("mail") == ["1 \(name): one"])
    }

    @Test("mbox: of a choice, the part that says something; a part's boundary may begin as that around it")
    func mailParts() throws {
        func part(_ type: String, _ text: String) -> String { "Content-Type: text/\(type)\n\n\(text)\n" }
        func mail(_ parts: String...) -> String {
            "From a@b Wed Jan  1 00:01:00 2025\nFrom: al\n"
                + "Content-Type: multipart/alternative; boundary=in-a\n\n"
                + parts.map { "--in-a\n" + $0 }.joined() + "--in-a--\n"
        }
        let folded = "Content-Type: multipart/mixed; boundary=in\n\n"
        let inner = mail(part("plain", "three"), part("html", "<p>3</p>")).split(separator: "\n", maxSplits: 2)
        let nested = "\(inner[0])\n\(inner[1])\n\(folded)--in \t\r\n\(inner[2])--in--\n"
        let folder =
            mail(part("plain", " \n"), part("html", "<p>one</p>"))
            + mail(part("html", "<p>2</p>"), part("plain", "two"))
            + nested + mail(part("plain", " "), "Content-Type: image/png\n\nx\n")
        let outcome = try take("mbox", "mail", input: folder)
        #expect(outcome.code == 0 && outcome.errors.contains("1 file_contents, 1 without_text"), "\(outcome)")
        #expect(try history("mail") == ["1 al: one", "1 al: two", "1 al: three"])
    }

    @Test("mbox: of HTML, what a reader sees: no comments, characters by their names, and what is no tag")
    func mailHTML() throws {
        let html = """
            <!--[if gte mso 9]><xml>Normal 0 21</xml><![endif]--><![if !mso]><p>F&uuml;r &szlig;&yuml;&nbsp;&iexcl;</p><![endif]>
            a < b, then <b>c</b> <3 &ndash; &#x263A; &unknown; &amp;amp;<!-- > --> <!-- never ends
            """
        let mail = "From a@b Wed Jan  1 00:01:00 2025\nFrom: al\nContent-Type: text/html\n\n\(html)\n"
        #expect(try take("mbox", "mail", input: mail).code == 0)
        #expect(
            try history("mail") == [
                "1 al: Für ßÿ ¡\na < b, then c <3 – ☺ &unknown; &amp; <!-- never ends"
            ])
    }

    /// Names of character sets as mail has them, bytes, and what these say.
    @Test(
        "mbox: each letter of a character set, also the last, and of one with a name that the C library has not",
        arguments: [
            ("windows-1255", [0xE0, 0xF9], "אש"), ("windows-1258", [0x61, 0x61], "aa"),
            ("iso-8859-8-i", [0xE0, 0xE1], "אב"), ("ks_c_5601-1987", [0xB0, 0xA1], "가"),
            ("x-sjis", [0x82, 0xA0], "あ"), ("cp-1252", [0x63, 0xE9], "cé"), ("unknown-8bit", [0xD0, 0xB6], "ж"),
            ("ascii", [0x63, 0xE9], "cé"), ("ISO-8859-1", [0x93, 0x61], "\u{201C}a"), ("gb2312", [0x81, 0x40], "丂"),
        ] as [(String, [UInt8], String)])
    func charsets(name: String, bytes: [UInt8], text: String) throws {
        let head = "From a@b Wed Jan  1 00:01:00 2025\nFrom: Jos"
        let type = "Content-Type: text/plain; charset=\(name)\n\n"
        // A name that was written without a coding
        let mail = Array(head.utf8) + [0xE9, 0x0A] + type.utf8 + bytes + [0x0A]
        let outcome = try world.natterd("import", "--from", "mbox", "mail", "-", input: .bytes(mail))
        #expect(outcome.code == 0, "\(outcome)")
        #expect(try history("mail") == ["1 José: \(text)"])
    }

    @Test("a mark of the coding before a text, sorted fields, and hours from 1 to 24")
    func otherHands() throws {
        let mark = "\u{FEFF}"
        let irssi = "--- Log opened Wed Jan 01 00:00:00 2025\n00:01 < al> one\n"
        #expect(try take("irssi", "irc", input: mark + irssi).code == 0)
        #expect(try history("irc") == ["1 al: one"])
        #expect(
            try take("mbox", "mail", input: mark + "From a@b Wed Jan  1 00:01:00 2025\nFrom: al\n\none\n").code == 0)
        #expect(try history("mail") == ["1 al: one"])
        let message = #"{"date_unixtime":"1735689660","from":"al","id":1,"text":"one","type":"message"}"#
        let sorted = #"{"id":7,"messages":[\#(message)],"name":"team","type":"private_group"}"#
        let chats = #"{"chats":{"list":[\#(sorted),\#(sorted.replacing("team", with: "other"))]}}"#
        try expect(take("telegram", input: mark + chats), hasNotes: true)
        #expect(try history("team") == ["1 al: one"] && history("other") == ["1 al: one"])
        let hours = "01/01/2025, 24:01 - al: one\n13/01/2025, 23:59 - al: two\n"
        #expect(try take("whatsapp", "wa", input: hours).code == 0)
        #expect(try history("wa").first == "1 al: one")
    }

    @Test("an erased message of our own mail is counted, and has an address as others have")
    func erased() throws {
        let lines =
            JSON.line(ts: 1_735_689_600_000, sender: "al", text: "one")
            + "{\"ts\":1735689660000,\"sender\":\"\",\"text\":\"\",\"erased\":true}\n"
            + "{\"seq\":3,\"ts\":1735689660000,\"sender\":\"al\",\"text\":\"gone\"}\n"
            + "{\"seq\":4,\"ts\":1735689660000,\"sender\":\"al\",\"kind\":\"delete\",\"about\":3}\n"
        #expect(try world.natterd("import", "own", "-", input: .bytes(Array(lines.utf8))).code == 0)
        let mbox = try world.natterd("export", "own", "--format", "mbox").output
        #expect(mbox.contains("\nFrom: <erased@natter.invalid>\n"), "\(mbox)")
        let outcome = try take("mbox", "copy", input: mbox)
        #expect(
            outcome.code == 0 && outcome.errors.contains("1 erased") && outcome.errors.contains("1 deleted"),
            "\(outcome)")
        #expect(try history("copy") == ["0 al: one"])
    }

    @Test("slack: what a Mac adds to a zip file, and a directory around everything; links to channels, sites and mail")
    func slackArchives() throws {
        let path = world.directory("wrapped.zip")
        let script = """
            import sys, zipfile
            with zipfile.ZipFile(sys.argv[1], 'w') as z:
                z.writestr('__MACOSX/export/._users.json', b'\\0\\5\\x16')
                z.writestr('export/users.json', '[{"id":"U1","name":"al"}]')
                z.writestr('export/channels.json', '[{"id":"C2","name":"release"}]')
                z.writestr('export/release/2025-01-01.json',
                    '[{"type":"message","user":"U1","ts":"1735689600.0","text":"see <#C2> and <#C2|>"},'
                    '{"type":"message","user":"U1","ts":"1735689660.0","attachments":[{"text":"a preview"}],'
                    '"text":"<https://x.example/a.example|a.example> <http://a.example|a.example> <mailto:a@b|a@b>"}]')
            """
        let made = try ChildProcess("/usr/bin/python3", ["-c", script, path], environment: [:]).finish()
        #expect(made.code == 0, "\(made.errors)")
        let outcome = try world.natterd("import", "--from", "slack", path)
        #expect(outcome.code == 0 && outcome.errors.contains("1 attachments"), "\(outcome)")
        #expect(
            try history("release") == [
                "0 al: see #release and #release", "1 al: a.example (https://x.example/a.example) a.example a@b",
            ])
    }

    @Test("mbox: Thunderbird's later separators, a clock that was never set, a lost boundary, long headers")
    func mailOfThunderbird() throws {
        let folder = """
            From - Wed Jan 01 00:01:00 2025
            From: al
            Date: Wed, 1 Jan 2025 00:01:00 +0000
            Message-ID: <1@x>
            Subject: Plan

            one

            From\u{20}
            https://x.example is no header, and a line of dashes no separator:

            From ---
            Sent: never

            From\u{20}
            From: bob
            Date: Wed, 1 Jan 2025 00:02:00 +0000
            In-Reply-To: <1@x>
            Subject: Re: Plan

            two

            From a@b Wed Jan  1 00:03:00 2025
            From: al
            Date: Thu, 01 Jan 1970 00:00:00 +0000

            three

            From -
            Received: by x; Wed, 1 Jan 2025 00:03:00 +0000
            From: al
            Date: Thu, 01 Jan 1970 00:00:00 +0000

            as well

            From - Wed Jan 01 00:04:00 2025
            From: al
            Subject:
             =?UTF-8?Q?F=C3=B6lded?=
            Content-Type: multipart/mixed (mixed); boundary=lost

            --other
            Content-Type: text/plain

            four
            --other--

            From - Wed Jan 01 00:05:00 2025
            From: al
            Content-Type: text/plain (plain text)
            Content-Transfer-Encoding:
             base64

            Zml2ZQ==

            """
        for (name, input) in [("lf", folder), ("crlf", folder.replacing("\n", with: "\r\n"))] {
            let outcome = try take("mbox", name, input: input)
            #expect(outcome.code == 0, "\(outcome)")
            let texts = try history(name)
            #expect(
                texts.dropFirst() == [
                    "2 bob: two", "3 al: three", "3 al: as well", "4 al: Földed\n\nfour", "5 al: five",
                ])
            #expect(texts[0].hasPrefix("1 al: Plan\n\none\n\nFrom \nhttps://x") && texts[0].hasSuffix("Sent: never"))
        }
    }

    @Test("telegram: control characters as in C, and a time of editing that is none")
    func telegramOfEarlier() throws {
        let message =
            #"{"id":1,"type":"message","date":"2025-01-01T00:01:00","edited":"1970-01-01T01:00:00","from":"al","#
        let chat = #"{"name":"team","type":"private_group","id":7,"messages":["#
        let outcome = try take("telegram", input: chat + message + #""text":"bell \x07, \\x07"}]}"#)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(try history("team") == ["1 al: bell \u{07}, \\x07"])
        #expect(try world.natterd("export", "--raw", "team").lines.count == 1)
    }

    @Test(
        "whatsapp: dates and clocks of many languages",
        arguments: [
            "[3.1.2025 klo 14.08.18] ", "2025/1/3 下午2:08 - ", "[2025/1/3 下午2:08:18] ", "2025. 1. 3. 오후 2:08, ",
            "2025. 01. 03. 14:08 - ", "3. 1. 2025 14:08 - ", "3/1/2025, 2:08 μ.μ. - ", "03.01.25 г., 14:08 ч. - ",
            "\u{200F}3\u{200F}/1\u{200F}/2025، 2:08 م - ", "٣/١/٢٠٢٥، ٢:٠٨ م - ", "2025/1/3, 14:08 – ",
            "03/01/2025, 14:08: ", "3/1/2025 \u{E0} 14:08 - ", "3.1.2025 um 14:08 Uhr - ",
            "3/1/25, 2:08\u{202F}p. m. - ",
        ])
    func whatsappLanguages(start: String) throws {
        let outcome = try take(
            "whatsapp", "wa", "--dates", start.hasPrefix("2025") || start.hasPrefix("[2025") ? "ymd" : "dmy",
            input: start + "Al : one: two\nthree\n")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(try history("wa") == ["\(2 * 1_440 + 14 * 60 + 8) Al: one: two\nthree"])
        // A word that nobody knows may mean the afternoon
        let unknown = try take("whatsapp", "no", input: "3/1/2025, 2:08 xyz - Al: one\n")
        #expect(unknown.code == 65, "\(unknown)")
        let later = try take("whatsapp", "no", input: "3/1/2025, 2:08 - Al: one\n3/1/2025, 2:09 xyz - Al: two\n")
        #expect(later.code == 65 && later.errors.contains("line 2: 'xyz'"), "\(later)")
    }

    @Test("whatsapp: what the program of a phone says as if a person did is no message, and no second person")
    func whatsappNotices() throws {
        let mark = "\u{200E}"
        let chat = """
            [01.01.25, 00:01:00] Notes: \(mark)Messages and calls are end-to-end encrypted.
            \(mark)[01.01.25, 00:01:01] Al: \(mark)Al hat diese Gruppe erstellt
            [01.01.25, 00:02:00] Al: one
            \(mark)[01.01.25, 00:03:00] Al: \(mark)<Anhang: 1.jpg>
            [01.01.25, 00:04:00] Al: \(mark)Standort: https://maps.example/?q=1
            [01.01.25, 00:05:00] Al: \(mark)UMFRAGE:
            Where?
            \(mark)[01.01.25, 00:06:00] Al: \(mark)Plan.pdf \u{2022} \(mark)3 pages \(mark)<attached: 2-Plan.pdf>
            [01.01.25, 00:07:00] Al: \(mark)right to left <This message was edited>
            [01.01.25, 00:08:00] Al: two
              01.01.25, 00:09 - dentist: 3 pm

            """
        let path = world.directory("WhatsApp Chat - Notes.txt")
        try Files.write(Array(chat.utf8), to: path)
        let outcome = try world.natterd(
            ["import", "--from", "whatsapp", "--dates", "dmy", path], environment: ["TZ": "UTC"], input: .nothing)
        #expect(outcome.code == 0 && outcome.errors.contains("2 notices"), "\(outcome)")
        #expect(
            try history("Notes") == [
                "2 Al: one", "3 Al: <Anhang: 1.jpg>", "4 Al: Standort: https://maps.example/?q=1",
                "5 Al: UMFRAGE:\nWhere?",
                "6 Al: Plan.pdf \u{2022} \u{200E}3 pages \u{200E}<attached: 2-Plan.pdf>", "7 Al: right to left",
                "8 Al: two\n  01.01.25, 00:09 - dentist: 3 pm",
            ])
    }

    @Test("irssi: who spoke in a channel that shares a window, or by a service")
    func irssiNicks() throws {
        let log = """
            --- Log opened Wed Jan 01 00:00:00 2025
            00:01 <@bob:#other> one
            00:02  * bob:#other waves
            00:03 -NickServ(NickServ@services.example)- registered
            00:04 -bob:#other- note

            """
        #expect(try take("irssi", "irc", input: log).code == 0)
        #expect(try history("irc") == ["1 bob: one", "2 bob: bob waves", "3 NickServ: registered", "4 bob: note"])
    }

    @Test("slack: texts in blocks and attachments, names of programs, answers by channel")
    func slackBlocks() throws {
        let path = world.directory("blocks.zip")
        let script = """
            import json, sys, zipfile
            section = {'type': 'section', 'text': {'type': 'mrkdwn', 'text': 'Disk <!here|here> of <@U1> &lt;full&gt;'}}
            rich = {'type': 'rich_text', 'elements': [{'type': 'rich_text_section', 'elements': [
                {'type': 'text', 'text': 'hi '}, {'type': 'user', 'user_id': 'U1'}, {'type': 'emoji', 'name': 'wave'}]}]}
            def message(minute, **fields):
                return dict(type='message', ts='%d.0' % (1735689600 + 60 * minute), **fields)
            bot = dict(subtype='bot_message', bot_id='B1', bot_profile={'name': 'GitHub'})
            ops = [
                message(1, text="This content can't be displayed.", blocks=[section, {'type': 'divider'}], **bot),
                message(2, text='', blocks=[rich], **bot),
                message(3, text='', attachments=[{'pretext': 'P', 'title': 'T', 'text': 'x', 'fallback': 'no'}], **bot),
                message(4, text="This content can't be displayed.", **bot),
                message(6, text='', attachments=[{'title': 'T', 'fallback': 'T is red', 'fields': []}], **bot),
                message(7, text='', attachments=[{'title': 'T', 'fields': [{'title': 'by', 'value': 'al'}]}], **bot),
            ]
            other = [message(5, text='an answer', user='U1', thread_ts='1735689660.0')]
            with zipfile.ZipFile(sys.argv[1], 'w') as z:
                z.writestr('users.json', '[{"id":"U1","name":"al"}]')
                z.writestr('channels.json', '[{"id":"C1","name":"ops"},{"id":"C2","name":"other"}]')
                z.writestr('ops/2025-01-01.json', json.dumps(ops))
                z.writestr('other/2025-01-01.json', json.dumps(other))
            """
        let made = try ChildProcess("/usr/bin/python3", ["-c", script, path], environment: [:]).finish()
        #expect(made.code == 0, "\(made.errors)")
        let outcome = try world.natterd("import", "--from", "slack", "all", path)
        #expect(outcome.code == 0 && outcome.errors.contains("1 answers_to_missing"), "\(outcome)")
        #expect(
            try history("all") == [
                "1 GitHub: Disk @here of @al <full>", "2 GitHub: hi @al:wave:", "3 GitHub: P\nT\nx",
                "4 GitHub: This content can't be displayed.", "6 GitHub: T is red",
                "7 GitHub: T\nby: al", "5 al: an answer",
            ])
    }

    @Test("export as mail: a name of a sender with a newline stays on its line")
    func nameOfTwoLines() throws {
        let line = JSON.line(ts: 1_735_689_600_000, sender: "x\ny", text: "one")
        #expect(try world.natterd("import", "own", "-", input: .bytes(Array(line.utf8))).code == 0)
        #expect(try world.natterd("export", "own", "--format", "mbox").output.contains("\nFrom: \"x y\" <x%0Ay@"))
    }
}
