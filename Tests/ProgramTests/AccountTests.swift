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
