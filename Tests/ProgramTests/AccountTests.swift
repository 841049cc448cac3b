internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("register, login, logout, whoami")
struct AccountTests {
    private let world: World

    init() throws { world = try World() }

    private func stranger(_ name: String = "dora") -> Person { world.person(name) }

    @Test("register takes the password from a file or the first line of standard input, and logs in")
    func register() throws {
        let file = try world.directory.write("pw", "\(World.password)\r\nanother line\n")
        let dora = try stranger().run(["register", "dora", "--password-file", file])
        #expect(dora.code == 0 && dora.bytes.isEmpty && dora.errors.isEmpty)
        let eve = try world.person("eve").enter("register", "eve", "--json")
        #expect(eve.code == 0)
        #expect(try eve.objects().map { $0[string: "name"] } == ["eve"])
        // The token is in a file of its own and nowhere else.
        #expect(!eve.output.contains("token"))
        for name in ["dora", "eve"] {
            let who = try world.person(name)("whoami", "--json")
            #expect(try who.objects().first?[string: "name"] == name)
            #expect(try who.objects().first?[bool: "admin"] == false)
        }
    }

    @Test("a password is never asked for without a terminal, and never an argument", arguments: ["register", "login"])
    func noPrompt(command: String) throws {
        let person = command == "login" ? world.alice : stranger()
        let outcome = try person.run([command, person.name], input: World.typed)
        #expect(outcome.code == 64)
        #expect(isOneLine(outcome.errors) && outcome.errors.contains("--password-file"))
        for words in [[command, person.name, "--password", World.password], [command, person.name, World.password]] {
            #expect(try person.run(words).code == 64)
        }
        #expect(try person.run([command, person.name, "--password-stdin", "--password-file", "x"]).code == 64)
    }

    @Test("logout with settings that can't be used forgets the token, and says what is wrong with them")
    func logoutUnconfigured() throws {
        try world.directory.write("alice/.config/natter/config", "timeout = soon\n")
        try expect(world.alice("logout"), 78, "config', line 1: '")
        try world.directory.write("alice/.config/natter/config", "")
        #expect(try world.alice("whoami").code == 77)
    }

    @Test("another account's login never sees earlier synced messages")
    func anotherLogin() throws {
        try world.alice.sends("a secret", to: "@me")
        #expect(try world.alice.texts("log", "@me") == ["a secret"])
        try expect(world.alice.enter("login", "bob"), hasNotes: true)
        let here = world.alice
        #expect(try here("whoami").output.hasPrefix("bob  "))
        for words in [["log", "@me"], ["log", "--all", "--offline"], ["search", "secret"]] {
            #expect(try !here.run(words).output.contains("secret"))
        }
        // And alice finds hers again
        try expect(here.enter("login", "alice"))
        #expect(try here.texts("log", "@me", "--offline") == ["a secret"])
    }

