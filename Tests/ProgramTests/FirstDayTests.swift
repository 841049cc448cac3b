internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// The mistakes of a newcomer on the first day, and what happens then.
@Suite("the first day")
struct FirstDayTests {
    private let world: World

    init() throws { world = try World() }

    @Test("a message does not go to everyone because -c was forgotten")
    func addressee() throws {
        try world.alice.group("ops", with: "bob")
        // Nobody has synced: the server knows
        let refused = [
            ["@bob", "the", "root", "password"], ["@BOB", "hello"], ["@bob"], ["@me", "buy", "milk"],
            ["ops", "disk full"],
            ["Ops", "x"],
        ]
        for words in refused {
            let outcome = try world.alice.run(["send"] + words)
            #expect(outcome.code == 64 && isOneLine(outcome.errors), "\(words): \(outcome)")
            #expect(outcome.errors.contains("did you mean '-c \(words[0])'? After '--' it is text"))
        }
        #expect(try world.alice.texts("log") == [])
        // Now the replica knows
        for words in refused { #expect(try world.alice.run(["send", "--queue", "--quiet"] + words).code == 64) }
        try expect(world.bob("sync"))
        #expect(try world.bob("send", "ops", "x", "--queue", "--offline").code == 64)
        // A group that is younger than the last sync, or has another name since
        for (name, person) in [("secret", world.alice), ("ops2", world.bob)] {
            if name == "secret" {
                try expect(world.alice("group", "create", name), hasNotes: true)
            } else {
                try expect(world.alice("group", "rename", "ops", name), hasNotes: true)
                try expect(world.alice("group", "rename", name, "ops"), hasNotes: true)
                try expect(world.alice("group", "create", name), hasNotes: true)
                try expect(world.alice("group", "add", name, "bob"), hasNotes: true)
            }
            // The replica's word is enough for a minute.
            if name == "ops2" {
                let note = try #require(Files.below(world.bob.home).first { $0.hasSuffix("/last-sync") })
                try Files.write(Array("2026-01-01T00:00:00.000Z\n".utf8), to: note)
            }
            for words in [[name, "the password is x"], [name]] {
                try expect(person.run(["send"] + words), 64, "did you mean '-c \(name)'?")
            }
        }
        // A text is sent
        try expect(world.alice("send", "general", "is", "no", "group"))
        try expect(world.alice("send", "--", "@bob", "the password"))
        try expect(world.alice("send", "@bob: lunch?"))
        try expect(world.alice("send", "@nobody", "hello"))
        try expect(world.alice("send", "opsx", "hello"))
        try expect(world.alice("send", "-c", "general", "@bob", "hello"))
        try expect(world.alice("send", "-c", "ops", "ops", "are", "fun"))
        #expect(
            try world.alice.texts("log") == [
                "general is no group", "@bob the password", "@bob: lunch?", "@nobody hello", "opsx hello", "@bob hello",
            ])
        // A token that may only send to general does not learn who is there
        let token = try world.alice("token", "create", "--scope", "send:general").output
        let file = "\(world.alice.home)/robot.token"
        try token.write(toFile: file, atomically: true, encoding: .utf8)
        chmod(file, 0o600)
        try expect(world.alice("send", "--token-file", file, "@bob", "is text"))
    }

