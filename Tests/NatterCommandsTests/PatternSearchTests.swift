import ServerSupport
import Testing
import TestSupport

@Suite("search for a pattern")
struct PatternSearchTests {
    @Test("finds expressions and strings, newest first, in all conversations or one")
    func search() throws {
        // Given messages in three conversations
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        _ = (alice("send", "mount /dev/SDA1"), bob("send", "Ёлка\nsdb2"), alice("pm", "me", "sdc"), bob("send", "café"))
        #expect(alice("sync").code == 0)
        func found(_ words: String...) -> [Substring] { alice.run(["search"] + words).lines.map { $0.dropFirst(25) } }
        // When they are searched, then matches are found in any case
        let both: [Substring] = ["general bob: Ёлка", "", "general alice: mount /dev/SDA1"]
        #expect(found("--regex", "sd[a-z]\\d").map { $0.hasPrefix("general") ? $0 : "" } == both)
        #expect(found("--regex", "(?-i)sd[a-z]$", "--json").count == 1)
        #expect(found("--substring", "D") == found("--regex", "d"))
        #expect(found("--substring", "/dev/sd") == ["general alice: mount /dev/SDA1"])
        #expect(found("--substring", "cafe") == ["general bob: café"])
        #expect(found("--substring", "елк").first == "general bob: Ёлка")
        #expect(found("--regex", "sd", "-c", "@me") == ["@alice alice: sdc"])
        #expect(found("--regex", "sd", "-n", "1") == ["@alice alice: sdc"])
        #expect(found("--regex", "sd", "--from", "alice").count == 2)
        #expect(found("--regex", "sd", "--until", "-1h") == [])
        #expect(found("--regex", "sd", "-n", "0") == [])
        // An option's value may look like an option
        #expect(alice("search", "--regex", "--from").code == 1)
    }

    @Test("its codes")
    func codes() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("search", "--regex", "x", "--offline").code == 69)
        #expect(alice("send", String(repeating: "a", count: 5_000) + "!").code == 0)
        #expect(alice("sync").code == 0)
        #expect(alice("search", "--substring", "x") == Outcome(code: 1, output: "", errors: ""))
        for words in [
            ["--regex", "a", "--substring", "a"], ["--regex", "a", "word"], ["--substring", "a", "word"],
            ["--regex", ""], ["--substring", ""], [],
        ] {
            #expect(alice.run(["search"] + words).code == 64)
        }
        let bad = alice("search", "--regex", "a(")
        #expect(bad.code == 65)
        #expect(bad.errors.contains("'a('") && bad.errors.contains("missing closing parenthesis, at offset 2"))
        let runaway = alice("search", "--regex", "(a+)+$", "--json")
        #expect(runaway.code == 65 && runaway.output.isEmpty)
        #expect(runaway.errors.contains("bad_pattern") && runaway.errors.contains("(a+)+$"))
    }

    @Test("many messages, found in the order of log --all --reverse, conversations mixed", arguments: UInt64(1)...3)
    func order(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let server = try TestServer()
        let alice = try server.user("alice")
        for _ in 0..<8 {
            let target = ["general", "@me"].randomElement(using: &random) ?? "general"
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let text = ["disk full", "disk", "full"].randomElement(using: &random) ?? ""
                #expect(alice("send", "-c", target, text).code == 0)
            }
        }
        #expect(alice("sync").code == 0)
        let all = alice("log", "--all", "--reverse", "--offline").lines.filter { $0.contains("disk") }
        #expect(alice("search", "--regex", "\\bdisk").lines == all)
        #expect(alice("search", "--substring", "isk", "-n", "7").lines == Array(all.prefix(7)))
    }
}