    @Test("all of one's data: every conversation in a file or in one stream")
    func exported() throws {
        try expect(world.alice("group", "create", "ops"))
        for name in ["general", "ops", "@bob"] { try world.alice.sends("to \(name)", to: name) }
        try world.bob.sends("not for alice", to: "@carol")
        let mine = world.directory("mine")
        try expect(world.alice("account", "export", mine))
        let names = Files.below(mine).map { String($0.dropFirst(mine.utf8.count)) }.filter { !$0.isEmpty }.sorted()
        #expect(names == ["/@bob.ndjson", "/general.ndjson", "/ops.ndjson"])
        for name in names { #expect(Files.mode(mine + name) == 0o600) }
        #expect(Files.text(mine + "/@bob.ndjson")?.contains(#""text":"to @bob""#) == true)
        // Nothing is overwritten
        try expect(world.alice("export", "--all", "--to", mine), 73, mine)
        let stream = try world.alice("export", "--all").objects()
        #expect(Set(stream.compactMap { $0[string: "conversation"] }) == ["general", "ops", "@bob"])
        #expect(try world.alice("export", "--all", "--format", "mbox").output.contains("List-Id: ops "))
        for words in [
            ["export"], ["export", "ops", "--all"], ["export", "ops", "--to", "x"],
            ["export", "--all", "--format", "html"],
        ] {
            try expect(world.alice.run(words), 64)
        }
        // The operator does the same for somebody, or for all
        let listed = try world.natterd("ls").lines
        #expect(
            listed.count == 4 && listed.contains { $0.hasPrefix("ops  ") }
                && listed.contains { $0.hasPrefix("@bob,@carol") })
        #expect(
            try world.natterd("ls", "--user", "alice", "--json").objects().map { $0[string: "name"] }
                == ["general", "ops", "@alice,@bob"])
        let hers = world.directory("hers")
        try expect(world.natterd("export", "--user", "alice", "--to", hers))
        #expect(Files.below(hers).filter { $0.hasSuffix(".ndjson") }.count == 3)
        #expect(Files.text(hers + "/@alice,@bob.ndjson") == Files.text(mine + "/@bob.ndjson"))
        let all = try world.natterd("export", "--all").objects()
        #expect(Set(all.compactMap { $0[string: "conversation"] }) == ["general", "ops", "@alice,@bob", "@bob,@carol"])
        try expect(world.natterd("ls", "--user", "nobody"), 67, "'nobody'")
    }

    @Test("an account is deleted by its owner: its name again and the password; a script gives --yes")
    func deleted() throws {
        try world.alice.sends("a secret")
        try expect(world.alice("account", "set", "display=Alice Liddell"))
        #expect(try world.alice("account").output.hasPrefix("alice  Alice Liddell  "))
        #expect(try world.bob("users", "liddell", "--json").objects().map { $0[string: "name"] } == ["alice"])
        try expect(world.bob("account", "set", "display=Bob"))
        #expect(try world.bob("account", "set", "display=", "--json").objects().first?.hasNull("display") == true)
        #expect(try world.bob("account").output.hasPrefix("bob  -  "))
        try expect(world.alice("account", "set", "name=x"), 64)
        try expect(world.bob("sync"))
        try expect(world.alice.run(["account", "delete", "--password-stdin"], input: World.typed), 64, "--yes")
        let wrong = ChildProcess.Stream.text("another password\n")
        try expect(world.alice.run(["account", "delete", "--yes", "--password-stdin"], input: wrong), 77)
        let token = try world.alice("token", "create", "--quiet").output
        let words = ["account", "delete", "--yes", "--password-stdin"]
        let robot = ["NATTER_TOKEN": token.split(separator: " ").last.map { String($0.filter { !$0.isNewline }) } ?? ""]
        try expect(world.alice.run(words, environment: robot, input: World.typed), 77, "token")
        try expect(world.alice.run(words, input: World.typed))
        try expect(world.alice("whoami"), 77)
        #expect(try world.alice.enter("login", "alice").code == 77)
        #expect(try world.bob("users").lines.map { $0.prefix(4) }.sorted() == ["bob ", "caro"])
        #expect(try world.natterd("user", "list").lines.count == 2)
        #expect(try world.bob("log", "--format", "%s:%m").lines == [":"])
    }

    @Test("profiles keep several accounts apart, by --profile and by NATTER_PROFILE")
    func profiles() throws {
        let here = world.alice
        try expect(here.enter("login", "bob", "--profile", "second"))
        #expect(try here("whoami").output.hasPrefix("alice "))
        #expect(try here("whoami", "--profile=second").output.hasPrefix("bob "))
        #expect(try here.run(["whoami"], environment: ["NATTER_PROFILE": "second"]).output.hasPrefix("bob "))
        #expect(try here("whoami", "--profile", "../x").code == 64)
        // One that is not there is no lost session
        func missing(_ words: String...) throws -> String {
            let outcome = try here.run(words)
            #expect(outcome.code == 77 && isOneLine(outcome.errors), "\(outcome)")
            return outcome.errors
        }
        let hint = "there is no profile 'secnd'; the most similar is 'second'\n"
        #expect(try missing("log", "--profile", "secnd").hasSuffix(hint))
        #expect(try missing("whoami", "--profile", "x", "--offline").hasSuffix("'x'; 'natter profile' lists them\n"))
        try expect(here("profile", "rm", "default", "--yes"), hasNotes: true)
        #expect(try missing("whoami").contains("choose one of your profiles with --profile NAME"))
    }

    @Test("whoami --offline prints the remembered account")
    func whoamiOffline() throws {
        world.stopServing()
        let outcome = try world.alice("whoami", "--offline")
        #expect(outcome.code == 0 && outcome.output.hasPrefix("alice  "))
        #expect(try world.alice("whoami").code == 69)
    }
}
