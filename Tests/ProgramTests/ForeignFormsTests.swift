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
            input: .text(input))
    }

    /// `TIME SENDER: TEXT`; the time in minutes since 2025 began, in UTC.
    private func history(_ conversation: String) throws -> [String] {
        let outcome = try world.natterd("export", conversation)
        guard outcome.code == 0 else { throw Failure(outcome.errors) }
        return try outcome.objects().map {
            "\(($0[int: "ts"] ?? 0) / 60_000 - 28_928_160) \($0[string: "sender"] ?? ""): \($0[string: "text"] ?? "")"
        }
    }

    @Test("a time that occurs twice in autumn is the first, wherever the log begins")
    func autumn() throws {
        let end = "26/10/2025, 02:31 - Bob: x\n30/10/2025, 09:00 - Bob: w\n"
        try expectSuccess(
            take("whatsapp", "us", zone: "Europe/Berlin", input: "15/07/2025, 12:00 - Alice: summer\n" + end))
        try expectSuccess(take("whatsapp", "us", zone: "Europe/Berlin", input: end + "02/11/2025, 09:00 - Bob: new\n"))
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
        try expect(take("telegram", input: all(one, other)), 65, "'bob 31' and 'bob 32'")
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

    @Test("an erased message of our own mail is counted, and has an address as others have")
    func erased() throws {
        let lines =
            JSON.line(ts: 1_735_689_600_000, sender: "al", text: "one")
            + "{\"ts\":1735689660000,\"sender\":\"\",\"text\":\"\",\"erased\":true}\n"
            + "{\"seq\":3,\"ts\":1735689660000,\"sender\":\"al\",\"text\":\"gone\"}\n"
            + "{\"seq\":4,\"ts\":1735689660000,\"sender\":\"al\",\"kind\":\"delete\",\"about\":3}\n"
        #expect(try world.natterd("import", "own", "-", input: .text(lines)).code == 0)
        let mbox = try world.natterd("export", "own", "--format", "mbox").output
        #expect(mbox.contains("\nFrom: <erased@natter.invalid>\n"), "\(mbox)")
        let outcome = try take("mbox", "copy", input: mbox)
        #expect(
            outcome.code == 0 && outcome.errors.contains("1 erased") && outcome.errors.contains("1 deleted"),
            "\(outcome)")
        #expect(try history("copy") == ["0 al: one"])
    }

    @Test("export as mail: a name of a sender with a newline stays on its line")
    func nameOfTwoLines() throws {
        let line = JSON.line(ts: 1_735_689_600_000, sender: "x\ny", text: "one")
        #expect(try world.natterd("import", "own", "-", input: .text(line)).code == 0)
        #expect(try world.natterd("export", "own", "--format", "mbox").output.contains("\nFrom: \"x y\" <x%0Ay@"))
    }
}