    @Test("a name that is far too long is 67, too", arguments: [65, 5_000, 13_000])
    func longNames(count: Int) throws {
        let name = String(repeating: "x", count: count)
        for words in [
            ["log", name], ["show", name, "1"], ["sync", name], ["send", "-c", name, "x"], ["pm", name, "x"],
            ["mark", name],
            ["contact", "add", name], ["group", "members", name], ["wrap", "-c", name, "--", "true"],
        ] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 67 && isOneLine(outcome.errors), "\(words.first ?? "") \(outcome.code)")
        }
    }

    @Test("names in any case; '--from me'")
    func cases() throws {
        try world.alice.sends("one")
        try world.bob.sends("two")
        for name in ["alice", "ALICE", "Alice"] {
            #expect(try world.bob.texts("log", "--from", name) == ["one"])
            try expect(world.bob("sync"))
            #expect(try world.bob.texts("search", "one", "--from", name) == ["one"])
            let page = try RawRequest.send(
                "GET", "/v1/conversations/general/messages?from=\(name)", to: world.url, token: world.bob.token())
            #expect(page.text.contains(#""one""#) && !page.text.contains(#""two""#))
        }
        #expect(try world.bob.texts("log", "--from", "me") == ["two"])
        #expect(try world.bob.texts("search", "two", "--from", "Me") == ["two"])
        #expect(try world.bob.texts("search", "one", "--from", "me") == [])
        try world.alice.sends("for bob", to: "@BOB")
        #expect(try world.bob.texts("log", "@Alice") == ["for bob"])
        #expect(try world.bob.texts("log", "GENERAL").count == 2)
        // Labels of imported messages, too
        try world.importGeneral(#"{"ts":1600000000000,"sender":"Маша","text":"old"}"# + "\n")
        let bob = world.bob
        #expect(try bob.texts("log", "--from", "маша") == ["old"])
    }

    @Test("what other programs call a command gets the one to use")
    func habits() throws {
        let hints: [([String], Int32, String)] = [
            (["version"], 64, "'natter --version'"), (["tail"], 64, "'natter log -f'"), (["read"], 64, "'natter log'"),
            (["grep", "x"], 64, "'natter search'"), (["pull"], 64, "'natter sync'"), (["log", "-10"], 64, "'-n 10'"),
            (["log", "bob"], 67, "did you mean '@bob'?"),
            (["log", "general/12"], 67, "'natter log general --around 12 -n 1'"),
            (["log", "genral"], 67, "'general'"), (["send", "-c", "bob", "x"], 67, "'@NAME'"),
            (["group", "list", "x"], 64, "one too many"), (["show"], 64, "as in \"natter show ops 17\""),
            (["show", "12"], 67, "12"),
            (["edit", "ops", "new"], 64, "SEQ takes a whole number"), (["@bob", "hi"], 64, "'natter pm bob'"),
            (["profile", "set", "default"], 64, "KEY=VALUE"),
        ]
        for (words, code, hint) in hints {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == code && isOneLine(outcome.errors) && outcome.errors.contains(hint), "\(outcome)")
        }
        #expect(try world.natterd("users").errors.contains("use 'natterd user list'"))
        let page = try world.alice("send", "--help").bytes
        #expect(try world.alice("send", "-h").bytes == page && !page.isEmpty)
        #expect(try world.alice("-h").bytes == world.alice("--help").bytes)
        #expect(try world.alice("-V").bytes == world.alice("--version").bytes)
        #expect(try world.natterd("-V").output.hasPrefix("natterd "))
        try expect(world.alice("sync", "-q"))
        // A text may be a number below zero
        try expect(world.alice("send", "-5", "degrees"))
    }

    @Test("a bare noun lists; one verb for one thing")
    func nouns() throws {
        try expect(world.alice("group", "create", "ops"), hasNotes: true)
        try expect(world.bob("group", "create", "lunch", "--open"), hasNotes: true)
        try expect(world.alice("contact", "add", "bob"), hasNotes: true)
        try expect(world.alice("config", "set", "timeout", "9"))
        _ = try world.alice("token", "create", "--label", "cron")
        for noun in ["outbox", "token", "group", "contact", "config"] {
            let bare = try world.alice(noun)
            #expect(bare.code == 0, "\(noun): \(bare)")
            #expect(try bare.bytes == world.alice(noun, "ls").bytes)
            #expect(try world.alice(noun, "--json").code == 0)
        }
        #expect(try world.alice("group").output == "lunch  -      open     1\nops    admin  private  1\n")
        #expect(try world.bob("group").output == "lunch  admin  open  1\n")
        let groups = try world.alice("group", "ls", "--json").objects()
        #expect(groups.map { $0[string: "name"] } == ["lunch", "ops"])
        #expect(try world.alice("config").output == "timeout = 9\n")
        try expect(world.alice("contact", "rm", "bob"), hasNotes: true)
        #expect(try world.alice("contact").bytes.isEmpty)
        let id = try #require(try world.alice("token", "--json").objects().first?[string: "id"])
        try expect(world.alice("token", "rm", id), hasNotes: true)
        #expect(try world.alice("token").bytes.isEmpty)
        try expect(world.alice("group", "rm", "ops"), hasNotes: true)
        #expect(try world.alice("help", "group").output.contains("also 'rm'"))
    }

    // MARK: - On a terminal and with --json

    @Test("an empty log says so on a terminal, and nothing in a pipe")
    func empty() throws {
        try expect(world.alice("log"))
        #expect(try Screen.show(world.alice, ["log"]).text == "there are no messages\n")
        try world.alice.sends("one")
        let cat = ["NATTER_PAGER": "cat"]
        #expect(try Screen.show(world.alice, ["log", "--from", "bob"], environment: cat).text == "no messages match\n")
        #expect(try Screen.show(world.alice, ["log", "--unread"], environment: cat).text == "nothing new\n")
    }

    @Test("an interrupted send --lines says how far it came, and how to continue")
    func interrupted() throws {
        let command = try world.alice.start(["send", "--lines", "--id", "job", "--json"], input: .pipe)
        command.type("one\ntwo\n")
        for _ in 1...2 { _ = try command.line() }
        let outcome = command.finish(after: SIGINT)
        #expect(outcome.code == 130)
        let error = try #require(JSON(parsing: outcome.errors)[object: "error"])
        #expect(
            error[string: "message"]
                == "interrupted; all lines up to 2 were sent. To continue, repeat the same command: nothing is sent twice"
        )
    }

    @Test("the pager gets LESSCHARSET; without TERM there is none")
    func pager() throws {
        try world.alice.sends("one")
        let pager = ["NATTER_PAGER": "cat; echo $LESSCHARSET"]
        #expect(try Screen.show(world.alice, ["log"], environment: pager).text.hasSuffix("utf-8\n"))
        for terminal in ["dumb", ""] {
            let environment = pager.merging(["TERM": terminal]) { $1 }
            #expect(try !Screen.show(world.alice, ["log"], environment: environment).text.contains("utf-8"))
        }
    }

    @Test("a search on a terminal goes through the pager; one without a hit does not")
    func searchPager() throws {
        try world.alice.sends("one")
        _ = try world.alice("sync")
        let pager = ["NATTER_PAGER": "sed s/^/P/"]
        let shown = try Screen.show(world.alice, ["search", "one"], environment: pager)
        #expect(shown.code == 0 && shown.text.hasPrefix("P"))
        #expect(try Screen.show(world.alice, ["search", "two"], environment: pager) == ("", 1))
    }

    @Test("a text that a terminal has cut is not sent")
    func cutByTerminal() throws {
        try world.alice.sends("one")
        for words in [["send"], ["edit", "1"]] {
            let typing = try Screen.start(world.alice, words, columns: 80)
            try typing.output(until: "then press Ctrl-D")
            typing.type(String(repeating: "W", count: 5_000) + "END\n\u{4}")
            try typing.output(until: "a terminal cuts lines at 4095 bytes")
            #expect(typing.finish().code == 65)
        }
        #expect(try world.bob.texts("log") == ["one"])
    }

    @Test("send -e opens VISUAL, else EDITOR; what is not sent stays in its file")
    func editor() throws {
        let temporary = world.directory("drafts")
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        func drafts() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: temporary) }
        func write(_ words: [String], _ environment: [String: String]) throws -> (text: String, code: Int32) {
            try Screen.show(
                world.alice, words, environment: environment.merging(["TMPDIR": temporary]) { $1 })
        }
        #expect(try write(["send", "-e", "begin"], ["VISUAL": "echo seen >>", "EDITOR": "false"]).code == 0)
        #expect(try world.bob.texts("log") == ["begin\nseen"] || world.bob.texts("log") == ["beginseen"])
        #expect(try write(["pm", "bob", "-e"], ["EDITOR": "printf hi >"]).code == 0)
        #expect(try world.bob.texts("log", "@alice") == ["hi"])
        #expect(try drafts().isEmpty)
        #expect(try write(["send", "-e"], ["EDITOR": "true"]).code == 65)
        #expect(try write(["send", "-e", "begin"], ["EDITOR": "true"]).code == 65)
        #expect(try write(["edit", "1", "-e"], ["EDITOR": "sed -i s/begin/begun/"]).code == 0)
        #expect(try world.bob.texts("log").first?.hasPrefix("begun") == true)
        #expect(try write(["send", "-e", "begin"], ["EDITOR": "printf '\\n  \\n' >"]).code == 65)
        #expect(try drafts().isEmpty)
        let failed = try write(["send", "-e", "text"], ["EDITOR": "false"])
        #expect(failed.code == 74 && failed.text.contains(temporary))
        let refused = try write(["send", "-e", "-c", "nosuch"], ["EDITOR": "echo x >"])
        #expect(refused.code == 67 && refused.text.contains("is kept in"))
        let binary = try write(["send", "-e"], ["EDITOR": "printf '\\377' >"])
        #expect(binary.code == 65 && binary.text.contains("'\(temporary)/natter-") && binary.text.contains("not UTF-8"))
        #expect(try drafts().count == 3)
        #expect(try world.alice("send", "-e").code == 64)
        #expect(try world.alice("send", "-e", "--lines").code == 64)
    }

    @Test("help -g lists the guides, each of which is in the manual")
    func guides() throws {
        let outcome = try world.alice("help", "-g")
        #expect(outcome.code == 0 && outcome.output.contains("natter-tutorial(7)"))
        #expect(try world.alice("help", "--guides").output == outcome.output)
        let manual = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "man").path
        for match in outcome.output.matches(of: /(natterd?[a-z-]*)\(([578])\)/) {
            // The page of a program is rendered from its prose.
            let names = ["\(match.1).\(match.2)", "\(match.1).mdoc"]
            #expect(names.contains { Files.text("\(manual)/\($0)") != nil }, "\(match.0)")
        }
    }

    // MARK: - Questions

    @Test("what can't be undone is asked on a terminal, and done without one; --yes answers")
    func questions() throws {
        for (name, words, typed, code) in [
            ("one", [], "n\n", 1), ("one", [], "\n", 1), ("one", ["--yes"], "", 0), ("two", [], "y\n", 0),
        ] as [(String, [String], String, Int32)] {
            _ = try world.alice("group", "create", name)
            let shown = try Screen.show(world.alice, ["group", "delete", name] + words, typing: typed)
            #expect(shown.code == code, "\(shown)")
            #expect(shown.text.contains("delete the group '\(name)' for all its members? [y/N]") == words.isEmpty)
            #expect(shown.text.contains("nothing was done") == (code == 1))
            #expect(try world.alice("group").output.contains(name) == (code == 1))
        }
        _ = try world.alice("group", "create", "three")
        try expect(world.alice("group", "delete", "three"), hasNotes: true)
        // The outbox, and the replica
        _ = try world.alice.alone("send", "--queue", "waiting")
        #expect(try Screen.show(world.alice.alone, ["outbox", "drop", "--all"], typing: "n\n").code == 1)
        #expect(try world.alice("outbox").bytes.isEmpty == false)
        try expect(world.alice.alone("outbox", "drop", "--all"), hasNotes: true)
        #expect(try Screen.show(world.alice, ["logout", "--forget"], typing: "n\n").code == 1)
        try expect(world.alice("whoami"), isSilent: false)
        try expect(world.alice("logout", "--forget"), hasNotes: true)
        // The target of a restore, which only files have
        guard !PostgresCluster.servesTests else { return }
        let backup = world.directory("backup")
        try expectSuccess(world.natterd("backup", backup))
        let target = world.directory("target")
        let words = ["--data", target, "restore", backup]
        #expect(try Screen.show(world.bob, words, typing: "n\n", program: "natterd").code == 1)
        #expect(!FileManager.default.fileExists(atPath: target))
        #expect(try Screen.show(world.bob, words + ["--yes"], program: "natterd").code == 0)
    }

    // MARK: - Causes

    @Test("each cause of a refusal has its own sentence")
    func causes() throws {
        let token = try world.alice("token", "create", "--expires", "3s").output
        let file = "\(world.alice.home)/robot.token"
        try token.write(toFile: file, atomically: true, encoding: .utf8)
        chmod(file, 0o600)
        var late = try world.alice("whoami", "--token-file", file)
        while late.code == 0 { late = try world.alice("whoami", "--token-file", file) }
        #expect(late.code == 77 && late.errors.contains("the token has expired on 20"))
        // A robot's token outlives the sessions of a disabled account
        let good = try world.bob("token", "create").output
        try good.write(toFile: file, atomically: true, encoding: .utf8)
        chmod(file, 0o600)
        try expectSuccess(world.natterd("user", "disable", "bob"))
        let disabled = try world.bob("whoami", "--token-file", file)
        #expect(disabled.code == 77)
        #expect(disabled.errors.contains("the account 'bob' is disabled") || disabled.errors.contains("has ended"))
        try expect(world.bob("whoami"), 77, "the session has ended, or the token was revoked; run 'natter login")
    }

    @Test("a token never goes to the server of another store")
    func otherStore() throws {
        let other = try Daemon(data: world.directory("other"), options: ["--log-level", "debug"])
        for words in [["whoami"], ["log"], ["send", "secret"], ["sync"]] {
            let outcome = try world.alice.at(other.url).run(words)
            #expect(outcome.code == 77 && isOneLine(outcome.errors), "\(outcome)")
            #expect(outcome.errors.contains("'\(other.url)' is another server than the one where you logged in"))
        }
        // Nobody has shown the other server a token
        other.stop()
        let log = Files.text(world.directory("other") + ".log")
        #expect(log?.contains("status=200") == true && log?.contains("status=401") == false)
        // The store at another address is the same server
        world.stopServing()
        try world.serve()
        try expect(world.alice("send", "at a new port"))
    }

    @Test("plain HTTP to a port that expects TLS, and TLS to one that does not")
    func wrongScheme() throws {
        let secure = world.url.replacing("http://", with: "https://")
        let tls = try world.alice.at(secure)("whoami")
        #expect(tls.code == 69 && tls.errors.contains("its address may begin with 'http://'"), "\(tls)")
        world.stopServing()
        try expect(world.natterd("tls-self-signed", "127.0.0.1"), isSilent: false)
        try world.serve(["--tls-cert", "\(world.data)/tls-cert.pem", "--tls-key", "\(world.data)/tls-key.pem"])
        let plain = world.url.replacing("https://", with: "http://")
        let refused = try world.alice.at(plain)("whoami")
        #expect([69, 76].contains(refused.code) && isOneLine(refused.errors), "\(refused)")
        #expect(refused.errors.contains("its address may begin with 'https://'"), "\(refused)")
    }

    @Test("advice for an open address asks for invitations, and a server that anyone can enter warns")
    func invitations() throws {
        let made = try world.natterd("tls-self-signed", "127.0.0.1")
        #expect(made.output.contains("\n  registration = invite\n") && made.output.contains("--invite CODE"))
        let files = ["--tls-cert", "\(world.data)/tls-cert.pem", "--tls-key", "\(world.data)/tls-key.pem"]
        for (options, warns) in [([], true), (["--registration", "invite"], false)] as [([String], Bool)] {
            world.stopServing()
            try world.serve(["--listen", "0.0.0.0:0"] + files + options)
            world.stopServing()
            #expect((Files.text("\(world.data).log") ?? "").contains("open_registration") == warns)
        }
    }

    @Test("a data directory that others can write to is warned of", arguments: [(0o777, true), (0o755, false)])
    func openDirectory(mode: UInt32, warns: Bool) throws {
        world.stopServing()
        #expect(chmod(world.data, mode) == 0)
        try world.serve()
        world.stopServing()
        #expect((Files.text("\(world.data).log") ?? "").contains("open_directory") == warns)
    }

    // MARK: - Profiles and sessions

    @Test("profiles are kept as git keeps remotes; a moved server keeps its sessions")
    func profiles() throws {
        let alice = world.alice
        #expect(try alice("profile").output.hasPrefix("default  *  alice  http://127.0.0.1:"))
        try expect(alice("profile", "add", "work", "server=\(world.url)", "color=always"))
        #expect(try alice("profile", "add", "work").code == 65)
        let elsewhere = ["NATTER_SERVER": ""]
        let login = try alice.run(
            ["login", "bob", "--profile", "work", "--password-stdin"], environment: elsewhere, input: World.typed)
        #expect(login.code == 0)
        let listed = try alice("profile", "ls", "--json").objects()
        #expect(listed.map { $0[string: "name"] } == ["default", "work"])
        #expect(listed.map { $0[string: "account"] } == ["alice", "bob"])
        // Each has its settings, which a login keeps
        try world.alice.sends("one")
        let log = ["log", "--profile", "work"]
        #expect(try alice.run(log, environment: elsewhere).output.contains("\u{1B}["))
        #expect(try !alice("log").output.contains("\u{1B}["))
        try expect(alice("profile", "set", "work", "color="))
        #expect(try !alice.run(log, environment: elsewhere).output.contains("\u{1B}["))
        for (words, code) in [
            (["set", "nix", "lang=ru"], 67), (["rm", "nix"], 67), (["set", "work", "lung=ru"], 64),
            (["set", "work", "lang"], 64), (["set", "work", "color=pink"], 65), (["add", "../x"], 64), (["add"], 64),
        ] as [([String], Int32)] {
            let outcome = try alice.run(["profile"] + words)
            #expect(outcome.code == code && isOneLine(outcome.errors), "\(outcome)")
        }
        // The server moves: the session goes on. A server of another store never sees the token
        world.stopServing()
        try world.serve()
        let other = try Daemon(data: world.directory("other"), options: ["--log-level", "debug"])
        try expect(alice.run(["profile", "set", "work", "server=\(other.url)"], environment: elsewhere), 77)
        try expect(alice.run(["profile", "set", "work", "server=\(world.url)"], environment: elsewhere))
        #expect(try alice.run(["whoami", "--profile", "work"], environment: elsewhere).output.hasPrefix("bob"))
        other.stop()
        let served = Files.text(world.directory("other") + ".log")
        #expect(served?.contains("status=200") == true && served?.contains("status=401") == false)
        // It goes, and its session with it
        let sessions = try world.bob("session", "--json").objects().count
        try expect(alice.run(["profile", "rm", "work"], environment: elsewhere))
        #expect(try world.bob("session", "--json").objects().count == sessions - 1)
        #expect(try alice("profile", "--json").objects().count == 1)
    }

    @Test("--ca-file at login is kept in the profile, for each server its own")
    func authorities() throws {
        world.stopServing()
        try expect(world.natterd("tls-self-signed", "127.0.0.1"), isSilent: false)
        let certificate = "\(world.data)/tls-cert.pem"
        try world.serve(["--tls-cert", certificate, "--tls-key", "\(world.data)/tls-key.pem"])
        let alice = world.alice
        try expectSuccess(alice.enter("login", "alice", "--ca-file", certificate))
        try expect(alice.run(["send", "over TLS"], environment: ["NATTER_SERVER": ""]))
        #expect(try alice("profile").output.contains("ca-file=\(certificate)"))
        // Also of a token that is used in place of the session, the first time and later
        let token = try alice.run(["token", "create"], environment: ["NATTER_SERVER": ""])
        let file = try world.directory.write("token", token.output, mode: 0o600)
        for _ in 0..<2 {
            try expect(alice.run(["send", "again"], environment: ["NATTER_SERVER": "", "NATTER_TOKEN_FILE": file]))
        }
    }

    @Test("sessions are listed with their host and program, and ended; an admin ends anybody's")
    func sessions() throws {
        let second = Person(name: "alice", home: world.directory("second"), server: world.url)
        try expect(second.enter("login", "alice"))
        let listed = try world.alice("session", "--json").objects()
        // The oldest is first
        let other = try #require(listed.last)
        #expect(other[string: "host"]?.isEmpty == false)
        #expect(other[string: "program"]?.hasPrefix("natter/") == true)
        let id = try #require(other[string: "id"])
        #expect(try world.bob("session", "end", id).code == 67)
        try expect(second("whoami"), isSilent: false)
        try expectSuccess(world.natterd("user", "promote", "bob"))
        try expect(world.bob("session", "end", id), hasNotes: true)
        #expect(try second("whoami").code == 77)
        #expect(try world.alice("session", "end", "999").code == 67)
        #expect(try world.alice("session").output.contains("current"))
    }
}
